"""Run the documentation: every page's blocks in order, in a folder of its own, its output held against what the page
shows.

    python -m tests.project.pages            # say which pages differ
    python -m tests.project.pages --update   # write what the commands print today into the pages

How blocks are read:

- `console`: lines that begin with `$ ` are commands and the lines below them their output; without any `$ `, every line
  is a command. `mmon`, `cat`, `ls` and `echo` are run. Other programs must be known to `OTHERS`: their options are not
  checked.
- `python`: run in one namespace a page. One that begins with `# name.py` is a file, written to the page's folder.
- `yaml` that begins with `# name.yaml` is a file, too.
- `text` right below a `python` block: what it prints.
- `<!-- not run: reason -->` above a block: it is only checked. Python must compile; `mmon` must know its options.
- In an output a line `...` stands for any lines.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from mmon_ray.cli import main
from tests.project.world import build

ROOT = Path(__file__).parents[2]
OTHERS = (
    "pip",
    "ray",
    "serve",
    "aws",
    "export",
    "python",
    "pytest",
    "curl",
    "git",
    "make",
    "cd",
    "time",
    "pre-commit",
    "gh",
)
_BLOCK = re.compile(
    r"(?P<above><!-- not run: [^>]+ -->\n)?^(?P<indent> *)```(?P<language>\w+)\n(?P<body>.*?)^(?P=indent)```$",
    re.M | re.S,
)
_VARYING = (
    (re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{10}"), "20261121T093000Z-0123456789"),
    (re.compile(r"\d+\.\d s$", re.M), "0.2 s"),
)


def pages() -> list[Path]:
    """Return the README and every page below docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@dataclass(frozen=True)
class Block:
    """One fenced block of a page: its language, its text without the indent, and where it lies in the page."""

    language: str
    body: str
    start: int
    end: int
    indent: str
    is_run: bool
    follows: bool  # nothing but white space is between it and the block before


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    blocks: list[Block] = []
    for found in _BLOCK.finditer(text):
        indent = found["indent"]
        body = "".join(line.removeprefix(indent) for line in found["body"].splitlines(keepends=True))
        follows = bool(blocks) and not text[blocks[-1].end : found.start()].strip()
        blocks.append(
            Block(found["language"], body, found.start("body"), found.end(), indent, not found["above"], follows)
        )
    return blocks


class Page:
    """A page that is run; `text` is the page with what its commands print now."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.folder, self.text = folder, path.read_text()
        self.namespace: dict[str, Any] = {"__name__": "__page__"}
        self.exit_code = 0
        self.printed = ""

    def run(self) -> str:
        """Run every block; return the page with today's outputs.

        errors   AssertionError names the command that failed
        """
        text, blocks = self.text, blocks_of(self.text)
        changes: list[tuple[Block, str]] = []
        for block in blocks:
            body = self._block(block)
            if body != block.body:
                changes.append((block, body))
        for block, body in reversed(changes):
            indented = "".join(block.indent + line if line.strip() else line for line in body.splitlines(keepends=True))
            text = text[: block.start] + indented + text[block.end - len(block.indent) - 3 :]
        return text

    def _block(self, block: Block) -> str:
        if block.language == "console":
            return self._console(block)
        if block.language in ("python", "yaml") and (name := re.match(r"# ([\w./-]+\.(?:py|yaml))\n", block.body)):
            path = self.folder / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body)
            if block.language == "python":
                compile(block.body, name[1], "exec")
        elif block.language == "python":
            self._python(block)
        elif block.language == "text" and block.follows and self.printed:
            return shown(self.printed, block.body)
        if block.language != "text":
            self.printed = self.printed if block.language == "python" else ""
        return block.body

    def _python(self, block: Block) -> None:
        code = compile(block.body, "page", "exec")
        self.printed = ""
        if not block.is_run:
            return
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, self.namespace)
        self.printed = self._clean(out.getvalue())

    def _console(self, block: Block) -> str:
        has_prompts = any(line.startswith("$ ") for line in block.body.splitlines())
        body = []
        for command, output in commands_of(block.body):
            body.append(("$ " if has_prompts else "") + command + "\n")
            if not block.is_run:
                check(command)
                body.append(output)
                continue
            printed = self._clean(self._command(command))
            body.append(shown(printed, output) if has_prompts else output)
        return "".join(body)

    def _command(self, command: str) -> str:
        words = shlex.split(command.replace("\\\n", " "), comments=True)
        if not words or words[0] in OTHERS:
            check(command)
            return ""
        if words[0] == "echo":
            return f"{self.exit_code}\n" if words[1:] == ["$?"] else " ".join(words[1:]) + "\n"
        if words[0] == "cat":
            return "".join((self.folder / word).read_text() for word in words[1:])
        if words[0] == "ls":
            return "".join(
                f"{path.relative_to(self.folder)}\n" for word in words[1:] for path in sorted(self.folder.glob(word))
            )
        assert words[0] == "mmon", f"{command}: `{words[0]}` is not known to {__name__}.OTHERS"
        assert "add" not in words or "--no-start" in words, (
            f"{command}: it would start a scheduler on whatever cluster there is"
        )
        target = None
        if ">" in words:
            words, target = words[: words.index(">")], words[-1]
        result = CliRunner().invoke(main, words[1:], terminal_width=80)
        self.exit_code = result.exit_code
        assert result.exit_code in (0, 1) and not isinstance(result.exception, (AssertionError, TypeError)), (
            f"{command}\n{result.output}"
        )
        if target:
            (self.folder / target).write_text(result.stdout)
            return ""
        return result.output

    def _clean(self, printed: str) -> str:
        """Return what was printed without what differs each time: folders, versions of baselines, seconds, blanks at
        the end of lines."""
        text = printed.replace(os.environ["MMON_STORE"], "~/.mmon").replace(f"{self.folder}/", "")
        for pattern, usual in _VARYING:
            text = pattern.sub(usual, text)
        return "".join(line.rstrip() + "\n" for line in text.splitlines())


def commands_of(body: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block, each with its output; a command goes on below a backslash, or an open
    quote."""
    lines = body.splitlines(keepends=True)
    has_prompts = any(line.startswith("$ ") for line in lines)
    place = 0
    while place < len(lines):
        line = lines[place]
        command, place = (line.removeprefix("$ ") if has_prompts else line).rstrip("\n"), place + 1
        while (command.endswith("\\") or is_open(command)) and place < len(lines):
            command, place = command + "\n" + lines[place].rstrip("\n"), place + 1
        output = ""
        while has_prompts and place < len(lines) and not lines[place].startswith("$ "):
            output, place = output + lines[place], place + 1
        yield command, output


def is_open(command: str) -> bool:
    """Return whether a quote is not closed yet."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


def check(command: str) -> None:
    """Hold a command that is not run to what is known of it.

    errors   AssertionError for a program that is not known, or an option that `mmon` does not have
    """
    for part in re.split(r"\s+(?:&&|\|)\s+|\s+--\s+(?=mmon )", command.replace("\\\n", " ")):
        words = shlex.split(part, comments=True)
        if not words:
            continue
        assert words[0] in (*OTHERS, "mmon", "cat", "ls", "echo"), f"{command}: `{words[0]}` is not known"
        if words[0] == "mmon":
            parse([word for word in words[1:] if word != "--json"][: words.index(">") - 1 if ">" in words else None])


def parse(words: list[str], group: click.Group = main, parent: click.Context | None = None) -> None:
    """Parse the words of an `mmon` command without running it."""
    try:
        with group.make_context("mmon", list(words), parent, resilient_parsing=False) as context:
            if not (context._protected_args or context.args):
                return
            name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
            if isinstance(command, click.Group):
                parse(rest, command, context)
            elif command is not None:
                command.make_context(name, list(rest), context)
    except click.exceptions.Exit:
        return
    except click.UsageError as error:
        raise AssertionError(f"mmon {' '.join(words)}: {error.format_message()}") from None


def shown(printed: str, expected: str) -> str:
    """Return `expected` where it stands for what was printed, a line `...` for any lines; else what was printed."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "...\n" else re.escape(line) for line in expected.splitlines(keepends=True)
    )
    return expected if re.fullmatch(pattern, printed) else printed


class World:
    """The data of all pages, made once; each page gets a copy of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "template").mkdir(parents=True)
        build(folder / "template")

    def run(self, path: Path) -> tuple[str, str]:
        """Run a page; return it as it is and as it would be with today's outputs."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        shutil.copytree(self.folder / "template", folder, dirs_exist_ok=True)
        own = {
            "MMON_STORE": str(folder / "store"),
            "MMON_SPOOL": str(folder / "spool"),
            "COLUMNS": "80",
            "RAY_ADDRESS": "",
        }
        own["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
        before, known, where, paths = dict(os.environ), set(sys.modules), Path.cwd(), list(sys.path)
        os.environ.update(own)
        os.environ.pop("RAY_ADDRESS")
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        page = Page(path, folder)
        try:
            return page.text, page.run()
        finally:
            os.chdir(where)
            os.environ.clear()
            os.environ.update(before)
            sys.path[:] = paths
            for name in set(sys.modules) - known:
                if str(folder) in (getattr(sys.modules[name], "__file__", None) or ""):
                    del sys.modules[name]


def _main(words: list[str]) -> int:
    is_update = "--update" in words
    chosen = [Path(word).resolve() for word in words if not word.startswith("--")] or pages()
    differing = 0
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "world")
        for path in chosen:
            before, after = world.run(path)
            if before != after:
                differing += 1
                print(f"{path.relative_to(ROOT)} {'updated' if is_update else 'differs'}")
                if is_update:
                    path.write_text(after)
    return int(bool(differing) and not is_update)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
