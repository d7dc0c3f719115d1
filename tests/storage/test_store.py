"""The store's laws, over a folder and over S3: whole objects or none, sorted listings, one sentence for each
failure."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import boto3
import pytest

from mmon_ray.errors import ChangedKey, InputError, MissingKey, StoreError
from mmon_ray.storage.open import open_store


@pytest.fixture(scope="module")
def s3_server():
    """An S3 server in its own process, on its own port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, "the S3 server did not start"
                assert time.monotonic() < deadline, "the S3 server does not answer"
                time.sleep(0.1)
        yield url
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """The URI of an empty bucket, and the environment that leads to it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/moto-api/reset", method="POST"), timeout=30).close()
    boto3.session.Session().client("s3").create_bucket(Bucket="bucket")
    return "s3://bucket/some/prefix"


@pytest.fixture(params=["folder", "s3"])
def any_store(request, tmp_path):
    return open_store(tmp_path / "store" if request.param == "folder" else request.getfixturevalue("s3"))


# --- laws -----------------------------------------------------------------------------------------------------------


def test_what_was_put_is_got(any_store):
    assert any_store.list() == []
    assert not any_store.exists("a/b.json")
    for body in [b"first", b"", bytes(range(256)) * 1000]:
        any_store.put("a/b.json", body)
        assert any_store.get("a/b.json") == body
        assert any_store.exists("a/b.json")
        assert [(entry.key, entry.size_bytes) for entry in any_store.list()] == [("a/b.json", len(body))]


def test_a_missing_key_is_told_by_name(any_store):
    any_store.put("a/b.json", b"x")
    for key in ["a/c.json", "a", "b/c/d", "a/b.json/c"]:
        assert not any_store.exists(key)
        with pytest.raises(MissingKey, match=key):
            any_store.get(key)


@pytest.mark.parametrize("size", [1, 1000, 2**20, 2**20 + 1, 3_000_000])
def test_parts_of_an_object_are_those_of_the_whole(any_store, size):
    body = os.urandom(size)
    any_store.put("a/b", body)
    with any_store.open("a/b") as file:
        assert file.seek(0, os.SEEK_END) == size
        for start, length in [
            (0, 1),
            (size // 3, size // 2),
            (size - 1, 5),
            (max(0, size - 2**20 - 50), 300),
            (size, 4),
            (0, size),
        ]:
            file.seek(start)
            assert file.read(length) == body[start : start + length]
            assert file.tell() == min(size, start + length)
        file.seek(-1, os.SEEK_END)
        assert file.read() == body[-1:]
    with pytest.raises(MissingKey, match="a/c"):
        any_store.open("a/c")


def test_an_object_that_is_written_anew_while_it_is_read_is_never_a_mixture(any_store):
    old, new = b"o" * 2_000_000, b"n" * 2_000_000
    any_store.put("a", old)
    with any_store.open("a") as file:
        any_store.put("a", new)
        try:
            assert file.read(10) == b"o" * 10
        except ChangedKey as error:
            assert "'a' of s3://bucket/some/prefix was written anew" in str(error)
    with any_store.open("a") as file:
        assert file.read(10) == b"n" * 10


def test_delete_removes_one_object_and_may_be_repeated(any_store):
    any_store.put("a/b", b"x")
    any_store.put("a/bc", b"y")
    any_store.delete("a/b")
    any_store.delete("a/b")
    any_store.delete("never/was")
    any_store.delete("a/bc/below-an-object")
    assert [entry.key for entry in any_store.list()] == ["a/bc"]
    with pytest.raises(MissingKey):
        any_store.get("a/b")


def test_a_listing_is_sorted_by_key_and_cut_by_prefix(any_store):
    # '-' and '.' sort before '/': a walk of folders would give another order.
    keys = ["m/10/x", "m/2/y", "m/2-b", "m/2.c", "m/20/z", "mm/1", "z é/ü"]
    for key in reversed(keys):
        any_store.put(key, b"1")
    for prefix in ["", "m", "m/", "m/2", "m/2/", "m/2/y", "mm", "nothing", "nothing/at/all", "m/2/y/", "z é/"]:
        assert [entry.key for entry in any_store.list(prefix)] == sorted(
            key for key in keys if key.startswith(prefix)
        ), prefix


def test_folders_are_listed_without_what_is_in_them(any_store):
    for key in ["top", "m/b/1/x", "m/a/2", "m/file", "mm/c/3", "gone/d/4"]:
        any_store.put(key, b"1")
    any_store.delete("gone/d/4")
    assert any_store.list_folders() == ["m", "mm"]
    assert any_store.list_folders("m") == any_store.list_folders("m/") == ["a", "b"]
    assert any_store.list_folders("m/b") == ["1"]
    assert (
        any_store.list_folders("m/file") == any_store.list_folders("no/where") == any_store.list_folders("gone") == []
    )


def test_a_listing_is_not_cut_at_a_thousand(any_store):
    keys = [f"a/{number:04d}" for number in range(1005)]
    for key in keys:
        any_store.put(key, b"")
    any_store.put("b/last/x", b"")
    assert [entry.key for entry in any_store.list("a/")] == keys
    assert len(any_store.list()) == 1006
    assert any_store.list_folders() == ["a", "b"]


def test_the_version_changes_with_the_object_and_only_then(any_store):
    any_store.put("a", b"one")
    any_store.put("b", b"two")
    before = any_store.list()
    assert any_store.list() == before
    any_store.put("a", b"three")
    after = any_store.list()
    assert before[0].version != after[0].version
    assert before[1] == after[1]


def test_a_store_travels_to_another_process(any_store):
    any_store.put("a", b"x")  # a store that has been used holds no connection that cannot be pickled
    program = (
        "import pickle, sys; s = pickle.loads(sys.stdin.buffer.read()); s.put('b', s.get('a') + b'y'); print(s.uri)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(any_store), capture_output=True, check=True, timeout=120
    )
    assert any_store.get("b") == b"xy"
    assert answer.stdout.decode().strip() == any_store.uri
    assert open_store(any_store.uri).get("b") == b"xy"


def test_many_threads_share_one_store(any_store):
    errors = []

    def work(number):
        try:
            for turn in range(10):
                any_store.put(f"t/{number}/{turn}", str(number).encode())
                assert any_store.get(f"t/{number}/{turn}") == str(number).encode()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert errors == []
    assert len(any_store.list("t/")) == 80


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/", "..", "a/../b", "./a", "a/.hidden", "a\\b", "a\nb", "a\0b"])
def test_a_key_that_leaves_its_place_is_refused(any_store, key):
    for use in [
        lambda: any_store.put(key, b"x"),
        lambda: any_store.get(key),
        lambda: any_store.delete(key),
        lambda: any_store.exists(key),
    ]:
        with pytest.raises(InputError, match="key"):
            use()
    if key not in ("", "a/"):  # these two are prefixes
        with pytest.raises(InputError, match="key"):
            any_store.list(key)
        with pytest.raises(InputError, match="key"):
            any_store.list_folders(key)


# --- a reader sees a whole object or none ---------------------------------------------------------------------------


def test_a_reader_beside_a_writer_sees_whole_objects(any_store):
    bodies = [bytes([number]) * (200_000 + number) for number in range(8)]
    any_store.put("a/x", bodies[0])
    done = threading.Event()

    def write():
        for turn in range(60):
            any_store.put("a/x", bodies[turn % len(bodies)])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen, listed = set(), set()
    while not done.is_set():
        body = any_store.get("a/x")
        assert body == bytes([body[0]]) * (200_000 + body[0])
        seen.add(body[0])
        listed.update((entry.key, entry.size_bytes) for entry in any_store.list())
    writer.join(timeout=120)
    assert len(seen) > 1, "the reader did not read while the writer wrote"
    assert {key for key, _ in listed} == {"a/x"}
    assert {size for _, size in listed} <= {len(body) for body in bodies}


def test_a_writer_that_is_killed_leaves_the_old_object_or_the_new(any_store):
    size = 4_000_000
    program = (
        "import pickle, sys; store = pickle.loads(sys.stdin.buffer.read());"
        f"store.put('k', bytes([1]) * {size}); print('on', flush=True);"
        f"[store.put('k', bytes([turn % 250 + 1]) * {size}) for turn in range(100000)]"
    )
    for wait_s in [0.0, 0.003, 0.01, 0.021, 0.034]:
        writer = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert writer.stdin and writer.stdout
        writer.stdin.write(pickle.dumps(any_store))
        writer.stdin.close()
        assert writer.stdout.readline().strip() == b"on"
        time.sleep(wait_s)  # the kill falls into another part of a write each time
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        body = any_store.get("k")
        assert len(body) == size
        assert body == bytes([body[0]]) * size
        assert [entry.key for entry in any_store.list()] == ["k"]
    any_store.put("k", b"after")
    assert any_store.get("k") == b"after"


# --- failures are one sentence --------------------------------------------------------------------------------------


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for path in [tmp_path / "file", tmp_path / "file" / "below"]:
        store = open_store(path)
        uses = [
            lambda s: s.put("a/b", b"x"),
            lambda s: s.get("a/b"),
            lambda s: s.list(),
            lambda s: s.list("a/"),
            lambda s: s.exists("a/b"),
        ]
        for use in [*uses, lambda s: s.list_folders("a"), lambda s: s.delete("a/b")]:
            with pytest.raises(StoreError, match="file") as caught:
                use(store)
            assert not isinstance(caught.value, MissingKey)
            assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_old_object_and_no_rest(tmp_path):
    store = open_store(tmp_path)
    store.put("a/x", b"old")
    program = (
        "import resource, sys; from mmon_ray.storage.open import open_store; from mmon_ray.errors import StoreError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: open_store(sys.argv[1]).put('a/x', b'n' * 2000)\n"
        "except StoreError as error: print(error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    assert "cannot write 'a/x'" in answer.stdout
    assert store.get("a/x") == b"old"
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "x"]


def test_a_missing_bucket(s3):
    store = open_store("s3://not-there/p")
    for use in [
        lambda: store.put("a", b"x"),
        lambda: store.get("a"),
        store.list,
        lambda: store.exists("a"),
        store.list_folders,
    ]:
        with pytest.raises(StoreError, match="bucket 'not-there' does not exist") as caught:
            use()
        assert not isinstance(caught.value, MissingKey)


def test_wrong_credentials(s3, s3_server):
    def check_keys_after(requests: bytes) -> None:
        url = f"{s3_server}/moto-api/reset-auth"
        urllib.request.urlopen(
            urllib.request.Request(url, data=requests, headers={"Content-Type": "text/plain"}), timeout=30
        ).close()

    store = open_store(s3)
    store.put("a", b"x")
    check_keys_after(b"0")
    try:
        for use in [lambda: store.get("a"), lambda: store.put("a", b"y"), store.list]:
            with pytest.raises(StoreError, match=r"refuses these credentials .*InvalidAccessKeyId"):
                use()
    finally:
        check_keys_after(b"Infinity")
    assert store.get("a") == b"x"


def test_no_credentials(s3, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreError, match="credentials"):
        open_store(s3).get("a")


def test_an_endpoint_that_refuses_connections_is_told_soon(s3, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: every connection is refused
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"cannot reach s3://bucket/some/prefix: .*AWS_ENDPOINT_URL") as caught:
            open_store(s3).put("a", b"x")
        assert time.monotonic() - began < 30
        assert "\n" not in str(caught.value)


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_uri_names_a_store(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MMON_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert open_store().uri == str(tmp_path / "home" / ".mmon")
    assert open_store("~/x").uri == str(tmp_path / "home" / "x")
    assert open_store("x").uri == str(tmp_path / "x")  # absolute: another process has another working folder
    assert open_store(tmp_path / "x").uri == open_store(f"file://{tmp_path}/x").uri == str(tmp_path / "x")
    assert open_store("s3://b").uri == open_store("s3://b/").uri == "s3://b"
    assert open_store("s3://b/p/q/").uri == "s3://b/p/q"
    monkeypatch.setenv("MMON_STORE", "s3://from/environment")
    assert open_store().uri == "s3://from/environment"
    for text in ["gs://b/p", "s3://", "s3:///p", "http://host/b", "s3://b/../c"]:
        with pytest.raises(InputError):
            open_store(text)


def test_the_import_is_light():
    program = (
        "import sys, mmon_ray.storage.store; print(sorted({'boto3', 'ray', 'pandas', 'pyarrow', 'numpy'} & "
        "set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
        ).stdout.strip()
        == "[]"
    )
