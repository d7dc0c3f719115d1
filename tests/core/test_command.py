"""Commands in folders of their own: real processes that end well, badly, never, and with children that outlive them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmon_ray.core.command import execute


def order(command, **changed):
    plain = {
        "command": command,
        "only": None,
        "without": (),
        "environment": {},
        "paths": {},
        "folders": ("in", "out"),
        "cwd": "",
    }
    return {**plain, "root": "", "results": ("out/*",), "timeout_s": 30.0, **changed}


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be collected by its parent has."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def wait_until(check, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.02)
    return False


def test_files_go_in_and_results_come_out() -> None:
    found = execute(
        order(
            "cat $here/in/a/b > $here/out/c; pwd; echo $word; echo told >&2",
            environment={"word": "hello"},
            paths={"here": "."},
        ),
        [("in/a/b", b"content")],
    )
    assert (found["code"], found["results"]) == (0, {"out/c": b"content"})
    assert found["output"].splitlines() == [os.getcwd(), "hello", "told"]


def test_the_folder_is_removed_and_private() -> None:
    found = execute(order("echo $here; stat -c %a $here", paths={"here": "."}), [])
    folder, mode = found["output"].split()
    assert mode == "700"
    assert not Path(folder).exists()


def test_it_has_the_variables_that_it_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("seen", "hidden", "taken"):
        monkeypatch.setenv(name, "x")
    command = (sys.executable, "-c", "import os; print(*sorted(os.environ))")
    every = execute(order(command, without=("taken",)), [])["output"].split()
    assert {"seen", "hidden", "PATH"} <= set(every) and "taken" not in every
    few = execute(order(command, only=("seen", "taken", "absent"), without=("taken",), environment={"own": "x"}), [])[
        "output"
    ].split()
    assert set(few) - {"LC_CTYPE"} == {"PATH", "own", "seen"}  # Python may set LC_CTYPE by itself


def test_words_are_not_read_by_a_shell() -> None:
    assert execute(order(("echo", "$HOME *")), [])["output"] == "$HOME *\n"


def test_python_is_the_one_that_runs_this() -> None:
    found = execute(order(("python", "-c", "import sys; print(sys.prefix)")), [])
    assert found["output"].strip() == sys.prefix


def test_variables_that_are_the_runs_are_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("baseline_statistics", "from somewhere else")
    assert execute(order("echo [$baseline_statistics]", without=("baseline_statistics",)), [])["output"] == "[]\n"


@pytest.mark.parametrize(
    ("command", "code"), [("exit 3", 3), ("kill -9 $$", -9), (("no-such-command",), 127), ("no-such-command", 127)]
)
def test_exit_codes(command, code: int) -> None:
    assert execute(order(command), [])["code"] == code


def test_the_end_of_a_long_output_is_kept() -> None:
    found = execute(order("for i in 1 2 3; do head -c 100000 /dev/zero | tr '\\0' x; done; echo; echo the end"), [])
    assert found["output"].endswith("x\nthe end\n") and len(found["output"]) == 4096


def test_what_is_too_large_is_named_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmon_ray.core.command.LARGEST_BYTES", 10)
    assert execute(order("echo 123456789012 > $o/a; echo 1 > $o/b", paths={"o": "out"}), [])["results"] == {
        "out/a": None,
        "out/b": b"1\n",
    }


def test_a_pipe_among_the_results_is_not_waited_for() -> None:
    assert execute(order("mkfifo $o/pipe", paths={"o": "out"}), [])["results"] == {}


@pytest.mark.parametrize("stubborn", ["", "trap '' TERM; "])
def test_a_program_that_hangs_is_ended_with_its_children(stubborn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmon_ray.core.command._GRACE_S", 0.5)
    started = time.monotonic()
    found = execute(order(f"{stubborn}sleep 100 & echo $!; echo $$; sleep 100", timeout_s=0.5), [])
    assert found["code"] is None
    assert time.monotonic() - started < 20
    pids = [int(word) for word in found["output"].split() if word.isdigit()]
    assert len(pids) == 2
    assert all(wait_until(lambda pid=pid: gone(pid)) for pid in pids)


def test_what_a_program_leaves_running_is_ended_with_it() -> None:
    found = execute(order("sleep 100 & echo $!"), [])
    assert found["code"] == 0
    assert wait_until(lambda: gone(int(found["output"])))


def test_a_program_does_not_outlive_a_monitor_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from tests_order import order; from mmon_ray.core.command import execute\n"
        "execute(order(f'sleep 100 & echo $! > {sys.argv[1]}; mv {sys.argv[1]} {sys.argv[1]}.done; wait', "
        "timeout_s=90), [])"
    )
    (tmp_path / "tests_order.py").write_text(
        "def order(command, **changed):\n"
        "    rest = dict(only=None, without=(), environment={}, paths={}, folders=(), cwd='', root='', results=())\n"
        "    return {**rest, 'command': command, **changed}\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    monitor = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "pid")], env=environment)
    done = tmp_path / "pid.done"
    assert wait_until(done.exists)
    pid = int(done.read_text())
    assert not gone(pid)
    monitor.send_signal(signal.SIGKILL)
    monitor.wait()
    assert wait_until(lambda: gone(pid))


def test_a_fixed_folder_is_used_and_only_what_was_made_in_it_removed(tmp_path: Path) -> None:
    root = tmp_path / "opt" / "ml"
    (root / "code").mkdir(parents=True)
    (root / "code" / "own.py").write_text("print('mine')")
    (root / "out").mkdir()
    (root / "out" / "left").write_text("of an earlier run")
    found = execute(order(f"ls {root} {root}/out; cp {root}/in/x {root}/out/y", root=str(root)), [("in/x", b"1")])
    assert found["output"].split() == [f"{root}:", "code", "in", "out", f"{root}/out:"]
    assert found["results"] == {"out/y": b"1"}
    assert [path.name for path in root.iterdir()] == ["code"]


def test_a_fixed_folder_that_cannot_be_made_is_replaced_by_a_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = execute(order("cat $i/x", root=str(tmp_path / "file" / "ml"), paths={"i": "in"}), [("in/x", b"1")])
    assert (found["code"], found["output"]) == (0, "1")
