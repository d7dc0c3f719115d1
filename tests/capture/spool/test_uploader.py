"""The shipper: at least once, the same key again, longer and longer waits; and the drain, which knows when all is
there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard

from mmon_ray.capture.spool.spool import Origin, Spool
from mmon_ray.capture.spool.uploader import Drain, Shipper, Uploader
from mmon_ray.errors import StoreError
from mmon_ray.storage.open import open_store

HOUR = "2026112210"


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def write(spool, store, *lines, hour=HOUR, endpoint="credit"):
    writer = spool.writer(Origin(endpoint, "Model", "r1", "abcdef0123456789", store))
    for line in lines:
        writer.append(hour, line + b"\n", 0.0)
    return writer


def read(store):
    return {entry.key: zstandard.ZstdDecompressor().decompress(store.get(entry.key)) for entry in store.list()}


class Flaky:
    """A store that fails when told to, after or before it has taken the object."""

    def __init__(self, store):
        self.store, self.fail, self.puts = store, "", []

    def put(self, key, body):
        self.puts.append(key)
        if self.fail == "before":
            raise StoreError("away")
        self.store.put(key, body)
        if self.fail == "after":
            raise TimeoutError("no answer")


def test_sealed_segments_reach_the_store_and_leave_the_spool(spool, store):
    writer = write(spool, store.uri, b"1", b"2")
    shipper = Shipper(spool)
    assert shipper.step(0.0) == 0
    writer.close()
    other = write(spool, store.uri, b"3", hour="2026112211")
    other.close()
    assert shipper.step(1.0) == 2
    prefix = "capture/credit/Model/2026/11/22"
    assert read(store) == {
        f"{prefix}/10/abcdef012345-{writer.path.stem}-000001.jsonl.zst": b"1\n2\n",
        f"{prefix}/11/abcdef012345-{other.path.stem}-000001.jsonl.zst": b"3\n",
    }
    assert spool.sealed() == []
    shipper.step(2.0)
    assert not [path for path in spool.root.rglob("*") if path.is_file() and path.name not in (".total", ".seal")]
    assert shipper.counts == {"segments": 2, "bytes": 6, "adopted": 0, "errors": 0}


def test_an_upload_without_an_answer_is_repeated_under_the_same_key(spool, tmp_path):
    flaky = Flaky(open_store(tmp_path / "store"))
    write(spool, "flaky", b"1").close()
    shipper = Shipper(spool, lambda uri: flaky)
    flaky.fail = "after"
    assert shipper.step(0.0) == 0
    assert shipper.errors == {"flaky": "no answer"}
    flaky.fail = ""
    assert shipper.step(10.0) == 1
    assert flaky.puts[0] == flaky.puts[1]
    assert list(read(flaky.store).values()) == [b"1\n"]
    assert shipper.errors == {}


def test_a_store_that_fails_is_left_alone_for_longer_and_longer_and_others_are_not(spool, tmp_path):
    flaky = Flaky(open_store(tmp_path / "bad"))
    good = Flaky(open_store(tmp_path / "good"))
    flaky.fail = "before"
    for _ in range(3):
        write(spool, "bad", b"1").close()
    shipper = Shipper(spool, {"bad": flaky, "good": good}.__getitem__, delay_s=1.0, most_delay_s=4.0)
    tries = []
    for now_s in range(16):
        before = len(flaky.puts)
        shipper.step(float(now_s))
        if len(flaky.puts) > before:
            tries.append((now_s, len(flaky.puts) - before))
    assert tries == [(0, 1), (1, 1), (3, 1), (7, 1), (11, 1), (15, 1)]  # one try each, not one for every segment
    write(spool, "good", b"2").close()
    assert shipper.step(16.0) == 1
    before = len(flaky.puts)
    assert shipper.step(16.2, hurry=True) == 0
    assert len(flaky.puts) == before + 1
    flaky.fail = ""
    assert shipper.step(16.5) == 0
    assert shipper.step(16.5, hurry=True) == 3
    assert shipper._retry_at == {}


def test_the_segments_of_a_dead_writer_are_shipped_without_its_half_line(spool, tmp_path):
    writer = write(spool, str(tmp_path / "store"), b"1")
    writer.append(HOUR, b'{"half', 0.0)
    writer.abandon()
    shipper = Shipper(spool)
    assert shipper.step(0.0) == 1
    assert list(read(open_store(tmp_path / "store")).values()) == [b"1\n"]
    assert shipper.counts["adopted"] == 1
    assert [path.read_bytes() for path in spool.root.rglob("*.torn")] == [b'{"half']


def test_an_error_in_the_spool_does_not_stop_the_others(spool, tmp_path):
    for name in ("a", "b"):
        write(spool, str(tmp_path / name), name.encode()).close()
    first = spool.sealed()[0].path
    content = first.read_bytes()
    first.unlink()
    first.mkdir()
    shipper = Shipper(spool)
    assert shipper.step(0.0) == 1
    assert shipper.counts["errors"] == 1
    first.rmdir()
    first.write_bytes(content)
    assert shipper.step(60.0) == 1


def test_a_drain_waits_for_what_was_captured_before_it_and_for_nothing_later(spool, tmp_path):
    store = str(tmp_path / "store")
    writer, other = write(spool, store, b"1"), write(spool, store, b"x", endpoint="other")
    write(spool, store, b"0").abandon()
    shipper = Shipper(spool)
    drain = Drain(spool, "credit")
    assert drain.left() == (writer.path.stem,)
    writer.tick(0.05)
    writer.append(HOUR, b"2\n", 0.1)
    writer.tick(0.1)
    assert len(drain.left()) == 2
    writer.append(HOUR, b"3\n", 0.2)
    writer.seal()
    (later,) = [segment.path for segment in spool.sealed("credit") if segment.path.read_bytes() == b"3\n"]
    content = later.read_bytes()
    later.unlink()
    shipper.step(0.2)
    later.write_bytes(content)
    assert drain.left() == ()
    assert sorted(read(open_store(store)).values()) == [b"0\n", b"1\n2\n"]
    other.close()
    writer.close()


def test_an_uploader_that_starts_again_knows_its_spools(tmp_path, monkeypatch):
    monkeypatch.setenv("MMON_SPOOL", str(tmp_path / "default"))
    assert Uploader().status()["spools"] == 1
    Uploader().watch(str(tmp_path / "other"))
    again = Uploader()
    assert again.status()["spools"] == 2
    again.watch(str(tmp_path / "other"))
    assert again.status()["spools"] == Uploader().status()["spools"] == 2


def test_spools_that_are_named_at_once_are_all_watched(tmp_path, monkeypatch):
    monkeypatch.setenv("MMON_SPOOL", str(tmp_path / "default"))
    uploader = Uploader()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: uploader.watch(str(tmp_path / f"other-{number}")), range(64)))
    assert uploader.status()["spools"] == Uploader().status()["spools"] == 65


def test_the_actor_ships_by_itself_and_drains(spool, store, monkeypatch):
    monkeypatch.setenv("MMON_SPOOL", str(spool.root))
    uploader = Uploader()
    assert uploader.drain("credit", "", 0.0).known is False
    write(spool, store.uri, b"1").close()
    assert uploader.drain("credit", "", 20.0) == (True, (), "")
    writer = write(spool, store.uri, b"2")
    left = uploader.drain("credit", "", 0.2)
    assert (left.known, left.names) == (True, (writer.path.stem,))
    writer.tick(0.0)
    writer.tick(0.1)
    assert uploader.drain("credit", "", 0.0).names == (writer.path.stem,)  # a new request
    writer.close()
    assert uploader.drain("credit", "", 20.0).names == ()
    assert sorted(read(store).values()) == [b"1\n", b"2\n"]
    assert uploader.status()["segments"] == 2
