"""What every command shares: the store, how to print, and how an error ends."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console

from mmon_ray.core.window import Window, parse_time
from mmon_ray.errors import InputError, MonitorError

__all__ = ["ALARMS", "ERROR", "Context", "Explained", "exit_for", "report_doc", "with_context"]

ALARMS, ERROR = 1, 2
DEBUG = "MMON_DEBUG"


class Explained(click.Group):
    """Turns every error into one sentence on stderr and exit code 2; `--json` may stand anywhere."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments."""
        moved = [word for word in args if word == "--json"]
        return super().parse_args(ctx, moved + [word for word in args if word != "--json"])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except MonitorError as error:
            self._end(ctx, str(error))
        except (KeyboardInterrupt, click.Abort):
            self._end(ctx, "interrupted")
        except BrokenPipeError:  # `| head` has seen enough
            sys.stdout = None
        except (click.exceptions.Exit, click.ClickException):
            raise
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            self._end(
                ctx, f"{type(error).__name__}: {_first_line(error)}; this is a fault of mmon_ray, {DEBUG}=1 shows where"
            )

    def _end(self, ctx: click.Context, sentence: str) -> None:
        if ctx.params.get("as_json"):
            click.echo(json.dumps({"status": "failed", "error": sentence}))
        click.echo(f"mmon: {sentence}", err=True)
        ctx.exit(ERROR)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


class Context:
    """What every command is given: the store and how to print."""

    def __init__(self, uri: str, as_json: bool) -> None:
        self.uri, self.as_json = uri, as_json
        # With --json, standard output holds the JSON document and nothing else.
        self.console = Console(stderr=as_json, highlight=False)

    @property
    def store(self) -> Any:
        """The store, opened.

        errors   InputError when its folder is not there, for all commands but those that make it
        """
        from mmon_ray.storage.open import open_store

        store = open_store(self.uri)
        command = click.get_current_context().command.name
        if "://" not in store.uri and not os.path.isdir(store.uri) and command not in _MAKE_STORES:
            raise InputError(
                f"there is no store at {store.uri}; check --store, or make it by `mmon baseline` or by capturing an "
                f"endpoint"
            )
        return store

    def window(self, text: str) -> Window:
        """The window that a text names; says so when it leaves minutes out."""
        window = Window.parse(text)
        if "/" not in text and parse_time(text) not in (window.start, window.end):
            click.echo(f"mmon: {text.strip()} is taken for the hour {window}", err=True)
        return window

    def answer(self, doc: Any, show: Callable[[], None]) -> None:
        """Print an answer, for machines or for people."""
        if self.as_json:
            click.echo(json.dumps(doc, indent=2))
        else:
            show()


_MAKE_STORES = (
    "baseline",
    "put",
    "serve",
    "set",
    "capture",
)  # the commands that write to a store that is not there yet
with_context = click.make_pass_decorator(Context)


def report_doc(report: Any) -> dict[str, Any]:
    """A report as a JSON document, its sentences first."""
    from mmon_ray.core.codec import dump

    doc: dict[str, Any] = dump(report)
    return {
        "status": report.status,
        "sentences": [violation.message for violation in report.alarms + report.watched],
        **doc,
    }


def exit_for(report: Any) -> None:
    """Ends the process with the exit code of a report, unless that is 0."""
    if report.status == "error":
        sys.exit(ERROR)
    if report.alarms:
        sys.exit(ALARMS)
