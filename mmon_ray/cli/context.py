"""What every command shares: the store, how to print, and how an error ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console

from mmon_ray.errors import MonitorError

__all__ = ["ALARMS", "ERROR", "Context", "Explained", "exit_for", "report_doc", "with_context"]

ALARMS, ERROR = 1, 2


class Explained(click.Group):
    """Turns every MonitorError into one sentence on stderr and exit code 2; `--json` may stand anywhere."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments."""
        moved = [word for word in args if word == "--json"]
        return super().parse_args(ctx, moved + [word for word in args if word != "--json"])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except MonitorError as error:
            if ctx.params.get("as_json"):
                click.echo(json.dumps({"status": "failed", "error": str(error)}))
            click.echo(f"mmon: {error}", err=True)
            ctx.exit(ERROR)


class Context:
    """What every command is given: the store and how to print."""

    def __init__(self, uri: str, as_json: bool) -> None:
        self.uri, self.as_json = uri, as_json
        # With --json, standard output holds the JSON document and nothing else.
        self.console = Console(stderr=as_json, highlight=False)

    @property
    def store(self) -> Any:
        """The store, opened."""
        from mmon_ray.store import open_store

        return open_store(self.uri)

    def answer(self, doc: Any, show: Callable[[], None]) -> None:
        """Print an answer, for machines or for people."""
        if self.as_json:
            click.echo(json.dumps(doc, indent=2))
        else:
            show()


with_context = click.make_pass_decorator(Context)


def report_doc(report: Any) -> dict[str, Any]:
    """A report as a JSON document, its sentences first."""
    from mmon_ray.codec import dump

    doc: dict[str, Any] = dump(report)
    return {"status": report.status, "sentences": [violation.message for violation in report.alarms + report.watched], **doc}


def exit_for(report: Any) -> None:
    """Ends the process with the exit code of a report, unless that is 0."""
    if report.status == "error":
        sys.exit(ERROR)
    if report.alarms:
        sys.exit(ALARMS)
