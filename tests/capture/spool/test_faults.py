"""Faults under load, with real processes and real kills: what is lost is counted, and the model never notices."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from itertools import pairwise

import httpx
import orjson
import pytest
import ray
import zstandard
from ray import cloudpickle, serve
from ray.util import list_named_actors
from starlette.requests import Request

from mmon_ray.capture import capture, decode, drain
from mmon_ray.capture.spool.uploader import NAMESPACE, ensure_uploader
from mmon_ray.errors import MonitorError
from mmon_ray.storage.open import open_store

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the replicas cannot import a test's module

FLUSH_S = 0.2
WRITE_S = 0.05  # to make and write the lines of one period


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Echo:
    """Answers its own process id and what it was asked; may limit how large its files can become.

    beats   a file that a thread with the recorder's period writes the time to: how often such a thread really runs here
    """

    def __init__(self, file_bytes: int = 0, beats: str = "") -> None:
        if file_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
        if beats:
            threading.Thread(target=self.beat, args=(beats,), daemon=True).start()

    def beat(self, beats: str) -> None:
        with open(f"{beats}-{os.getpid()}", "ab", buffering=0) as file:
            while True:
                time.sleep(FLUSH_S)
                file.write(b"%f\n" % time.monotonic())

    async def __call__(self, request: Request):
        body = await request.json()
        return {"i": body["i"], "pid": os.getpid()}


class Load:
    """Clients that ask without a pause; knows what was answered, when, and by which process."""

    def __init__(self, url: str, clients: int = 4, pad: int = 0) -> None:
        self.answered: dict[int, float] = {}
        self.failed: list[str] = []
        self.pids: Counter[int] = Counter()
        self.latencies_s: list[float] = []
        self._url, self._pad = url, "x" * pad
        self._count = iter(range(10**9))
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int, pid_is_not: int = 0) -> int:
        """Wait until so many more are answered (by another process than this one); returns a process that answers."""

        def count() -> int:
            return sum(self.pids.values()) - self.pids[pid_is_not]

        with self._changed:
            goal = count() + more
            assert self._changed.wait_for(lambda: count() >= goal, 90), (
                f"{count()} of {goal} were answered: {self.failed[-1:]}"
            )
            return self.last_pid

    def _run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._stop.is_set():
                i = next(self._count)
                started_s = time.perf_counter()
                try:
                    answer = client.post(self._url, json={"i": i, "pad": self._pad})
                    said = answer.json() if answer.status_code == 200 else {}
                except (httpx.HTTPError, ValueError) as error:
                    self._note_failure(f"{type(error).__name__}: {error}")
                    continue
                if said.get("i") != i:
                    self._note_failure(f"{answer.status_code}: {answer.text[:100]}")
                    continue
                with self._changed:
                    self.answered[i] = time.monotonic()
                    self.latencies_s.append(time.perf_counter() - started_s)
                    self.last_pid = said["pid"]
                    self.pids[self.last_pid] += 1
                    self._changed.notify_all()

    def _note_failure(self, what: str) -> None:
        self.failed.append(what)
        self._stop.wait(0.02)


def arrived(store, endpoint: str) -> list[int]:
    """What is in the store when everything has had its chance to come."""
    uploader_pid()  # a drain does not wait for one that starts again
    drain(endpoint, 60)
    return stored(store, endpoint)


def stored(store, endpoint: str) -> list[int]:
    """What the records in the store were asked, in order; no event is there twice."""
    found = [
        orjson.loads(line)
        for entry in store.list(f"capture/{endpoint}/")
        for line in zstandard.ZstdDecompressor().decompress(store.get(entry.key)).splitlines()
    ]
    assert len({record["event_id"] for record in found}) == len(found)
    return sorted(decode(record["input"])["i"] for record in found if record["input"]["data"])


def uploader(call):
    """What the node's uploader answers; one that was killed is back within seconds."""
    deadline = time.monotonic() + 60
    node = ray.get_runtime_context().get_node_id()
    while True:
        try:
            return ray.get(call(ensure_uploader(node, "")), timeout=60)
        except (ray.exceptions.ActorUnavailableError, ray.exceptions.ActorDiedError):
            assert time.monotonic() < deadline


def uploader_pid() -> int:
    return uploader(lambda one: one.status.remote())["pid"]


def kill_uploader() -> None:
    os.kill(uploader_pid(), signal.SIGKILL)


@pytest.fixture
def endpoint():
    return f"f-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def folder(tmp_path):
    return open_store(tmp_path / "store")


@pytest.fixture
def deploy(serve_port):
    """Run a captured Echo; returns its address and a function that runs it again, with other settings."""
    names = []

    def run(endpoint, store, *arguments, replicas=1, **settings):
        name = f"app{uuid.uuid4().hex[:8]}"
        names.append(name)
        body = capture(endpoint, store=store.uri, **settings)(Echo)

        def again(replicas):
            hurry = {"graceful_shutdown_wait_loop_s": 0.05, "health_check_period_s": 0.5}
            deployment = serve.deployment(
                body, name="Echo", num_replicas=replicas, ray_actor_options={"num_cpus": 0}, **hurry
            )
            serve.run(deployment.bind(*arguments), name=name, route_prefix=f"/{name}")

        again(replicas)
        return f"http://127.0.0.1:{serve_port}/{name}", again, name

    yield run
    for name in names:
        serve.delete(name, _blocking=False)


@pytest.mark.parametrize("durability", ["async", "sync"])
@pytest.mark.parametrize("uploader_too", [False, True], ids=["replica", "replica and uploader"])
def test_a_killed_replica_loses_at_most_a_flush_period_or_nothing(
    deploy, folder, endpoint, tmp_path, durability, uploader_too
):
    url, _, _ = deploy(endpoint, folder, 0, str(tmp_path / "beats"), durability=durability)
    with Load(url) as load:
        pid = load.wait_for(200)
        if uploader_too:
            kill_uploader()
        killed_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        load.wait_for(50, pid_is_not=pid)
    lost = sorted(set(load.answered) - set(arrived(folder, endpoint)))
    print(f"{durability}: {len(lost)} of {len(load.answered)} answered requests are not in the store")
    if durability == "sync":
        assert lost == []
        return
    beats = [float(line) for line in (tmp_path / f"beats-{pid}").read_text().split()]
    period_s = max(later - earlier for earlier, later in pairwise([*beats, killed_s]))
    assert period_s < 5 * FLUSH_S, "this machine was too busy to tell"
    assert all(killed_s - period_s - WRITE_S <= load.answered[i] <= killed_s + WRITE_S for i in lost)
    assert len(lost) <= sum(
        killed_s - period_s - WRITE_S <= at_s <= killed_s + WRITE_S for at_s in load.answered.values()
    )


def test_a_killed_uploader_loses_nothing_and_sends_nothing_twice(deploy, folder, endpoint):
    url, _, _ = deploy(endpoint, folder)
    with Load(url) as load:
        load.wait_for(50)
        drains = [threading.Thread(target=try_to_drain, args=(endpoint,)) for _ in range(2)]
        for thread in drains:  # so that it is busy when it is killed
            thread.start()
            load.wait_for(50)
            kill_uploader()
        for thread in drains:
            thread.join()
    assert load.failed == []
    assert arrived(folder, endpoint) == sorted(load.answered)


def try_to_drain(endpoint: str) -> None:
    with contextlib.suppress(MonitorError):  # the uploader is killed, or the store in trouble, while it drains
        drain(endpoint, 30)


def test_scaling_down_and_deleting_lose_nothing(deploy, folder, endpoint):
    url, again, name = deploy(endpoint, folder, replicas=2)
    with Load(url) as load:
        load.wait_for(200)
        assert len(load.pids) == 2
        again(1)
        load.wait_for(50)
    serve.delete(name)
    assert load.failed == []
    assert arrived(folder, endpoint) == sorted(load.answered)


# --- S3 in trouble --------------------------------------------------------------------------------------------------


class Bad(socketserver.ThreadingTCPServer):
    """What stands between the uploader and an S3 server, and may be told to behave badly."""

    allow_reuse_address = True
    daemon_threads = True
    address_family = socket.AF_INET

    def __init__(self, target: tuple[str, int]) -> None:
        self.target, self.mode, self.met = target, "", 0
        self.back = threading.Event()
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Connection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def behave(self, mode: str) -> None:
        """Every connection ends, and the next ones are treated so; "" is well."""
        self.mode = mode
        for connection in list(self.open):
            hang_up(connection)
        if not mode:
            self.back.set()


def hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
ANSWER = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    % len(SLOW_DOWN)
)


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        bad = self.server
        bad.open.add(self.request)
        try:
            if bad.mode:
                bad.met += 1
            if bad.mode == "refuses":
                return  # closed before a byte
            if bad.mode == "hangs":
                bad.back.wait(60)
                return
            if bad.mode == "503":
                self.request.recv(1 << 16)
                self.request.sendall(ANSWER + SLOW_DOWN)
                return
            with socket.create_connection(bad.target) as there:
                bad.open.add(there)
                up = threading.Thread(target=pump, args=(self.request, there), daemon=True)
                up.start()
                # It has taken the object, and nobody hears of it.
                pump(there, None if bad.mode == "forgets to answer" else self.request)
                hang_up(self.request)
                up.join()
                bad.open.discard(there)
        except OSError:
            pass
        finally:
            bad.open.discard(self.request)


def pump(source: socket.socket, sink: socket.socket | None) -> None:
    """Pass bytes on to the end; without a sink, until they say that all went well."""
    try:
        while data := source.recv(1 << 16):
            if sink is not None:
                sink.sendall(data)
            elif b"HTTP/1.1 200" in data or b"HTTP/1.0 200" in data:
                return
    except OSError:
        pass
    finally:
        for end in (source, sink):
            if end is not None:
                hang_up(end)


@pytest.fixture
def bad(s3_endpoint, serve_port):
    """An S3 server that can be told to behave badly, as the node's uploader sees it."""
    host, _, port = s3_endpoint.removeprefix("http://").partition(":")
    proxy = Bad((host, int(port)))
    set_endpoint(proxy.url)
    yield proxy
    proxy.behave("")
    set_endpoint(s3_endpoint)
    proxy.shutdown()
    proxy.server_close()


def set_endpoint(url: str) -> None:
    uploader(lambda one: one.__ray_call__.remote(lambda _: os.environ.__setitem__("AWS_ENDPOINT_URL", url)))


@pytest.mark.parametrize("how", ["503", "refuses", "hangs", "forgets to answer"])
def test_s3_in_trouble_is_not_noticed_by_the_clients_and_everything_arrives(deploy, bad, endpoint, how):
    import boto3

    bucket = f"mmon-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    store = open_store(f"s3://{bucket}/p")
    url, _, _ = deploy(endpoint, store)
    with Load(url, clients=1) as load:
        load.wait_for(20)
        drain(endpoint, 30)
        well = len(load.latencies_s)
        bad.behave(how)
        tries = threading.Thread(target=try_to_drain, args=(endpoint,))
        tries.start()
        while bad.met < (1 if how == "hangs" else 3):
            load.wait_for(1)
        load.wait_for(100)
        troubled = sorted(load.latencies_s[well:])
        at_the_worst = set(stored(store, endpoint))
        bad.behave("")
        tries.join()
    assert load.failed == []
    assert arrived(store, endpoint) == sorted(load.answered)
    assert troubled[len(troubled) // 2] < 0.25
    if how != "forgets to answer":
        assert len(load.answered) - len(at_the_worst) >= 100


def test_an_uploader_killed_before_it_heard_the_answer_sends_nothing_twice(deploy, bad, endpoint, s3_endpoint):
    import boto3

    bucket = f"mmon-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    store = open_store(f"s3://{bucket}")
    url, _, _ = deploy(endpoint, store)
    with Load(url, clients=1) as load:
        load.wait_for(30)
        bad.behave("forgets to answer")
        tries = threading.Thread(target=try_to_drain, args=(endpoint,))
        tries.start()
        while not store.list("capture/"):
            load.wait_for(1)
        kill_uploader()
        tries.join()
    assert load.failed == []
    assert arrived(store, endpoint) == sorted(load.answered)


@pytest.fixture
def seaweed(tmp_path):
    """SeaweedFS with an S3 door on ports of its own; keeps its objects, and can be killed and started again."""
    server = Seaweed(tmp_path / "seaweed")
    server.start()
    yield server
    server.kill()


class Seaweed:
    def __init__(self, folder) -> None:
        folder.mkdir()
        self._folder = folder
        identity = {
            "name": "t",
            "credentials": [{"accessKey": "testing", "secretKey": "testing"}],
            "actions": ["Admin"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        self._ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
        self.url = f"http://127.0.0.1:{self._ports['s3']}"

    def start(self) -> None:
        ports = [f"-{name}.port={port}" for name, port in self._ports.items()]
        grpc = [f"-{name}.port.grpc={free_port()}" for name in self._ports]
        command = [
            *(
                "weed",
                "-logtostderr=true",
                "server",
                f"-dir={self._folder}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-filer",
                "-s3",
            ),
            *(*ports, *grpc, "-s3.port.iceberg=0", f"-s3.config={self._folder}/s3.json", "-master.telemetry=false"),
            *("-master.electionTimeout=1s", "-master.volumeSizeLimitMB=64", "-volume.max=20"),
        ]
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/healthz").status_code == 200:
                    return
            assert time.monotonic() < deadline and self._process.poll() is None, (self._folder / "log").read_text()[
                -2000:
            ]
            time.sleep(0.1)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def test_s3_is_away_for_a_minute_and_everything_is_there_when_it_is_back(
    deploy, seaweed, endpoint, serve_port, s3_endpoint, monkeypatch
):
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweed.url)
    set_endpoint(seaweed.url)
    try:
        bucket = f"mmon-{uuid.uuid4().hex[:12]}"
        boto3.client("s3").create_bucket(Bucket=bucket)
        store = open_store(f"s3://{bucket}/p")
        url, _, _ = deploy(endpoint, store)
        with Load(url, clients=1) as load:
            load.wait_for(50)
            drain(endpoint, 30)
            well = len(load.latencies_s)
            there = stored(store, endpoint)
            seaweed.kill()
            time.sleep(60)  # the outage itself, not a way to make time pass
            away = sorted(load.latencies_s[well:])
            seaweed.start()
            load.wait_for(50)
        assert load.failed == []
        assert len(there) >= 50 and len(away) > 500
        assert away[len(away) // 2] < 0.25
        assert arrived(store, endpoint) == sorted(load.answered)
    finally:
        set_endpoint(s3_endpoint)


# --- a disk in trouble ----------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_drops_whole_records_and_the_answers_go_on(deploy, folder, endpoint):
    url, _, _ = deploy(endpoint, folder, 200_000)
    with Load(url, pad=10_000) as load:
        load.wait_for(100)
    assert load.failed == []
    found = arrived(folder, endpoint)
    assert 5 <= len(found) < len(load.answered)
    assert set(found) <= set(load.answered)


def test_a_spool_that_cannot_be_made_changes_no_answer(deploy, folder, endpoint, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    url, _, _ = deploy(endpoint, folder, spool=tmp_path / "spool", durability="sync")
    with Load(url) as load:
        load.wait_for(50)
    assert load.failed == []
    assert folder.list() == []


def test_a_spool_that_is_read_only_changes_no_answer(deploy, folder, endpoint, tmp_path, read_only):
    spool = read_only(tmp_path / "spool")
    url, _, _ = deploy(endpoint, folder, spool=spool)
    with Load(url) as load:
        load.wait_for(50)
    assert load.failed == []
    assert folder.list() == []
    assert list(spool.iterdir()) == []


@pytest.fixture
def read_only():
    """Make a folder that nobody can write: for root by a mount, for others by its mode."""
    mounted = []

    def make(path):
        path.mkdir()
        if os.geteuid() == 0:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(path)], check=True)
            mounted.append(path)
        else:
            path.chmod(0o500)
        with pytest.raises(OSError):
            (path / "x").touch()
        return path

    yield make
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_one_uploader_is_left_after_all_of_this(deploy, folder, endpoint):
    url, _, _ = deploy(endpoint, folder)
    with Load(url) as load:
        load.wait_for(5)
    drain(endpoint, 60)
    names = [actor["name"] for actor in list_named_actors(all_namespaces=True) if actor["namespace"] == NAMESPACE]
    assert len([name for name in names if name.startswith("mmon-uploader-")]) == 1
    assert stored(folder, endpoint) == sorted(load.answered)
