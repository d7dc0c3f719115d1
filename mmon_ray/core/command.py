"""A command on files in a folder of its own: laid out, run with a time limit, ended with all that it started, its
results read.

Only the standard library: on a cluster this module travels with the order, so that a container image needs Ray, but not
mmon_ray.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["LARGEST_BYTES", "execute", "execute_there"]

LARGEST_BYTES = 64_000_000  # of one result
_GRACE_S = 5.0
_TAIL_BYTES = 4096
_BESIDE = "import os, signal, sys\nsys.stdin.buffer.read()\nos.killpg(int(sys.argv[1]), signal.SIGKILL)"


def execute(order: Mapping[str, Any], files: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """Run a command on some files, and bring back what it has written.

    order    command      text for the shell, or words
             only         the variables of this process that it has, by name; None for all
             without      names that are taken out of these
             environment  name -> text: added to them. `PATH` begins with the folder of this process's interpreter
             paths        name -> path below the folder: a variable that holds the whole path
             folders      paths below the folder, made empty
             cwd          path below the folder where it runs; "" for where this process is
             results      patterns of paths below the folder: what to bring back
             timeout_s    after which it is ended
             root         the folder, if it can be made; "" for a temporary one. The folders in it are removed in the
                          end
    files    path below the folder, content
    returns  code     the exit code; None when it was ended because its time was over
             output   the end of what it printed
             results  path -> content; None where that is larger than `LARGEST_BYTES`
    errors   OSError when the files cannot be written
    """
    base = _folder(order["root"], order["folders"])
    try:
        for path, body in files:
            target = base / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
            target.chmod(0o700)  # it may be what is run
        kept = set(os.environ if order["only"] is None else order["only"]) - set(order["without"])
        environment = {name: text for name, text in os.environ.items() if name in kept}
        environment |= order["environment"] | {name: str(base / path) for name, path in order["paths"].items()}
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
        cwd = base / order["cwd"] if order["cwd"] else None
        code, output = _run(order["command"], environment, cwd, order["timeout_s"])
        return {"code": code, "output": output, "results": dict(_results(base, order["results"]))}
    finally:
        for path in order["folders"]:
            shutil.rmtree(base / path, ignore_errors=True)
        if str(base) != order["root"]:
            shutil.rmtree(base, ignore_errors=True)


def execute_there(order: Mapping[str, Any], files: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """`execute` on a worker of a Ray cluster.

    files    path below the folder, reference to the content: one at a time is in this process's memory
    """
    import ray

    return execute(order, ((path, ray.get(body)) for path, body in files))


def _folder(root: str, folders: Sequence[str]) -> Path:
    if root:
        with suppress(OSError):
            for path in folders:
                shutil.rmtree(Path(root) / path, ignore_errors=True)
                (Path(root) / path).mkdir(parents=True)
            return Path(root)
    base = Path(tempfile.mkdtemp(prefix="mmon-program-"))
    for path in folders:
        (base / path).mkdir(parents=True)
    return base


def _results(base: Path, patterns: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    for pattern in patterns:
        for path in sorted(base.glob(pattern)):
            if path.is_file():
                body = None if path.stat().st_size > LARGEST_BYTES else path.read_bytes()
                yield path.relative_to(base).as_posix(), body


def _run(
    command: str | Sequence[str], environment: Mapping[str, str], cwd: Path | None, timeout_s: float
) -> tuple[int | None, str]:
    """The exit code, and the end of the output. The command has a process group of its own, which is ended in any
    case."""
    with tempfile.TemporaryFile() as told:
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": told, "stderr": subprocess.STDOUT}
        try:
            process = subprocess.Popen(
                command, shell=isinstance(command, str), cwd=cwd, env=environment, start_new_session=True, **options
            )
        except OSError as error:  # what the shell says of a command that it does not find
            return 127, str(error)
        code: int | None = None
        with _guarded(process.pid):
            try:
                code = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                _signal(process.pid, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_S)
            finally:
                _signal(process.pid, signal.SIGKILL)
                process.wait()
        told.seek(max(0, told.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return code, told.read().decode("utf-8", "replace")


@contextmanager
def _guarded(group: int) -> Iterator[None]:
    """A process beside, which ends the group when this process ends in the middle, however that happens: then its pipe
    is closed."""
    words = [sys.executable, "-I", "-S", "-c", _BESIDE, str(group)]
    guard = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        guard.kill()
        guard.communicate()


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM when all that is left of the group is a zombie
        os.killpg(group, number)
