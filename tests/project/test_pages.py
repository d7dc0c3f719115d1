"""Every page of the documentation is true: it prints what it shows, its links and files are there, its words are the
glossary's."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pandas as pd
import pytest

import mmon_ray
from mmon_ray.cli import main
from mmon_ray.demo.model import adult, plain_rows, predict, train
from mmon_ray.demo.traffic import broken
from tests.project.pages import ROOT, World, blocks_of, check, commands_of, is_open, pages, parse, shown

# What is written for people, beside the pages: no commands of these are run.
OTHERS = [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "examples/README.md")]
# docs/reference/glossary.md is the referee: these have another word there.
ABOLISHED = ("closed service", "true answer", "cry wolf", "no mercy", "before anybody is told", "no more by itself")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("docs") / "world")


@pytest.mark.slow
@pytest.mark.parametrize("path", pages(), ids=name_of)
def test_a_page_prints_what_it_shows(path: Path, world: World) -> None:
    before, after = world.run(path)
    assert after.splitlines() == before.splitlines(), (
        "`make docs-update` writes what is printed today; look at the difference"
    )


@pytest.mark.parametrize("path", [*pages(), *OTHERS], ids=name_of)
def test_links_lead_to_files_and_headings(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), f"{name_of(path)} links to {target}, which is not there"
        assert not heading or heading in headings(linked), (
            f"{name_of(path)} links to {target}; there is no such heading"
        )


def headings(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", [path for path in pages() if path.parent.name in ("tutorials", "how-to")], ids=name_of)
def test_a_guide_shows_something_that_is_run_or_says_why_not(path: Path) -> None:
    blocks = blocks_of(path.read_text())
    assert path.name == "sizing.md" or any(block.language in ("python", "console") for block in blocks)
    for block in blocks:
        assert block.language in ("python", "console", "text", "yaml", "json", "toml")
        if block.language == "python":
            compile(block.body, str(path), "exec")


def test_production_guides_use_the_store_and_the_public_face() -> None:
    for name in ("bias", "attribution", "anomalies", "ranking", "slices"):
        text = (ROOT / "docs" / "how-to" / f"{name}.md").read_text()
        for word in ("analyses=(", "mmon_ray.save_monitor(", "mmon_ray.save_baseline(", "mmon_ray.run("):
            assert word in text, f"{name}.md does not show {word}"
    for path in pages():
        for block in blocks_of(path.read_text()):
            if block.language == "python":
                inner = re.findall(r"^(?:from|import) (mmon_ray\.\S+)", block.body, re.MULTILINE)
                assert not inner, f"{name_of(path)} imports {inner}; snippets use names of mmon_ray alone"


def test_generated_pages_are_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for path, page in generate.PAGES.items():
        assert page() == path.read_text(), f"{name_of(path)} is old; `python docs/generate.py` writes it"


def test_every_public_name_is_in_the_api() -> None:
    text = (ROOT / "docs" / "reference" / "api.md").read_text()
    listed = re.findall(r"^\.\. auto\w+:: mmon_ray\.(\w+)$", text, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(mmon_ray.__all__) - {"__version__", "states"} == set(listed)


def helps(command: click.Command, words: tuple[str, ...] = ("mmon",)) -> Iterator[tuple[str, str]]:
    yield " ".join(words), command.get_help(click.Context(command, info_name=words[-1]))
    for name, inner in getattr(command, "commands", {}).items():
        yield from helps(inner, (*words, name))


@pytest.mark.parametrize("word", ABOLISHED)
def test_abolished_words_are_gone(word: str) -> None:
    texts = {name_of(path): path.read_text() for path in [*pages(), *OTHERS]} | dict(helps(main))
    having = [name for name, text in texts.items() if word in " ".join(text.lower().split())]
    assert not having, f"'{word}' is in {', '.join(having)}; docs/reference/glossary.md has the word for it"


def test_each_help_text_can_be_read_alone() -> None:
    having = [name for name, text in helps(main) if "likewise" in text.lower()]
    assert not having, f"the help of {', '.join(having)} says 'likewise'; say it again instead"


def test_the_glossary_has_each_word_once_and_in_order() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\*", (ROOT / "docs" / "reference" / "glossary.md").read_text(), re.MULTILINE)
    assert words == sorted(set(words), key=str.lower)
    asked = (
        "state need profile window baseline reference constraint violation band incident facet slice instance "
        "record event segment"
    )
    assert set(asked.split()) <= set(words)


def test_the_architecture_names_files_that_are_there() -> None:
    files = [ROOT / "docs" / "explanation" / "architecture.md", ROOT / "CONTRIBUTING.md"]
    named = {name for path in files for name in re.findall(r"`(mmon_ray/[\w/]+(?:\.py|/))`", path.read_text())}
    named = {name for name in named if not name.endswith("/NAME.py")}
    assert len(named) > 30
    gone = sorted(name for name in named if not (ROOT / name).exists())
    assert not gone, f"not there any more: {', '.join(gone)}"


def test_the_readme_is_short_and_begins_with_the_problem_and_one_command() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 140
    assert "pip install . && mmon demo" in lines[:20]


@pytest.mark.slow
def test_the_demo_says_what_the_readme_and_the_tutorial_show() -> None:
    rows = adult("train")
    model = train(rows)
    answers = pd.DataFrame(predict(model, plain_rows(rows))).rename(columns={"probability": "prediction.probability"})
    monitor = mmon_ray.Monitor("income", analyses=(*mmon_ray.Monitor("income").analyses, mmon_ray.ModelQuality()))
    baseline = monitor.fit(pd.concat([rows, answers], axis=1), label="income")
    bad = broken(adult("test").iloc[600:1200])
    told = pd.DataFrame(predict(model, plain_rows(bad))).rename(columns={"probability": "prediction.probability"})
    now = pd.concat([bad.reset_index(drop=True), told], axis=1)
    report = monitor.evaluate(mmon_ray.fold(now, monitor.zero(baseline.schema)), baseline)
    said = {without_numbers(violation.message) for violation in report.violations}
    for path in (ROOT / "README.md", ROOT / "docs" / "tutorials" / "first-monitor.md"):
        blocks = [block.body for block in blocks_of(path.read_text()) if block.language == "text" and "✗" in block.body]
        shown_sentences = {
            without_numbers(part) for body in blocks for part in re.findall(r"✗ (.*?)\n(?=\S|\Z)", body, re.DOTALL)
        }
        assert len(shown_sentences) >= 4
        assert shown_sentences <= said, f"{name_of(path)}: the demo does not say {sorted(shown_sentences - said)}"


def without_numbers(sentence: str) -> str:
    return re.sub(r"\d[\d.,]*", "0", " ".join(sentence.split()))


def test_the_runner_finds_what_is_wrong(tmp_path: Path, world: World) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    before, after = world.run(page)
    assert (before.count("3"), after) == (1, before.replace("3", "2"))
    page.write_text("```console\n$ mmon baseline credit nowhere.csv\n```\n")
    with pytest.raises(AssertionError, match="no file at"):
        world.run(page)
    page.write_text("<!-- not run: only a check -->\n```console\nmmon run credit --windw 2026-11-22T10\n```\n")
    with pytest.raises(AssertionError, match="--windw"):
        world.run(page)


@pytest.mark.parametrize(
    "command",
    ["mmon run", "mmon capture set --sample 2x credit", "mmon capture nothing", "rm -rf /", "mmon --storee x list"],
)
def test_a_wrong_command_is_found(command: str) -> None:
    with pytest.raises(AssertionError):
        check(command)


@pytest.mark.parametrize(
    "words", ["run credit", "capture set credit --off", "labels serve --port 1", "--store s3://a/b report x", "--help"]
)
def test_a_right_command_parses(words: str) -> None:
    parse(shlex.split(words))


def test_outputs_may_leave_lines_out() -> None:
    assert shown("a\nb\nc\n", "a\n...\n") == "a\n...\n"
    assert shown("a\nb\n", "b\n...\n") == "a\nb\n"
    assert list(commands_of("$ one 'a\nb'\nout\n$ two \\\n  x\n")) == [("one 'a\nb'", "out\n"), ("two \\\n  x", "")]
    assert is_open("echo 'a") and not is_open("echo 'a'")
