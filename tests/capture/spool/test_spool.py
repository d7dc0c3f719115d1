"""The spool's laws: every whole line of every writer, living or dead, is sealed once; nothing is ever lost from the
disk."""

from __future__ import annotations

import os
import random
import resource
import signal
import stat
import subprocess
import sys

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmon_ray.capture.spool.spool import Origin, Spool, safe_name, spool_root
from mmon_ray.storage.keys import checked_name

ORIGIN = Origin("credit", "Model", "r1", "node1", "/store")
HOUR = "2026112210"


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def sealed_lines(spool):
    return [line for segment in spool.sealed() for line in segment.path.read_bytes().splitlines()]


def test_a_segment_is_sealed_by_size_by_age_and_by_too_many_hours(spool):
    writer = spool.writer(ORIGIN)
    writer.segment_bytes, writer.hours = 10, 2
    writer.append(HOUR, b"12345\n", 0.0)
    writer.tick(9.9)
    assert spool.sealed() == []
    writer.append(HOUR, b"67890\n", 9.9)
    assert sealed_lines(spool) == [b"12345", b"67890"]
    writer.append(HOUR, b"a\n", 20.0)
    writer.append("2026112211", b"b\n", 25.0)
    writer.tick(30.0)
    assert sealed_lines(spool)[2:] == [b"a"]
    writer.append("2026112212", b"c\n", 31.0)
    writer.append("2026112213", b"d\n", 32.0)
    assert sealed_lines(spool)[3:] == [b"b"]
    writer.close()
    assert sealed_lines(spool)[3:] == [b"b", b"c", b"d"]
    assert [segment.number for segment in spool.sealed()] == [1, 2, 3, 4, 5]
    assert {segment.origin for segment in spool.sealed()} == {ORIGIN}


def test_a_living_writer_is_left_alone_and_a_dead_one_adopted(spool):
    living, dead = spool.writer(ORIGIN), spool.writer(ORIGIN)
    living.append(HOUR, b"living\n", 0.0)
    dead.append(HOUR, b"dead\n", 0.0)
    dead.abandon()
    assert spool.adopt() == 1
    assert sealed_lines(spool) == [b"dead"]
    assert spool.adopt() == 0
    living.close()
    assert sorted(sealed_lines(spool)) == [b"dead", b"living"]


@given(
    whole=st.lists(st.binary(max_size=200).map(lambda data: data.replace(b"\n", b"")), max_size=5),
    torn=st.binary(max_size=70_000),
)
def test_a_torn_line_is_moved_aside(tmp_path_factory, whole, torn):
    spool = Spool(tmp_path_factory.mktemp("spool"))
    torn = torn.replace(b"\n", b"")
    writer = spool.writer(ORIGIN)
    lines = b"".join(line + b"\n" for line in whole)
    writer.append(HOUR, lines + torn, 0.0)
    writer.abandon()
    assert spool.adopt() == int(bool(whole))
    assert b"".join(segment.path.read_bytes() for segment in spool.sealed()) == lines
    aside = [path.read_bytes() for path in spool.root.rglob("*.torn")]
    assert aside == ([torn] if torn else [])
    assert not list(spool.root.rglob("*.open"))


def test_a_disk_that_takes_half_a_line_keeps_none_of_it(spool):
    writer = spool.writer(ORIGIN)
    writer.append(HOUR, b"whole\n", 0.0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError):
            writer.append(HOUR, b"too long\n", 0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    writer.append(HOUR, b"again\n", 0.0)
    writer.close()
    assert sealed_lines(spool) == [b"whole", b"again"]


CHILD = """
import itertools, sys
from pathlib import Path
from mmon_ray.capture.spool.spool import Origin, Spool
writer = Spool(Path(sys.argv[1])).writer(Origin("credit", "Model", "child", "node1", "/store"))
writer.segment_bytes = 4000
for i in itertools.count():
    writer.append("2026112210", b'{"i":%d,"x":"%s"}\\n' % (i, b"y" * (i % 300)), 0.0)
    print(i, flush=True)
"""


def test_a_writer_killed_in_the_middle_loses_nothing_that_it_had_written(spool):
    for seed in range(3):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(spool.root)], stdout=subprocess.PIPE)
        for _ in range(200 + random.Random(seed).randrange(300)):
            written = int(child.stdout.readline())
        assert spool.sealed()  # while it lives, others may read what it sealed
        assert spool.adopt() == 0
        child.send_signal(signal.SIGKILL)
        child.wait()
        written = max([written, *(int(line) for line in child.stdout.read().split())])
        assert spool.adopt() <= 1
        numbers = [orjson.loads(line)["i"] for line in sealed_lines(spool)]
        assert numbers in (
            list(range(written + 1)),
            list(range(written + 2)),
        )  # it may die between the line and telling us
        for segment in spool.sealed():
            segment.path.unlink()
        spool.adopt()
        assert [path.name for path in spool.root.rglob("*") if path.is_file()] == [".seal"]


def test_a_request_to_seal_is_granted_at_the_second_tick(spool):
    writer, other = spool.writer(ORIGIN), spool.writer(ORIGIN._replace(endpoint="other"))
    for one in (writer, other):
        one.append(HOUR, b"1\n", 0.0)
    assert spool.unsealed("credit") == []
    spool.request_seal("credit")
    assert spool.unsealed("credit") == [writer.path.stem]
    writer.tick(0.05)
    assert spool.unsealed("credit") == [writer.path.stem]
    writer.append(HOUR, b"2\n", 0.1)  # a handler that was about to record
    writer.tick(0.1)
    assert spool.unsealed("credit") == []
    other.tick(0.1)
    assert sealed_lines(spool) == [b"1", b"2"]
    writer.append(HOUR, b"3\n", 0.2)
    spool.request_seal("credit")
    assert spool.unsealed("credit") == [writer.path.stem]
    writer.abandon()
    assert spool.unsealed("credit") == []  # nobody waits for the dead
    other.close()


def test_others_cannot_read_the_spool(spool):
    before = os.umask(0o000)
    try:
        writer = spool.writer(ORIGIN)
        writer.append(HOUR, b"1\n", 0.0)
    finally:
        os.umask(before)
    for path in [spool.root, *spool.root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    writer.close()


@example("0" * 81, "." * 90)  # a long name with its digest is no longer than a name may be
@given(st.text(), st.text())
def test_a_name_is_safe_and_stands_for_one_text(one, other):
    for text in (one, other):
        name = safe_name(text)
        assert checked_name(name) == name
        assert safe_name(name) == name
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_odd_names_find_their_way(spool):
    writer = spool.writer(Origin("credit", "../x y/é", "app#dep-1#..", "n", "s3://bucket"))
    writer.append(HOUR, b"1\n", 0.0)
    writer.close()
    (segment,) = spool.sealed()
    assert segment.origin.deployment == "../x y/é"
    assert segment.path.is_relative_to(spool.root / "credit")
    assert (segment.hour, segment.number) == (HOUR, 1)


def test_a_segment_whose_writer_file_is_gone_still_has_a_home(spool):
    writer = spool.writer(ORIGIN)
    writer.append(HOUR, b"1\n", 0.0)
    writer.close()
    writer.path.unlink()
    (segment,) = spool.sealed()
    assert (segment.origin.endpoint, segment.origin.deployment, segment.origin.store) == ("credit", "Model", "")


def test_the_root_comes_from_the_argument_then_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.delenv("MMON_SPOOL", raising=False)
    assert spool_root() == "/home/ann/.mmon/spool"
    monkeypatch.setenv("MMON_SPOOL", "/fast/spool")
    assert spool_root() == "/fast/spool"
    assert spool_root("~/mine") == "/home/ann/mine"
