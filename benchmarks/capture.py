"""What capture costs a replica and a node: attributed CPU, time in the request, the uploader's CPU and memory.

    python benchmarks/capture.py [--quick]

Claims: capture takes under 1 % of the replica's CPU and under 50 us of a request; the uploader takes at most 1 % of a
core at 200 requests a second and 150 MB. A request has a 1 KB JSON body of 20 features; the models are a no-op and one
that computes for 1 ms. How it is measured:

request path   all that runs between Serve's call and the model's first line, and between its last line and the answer
               to Serve: the model reads the clocks there, and so does a class around the captured one. `thread_time`
               for the CPU, `perf_counter` for how long the request waits. The same two readings in a replica that is
               not captured give what the clocks and the class around cost; that is taken off, and shown
writer thread  the CPU clock of the thread `mmon-recorder` itself, and `thread_time` around the start of the uploader
share          both, over `process_time` of the whole replica in the same seconds
off/off        two replicas that are not captured, side by side: what a comparison of replicas can tell here
uploader       utime + stime and VmRSS of its process in /proc, while one captured replica gets 200 requests a second;
               beside it an actor of Ray that does nothing

Arms are interleaved; medians and spread of the rounds. Writes benchmarks/results/capture.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results" / "capture.json"
RATE = 200
CLIENTS = 16
FEATURES = {f"feature_{i:02d}_of_the_applicant": round(1234.5678 * (i + 1), 4) for i in range(20)}
BODY = json.dumps({"features": FEATURES, "pad": "x" * 150}).encode()


# --- in the replica -------------------------------------------------------------------------------------------------


class Clock:
    """What ran between Serve and the model, and how long it took."""

    def __init__(self) -> None:
        self.cpu_s = self.start_s = 0.0
        self.waits_s: list[float] = []

    def read(self) -> tuple[float, float]:
        """Now, by both clocks."""
        return time.perf_counter(), time.thread_time()

    def add(self, since: tuple[float, float], first: bool) -> None:
        """Count what has passed since a reading; the first part of a request begins its waiting time."""
        cpu_s, wall_s = time.thread_time() - since[1], time.perf_counter() - since[0]
        self.cpu_s += cpu_s
        if first:
            self.waits_s.append(wall_s)
        else:
            self.waits_s[-1] += wall_s

    def around_start(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The start of the uploader, measured."""

        def measured(*args: Any) -> Any:
            cpu_s = time.thread_time()
            try:
                return function(*args)
            finally:
                self.start_s += time.thread_time() - cpu_s

        return measured


class Model:
    """Answers after so much computing; reads the clocks at its first and its last line."""

    def __init__(self, compute_s: float) -> None:
        from mmon_ray.capture.recorder.recorder import Recorder

        self.compute_s = compute_s
        self.clock = Clock()
        Recorder._ensure_uploader = self.clock.around_start(Recorder._ensure_uploader)

    async def __call__(self, request):
        """Compute for so long."""
        self.clock.add(request.scope["called"], True)
        body = await request.json()
        end_s = time.thread_time() + self.compute_s
        while time.thread_time() < end_s:
            pass
        answer = {"score": 0.5, "features": len(body["features"])}
        request.scope["left"] = self.clock.read()
        return answer

    def measured(self) -> dict[str, Any]:
        """The counts so far; the waits since the last time."""
        writers = [thread.ident for thread in threading.enumerate() if thread.name == "mmon-recorder"]
        waits_s, self.clock.waits_s = self.clock.waits_s, []
        return {
            "process_s": time.process_time(),
            "request_s": self.clock.cpu_s,
            "writer_s": self.clock.start_s
            + sum(time.clock_gettime(time.pthread_getcpuclockid(one)) for one in writers if one),
            "waits_s": waits_s,
        }


def timed(model: type) -> type:
    """A class around a model, captured or not, that reads the clocks where Serve calls it and where it answers
    Serve."""

    async def call(self: Any, request: Any) -> Any:
        request.scope["called"] = self.clock.read()
        answer = await model.__call__(self, request)
        self.clock.add(request.scope["left"], False)
        return answer

    return type("Timed", (model,), {"__call__": call, "__module__": model.__module__})


# --- the load -------------------------------------------------------------------------------------------------------


class Client(asyncio.Protocol):
    """One connection that asks again when it is answered: the least an HTTP client can do, to leave the CPU to the
    replica."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._buffer = b""
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep the connection."""
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits for an answer hears of it."""
        if self._done and not self._done.done():
            self._done.set_exception(ConnectionError("the server has closed"))

    async def ask(self) -> None:
        """Send the request; returns when it is answered."""
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(self._message)
        await self._done

    def data_received(self, data: bytes) -> None:
        """Collect an answer until it is whole."""
        self._buffer += data
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        # Serve's answer is chunked; without a length, the empty chunk is the end.
        if self._done and (len(body) >= lengths[0] if lengths else body.endswith(b"0\r\n\r\n")):
            assert head.startswith(b"HTTP/1.1 200"), head
            self._buffer = b""
            self._done.set_result(None)


async def load(port: int, path: str, seconds: float, rate: float | None) -> int:
    """Ask for so long, at a rate or as fast as it answers; returns the number of answers."""
    message = (
        f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: "
        f"{len(BODY)}\r\n\r\n".encode()
        + BODY
    )
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(lambda: Client(message), "127.0.0.1", port))[1] for _ in range(CLIENTS)]
    begin = loop.time()
    turns = iter(range(10**9))
    answered = 0

    async def run(client: Client) -> None:
        nonlocal answered
        while True:
            due = begin + (next(turns) / rate if rate else 0.0)
            if max(due, loop.time()) >= begin + seconds:
                return
            await asyncio.sleep(max(0.0, due - loop.time()))
            await client.ask()
            answered += 1

    await asyncio.gather(*(run(client) for client in clients))
    for client in clients:
        client._transport.close()
    return answered


def measure(port: int, handle: Any, path: str, seconds: float, rate: float | None) -> dict[str, Any]:
    """One arm of one round."""
    before = handle.measured.remote().result()
    begin = time.perf_counter()
    answered = asyncio.run(load(port, path, seconds, rate))
    time.sleep(0.1)  # two flush periods: what was asked is written, too
    after = handle.measured.remote().result()
    took_s = time.perf_counter() - begin
    process_s, request_s, writer_s = (after[name] - before[name] for name in ("process_s", "request_s", "writer_s"))
    waits_us = sorted(wait * 1e6 for wait in after["waits_s"])
    return {
        "answered": answered,
        "rate": answered / took_s,
        "replica_us": process_s / answered * 1e6,
        "request_us": request_s / answered * 1e6,
        "writer_us": writer_s / answered * 1e6,
        "wait_p50_us": waits_us[len(waits_us) // 2],
        "wait_p99_us": waits_us[len(waits_us) * 99 // 100],
    }


def attributed(arms: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The captured arm's rounds, without what the measuring itself costs in the arms of the same round that are not
    captured."""
    rounds = []
    for on, off, other in zip(arms["on"], arms["off"], arms["off again"], strict=True):
        own = {name: (off[name] + other[name]) / 2 for name in ("request_us", "wait_p50_us", "wait_p99_us")}
        one = {**on, **{name: max(0.0, on[name] - cost) for name, cost in own.items()}, "clocks_us": own["request_us"]}
        one["share"] = (one["request_us"] + one["writer_us"]) / one["replica_us"]
        one["null"] = other["replica_us"] / off["replica_us"]
        one["ratio"] = on["replica_us"] / statistics.mean((off["replica_us"], other["replica_us"]))
        rounds.append(one)
    return rounds


# --- the uploader ---------------------------------------------------------------------------------------------------


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int, field: str = "VmRSS") -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def measure_uploader(port: int, path: str, endpoint: str, seconds: float) -> dict[str, float]:
    """The node's uploader while one replica gets 200 requests a second; everything is in the store at the end."""
    import ray

    from mmon_ray.capture import drain
    from mmon_ray.capture.spool.uploader import ensure_uploader

    asyncio.run(load(port, path, 1.0, RATE))
    drain(endpoint, 60)  # its imports are made, its connections are open
    uploader = ensure_uploader(ray.get_runtime_context().get_node_id(), "")
    before = ray.get(uploader.status.remote())
    begin, start_s = time.perf_counter(), cpu_s(before["pid"])
    answered = asyncio.run(load(port, path, seconds, RATE))
    core = (cpu_s(before["pid"]) - start_s) / (time.perf_counter() - begin)
    drain(endpoint, 60)
    after = ray.get(uploader.status.remote())
    pid = before["pid"]
    return {
        "answered": answered,
        "rate": answered / seconds,
        "core": core,
        "segments": after["segments"] - before["segments"],
        "rss_mb": rss_mb(pid),
        "peak_mb": rss_mb(pid, "VmHWM"),
    }


def measure_idle(seconds: float) -> dict[str, float]:
    """An actor of Ray that has answered once, and then does nothing: what any actor costs here."""
    import ray

    class Idle:
        def pid(self) -> int:
            return os.getpid()

    actor = ray.remote(Idle).options(num_cpus=0).remote()
    pid = ray.get(actor.pid.remote())
    begin, start_s = time.perf_counter(), cpu_s(pid)
    time.sleep(seconds)
    return {
        "core": (cpu_s(pid) - start_s) / (time.perf_counter() - begin),
        "rss_mb": rss_mb(pid),
        "peak_mb": rss_mb(pid, "VmHWM"),
    }


# --- the table ------------------------------------------------------------------------------------------------------


def of(rounds: list[dict[str, Any]], name: str, form: str = "{:.0f}") -> str:
    """The median and the spread of a number."""
    values = sorted(one[name] for one in rounds)
    low, middle, high = (form.format(value) for value in (values[0], statistics.median(values), values[-1]))
    return f"{middle} ({low} to {high})"


def show(results: dict[str, Any]) -> None:
    console = Console(width=200)
    about = results["about"]
    table = Table(
        title=f"capture, {about['body_bytes']} B of JSON, {about['cpus']} CPUs; median (spread) of {about['rounds']} "
        f"rounds",
        box=None,
    )
    for heading in (
        "model, load",
        "requests/s",
        "replica CPU us",
        "request us",
        "clocks us",
        "writer us",
        "share of CPU",
        "waits us",
        "p99",
        "off/off",
        "on/off",
    ):
        table.add_column(heading, justify="left" if "model" in heading else "right")
    for name, arms in results["replica"].items():
        rounds = attributed(arms)
        table.add_row(
            name,
            *(of(rounds, field) for field in ("rate", "replica_us")),
            *(of(rounds, field, "{:.1f}") for field in ("request_us", "clocks_us", "writer_us")),
            of(rounds, "share", "{:.2%}"),
            *(of(rounds, field) for field in ("wait_p50_us", "wait_p99_us")),
            *(of(rounds, field, "{:.2f}") for field in ("null", "ratio")),
        )
    console.print(table)
    console.print(
        f"load average of the last 15 minutes, of this and of whatever else ran here: {about['load_average']}"
    )
    console.print(
        "request, writer: attributed CPU a request (thread_time around the model; the clock of the writer's thread).\n"
        "clocks: what the same readings cost without capture; taken off. waits: wall clock of the request path. "
        "off/off, on/off: ratios\n"
        "of replica CPU a request between replicas of one round; off/off compares two that are not captured."
    )
    table = Table(title=f"uploader, one replica at {RATE} requests/s, from /proc", box=None)
    for heading in ("store", "requests/s", "share of a core", "RSS MB", "peak MB", "segments", "requests"):
        table.add_column(heading, justify="left" if heading == "store" else "right")
    for name, one in results["uploader"].items():
        table.add_row(
            name,
            f"{one['rate']:.0f}",
            f"{one['core']:.2%}",
            f"{one['rss_mb']:.0f}",
            f"{one['peak_mb']:.0f}",
            f"{one['segments']}",
            f"{one['answered']}",
        )
    idle = results["idle"]
    table.add_row(
        "(an actor that does nothing)", "", f"{idle['core']:.2%}", f"{idle['rss_mb']:.0f}", f"{idle['peak_mb']:.0f}"
    )
    console.print(table)
    for goal, met in results["goals"].items():
        console.print(f"{'met   ' if met else 'MISSED'}  {goal}")


def goals(results: dict[str, Any]) -> dict[str, bool]:
    """Each claim, by the medians of every arm."""
    arms = [attributed(arms) for arms in results["replica"].values()]

    def most(name: str) -> float:
        return max(statistics.median(one[name] for one in arm) for arm in arms)

    return {
        f"under 1 % of the replica's CPU: {most('share'):.2%}": most("share") < 0.01,
        f"request path under 50 us: {most('wait_p50_us'):.0f} us": most("wait_p50_us") < 50,
        # A machine that was too busy to serve the rate has not shown it.
        **{
            f"uploader at most 1 % of a core at {RATE}/s, {name}: {one['core']:.2%} at {one['rate']:.0f}/s": one["core"]
            <= 0.01
            and one["rate"] >= 0.95 * RATE
            for name, one in results["uploader"].items()
        },
        **{
            f"uploader at most 150 MB, {name}: {one['rss_mb']:.0f}": one["rss_mb"] <= 150
            for name, one in results["uploader"].items()
        },
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; writes no results")
    quick = parser.parse_args().quick
    rounds, seconds, uploader_s = (2, 1.5, 12.0) if quick else (5, 3.0, 30.0)
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    s3.start()
    host, s3_port = s3.get_host_and_port()
    aws = {
        "ENDPOINT_URL": f"http://{host}:{s3_port}",
        "ACCESS_KEY_ID": "testing",
        "SECRET_ACCESS_KEY": "testing",
        "DEFAULT_REGION": "us-east-1",
    }
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update({f"AWS_{name}": value for name, value in aws.items()})
        os.environ.update(
            {"MMON_SPOOL": f"{folder}/spool", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        )
        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
        os.environ.pop("RAY_ADDRESS", None)
        results = run(folder, rounds, seconds, uploader_s)
    s3.stop()
    results["goals"] = goals(results)
    show(results)
    if not quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def run(folder: str, rounds: int, seconds: float, uploader_s: float) -> dict[str, Any]:
    """All arms of all rounds, then the uploader on each store."""
    import boto3
    import ray
    from ray import serve

    from mmon_ray.capture import capture

    boto3.client("s3").create_bucket(Bucket="mmon-benchmark")
    ray.init(
        address="local",
        num_cpus=8,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        object_store_memory=200 << 20,
    )
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    replica: dict[str, dict[str, list[dict[str, Any]]]] = {}
    stores = {"a folder": f"{folder}/store", "S3": "s3://mmon-benchmark"}
    apps: dict[str, Any] = {}

    def deploy(name: str, body: Any, compute_s: float) -> None:
        deployment = serve.deployment(body, name="Model", ray_actor_options={"num_cpus": 0}, max_ongoing_requests=100)
        apps[name] = serve.run(deployment.bind(compute_s), name=name, route_prefix=f"/{name}")
        asyncio.run(load(port, f"/{name}", 0.5, None))  # warm

    for model, compute_s in (("no-op", 0.0), ("1 ms", 0.001)):
        on = capture("benchmark", store=stores["a folder"], methods=["__call__"])(Model)
        for arm, body in (("off", Model), ("on", on), ("off again", Model)):
            deploy(f"{model} {arm}".replace(" ", "-"), timed(body), compute_s)
        for number in range(rounds):
            for kind, rate in ((f"{RATE}/s", RATE), ("at most", None)):
                arms = replica.setdefault(f"{model}, {kind}", {"off": [], "on": [], "off again": []})
                order = list(arms)[number % 3 :] + list(arms)[: number % 3]
                for arm in order:
                    name = f"{model} {arm}".replace(" ", "-")
                    arms[arm].append(measure(port, apps[name], f"/{name}", seconds, rate))
        for arm in ("off", "on", "off again"):
            serve.delete(f"{model} {arm}".replace(" ", "-"))
    uploader = {}
    for number, (name, store) in enumerate(stores.items()):
        endpoint = f"uploader-{number}"
        deploy(endpoint, timed(capture(endpoint, store=store, methods=["__call__"])(Model)), 0.0)
        uploader[name] = measure_uploader(port, f"/{endpoint}", endpoint, uploader_s)
        serve.delete(endpoint)
    idle = measure_idle(uploader_s)
    serve.shutdown()
    ray.shutdown()
    about = {
        "load_average": round(os.getloadavg()[2], 1),
        "rounds": rounds,
        "seconds": seconds,
        "body_bytes": len(BODY),
        "cpus": os.cpu_count(),
        "rate": RATE,
        "clients": CLIENTS,
    }
    return {"about": about, "replica": replica, "uploader": uploader, "idle": idle}


if __name__ == "__main__":
    main()
