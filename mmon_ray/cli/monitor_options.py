"""What the options of `mmon baseline` say of the monitor: what it watches, how rows are prepared, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mmon_ray.cli.prepare_options import prepared_by

if TYPE_CHECKING:
    from mmon_ray.monitors.monitor import Monitor

__all__ = ["monitor_of", "monitor_options"]

_OPTIONS = (
    click.option("--endpoint", default="", help="The endpoint's name at capture.  [default: NAME]"),
    click.option("--deployment", default="", help="The deployment, if several were captured for the endpoint."),
    click.option(
        "--route",
        multiple=True,
        metavar="ROUTE",
        help="Count only requests of this route as predictions: /predict, '/v1/*'. Repeatable.",
    ),
    click.option(
        "--method",
        multiple=True,
        metavar="NAME",
        help="Count only requests of this method, or FastAPI path operation, as predictions. Repeatable.",
    ),
    click.option(
        "--missing",
        multiple=True,
        metavar="WORD",
        help="Treat this word as missing in numeric columns, in addition to NA, n/a, null, NaN, None, ?, - and the "
        "like. "
        "Repeatable.",
    ),
    click.option(
        "--rename",
        multiple=True,
        metavar="OLD=NEW",
        help="Map a column name in requests to its name in DATA: weather.temp=temp. Repeatable.",
    ),
    click.option(
        "--quality", is_flag=True, help="Measure model quality once labels arrive; DATA needs labels and predictions."
    ),
    click.option("--webhook", multiple=True, metavar="URL", help="POST alarms to this URL. Repeatable."),
    click.option(
        "--pre",
        default="",
        metavar="FUNCTION",
        help="Function that turns a captured request into rows: pkg.mod:function or file.py:function.",
    ),
    click.option(
        "--pre-batch",
        multiple=True,
        metavar="FUNCTION",
        help="Function that prepares tables of rows, of DATA and of traffic: pkg.mod:function or file.py:function. "
        "Repeatable.",
    ),
    click.option(
        "--text",
        multiple=True,
        metavar="COLUMN",
        help="Watch the length, script, words and repetitions of the texts in this column. Repeatable.",
    ),
    click.option(
        "--image",
        multiple=True,
        metavar="COLUMN",
        help="Watch the size, brightness and entropy of the images in this column. Repeatable.",
    ),
    click.option(
        "--encode",
        multiple=True,
        metavar="COLUMN[=ENCODER]",
        help="Watch the meaning of the texts in this column, by pkg.mod:function, file.py:function or a sentence "
        "encoder. "
        "Repeatable.",
    ),
    click.option(
        "--post",
        default="",
        metavar="FUNCTION",
        help="Function called with each report before the sinks: pkg.mod:function or file.py:function.",
    ),
    click.option(
        "--post-timeout", type=float, metavar="SECONDS", help="Time limit of a postprocess_handler.  [default: 60]"
    ),
    click.option(
        "--post-variable",
        multiple=True,
        metavar="NAME",
        help="Pass this environment variable to a postprocess_handler. Repeatable.",
    ),
    click.option(
        "--program",
        "program_texts",
        multiple=True,
        metavar="NAME=COMMAND",
        help="Your own analysis: a command that gets each window's files, or a .yaml file with its settings. "
        "Repeatable.",
    ),
    click.option(
        "--reference",
        "reference_text",
        default="",
        metavar="WHAT",
        help="What a window is compared with: training, rolling:24 (the windows before), seasonal:4 (the same hour of "
        "the "
        "last weeks).  [default: training]",
    ),
)


def monitor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that describe a monitor; `monitor_of` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def monitor_of(
    name: str,
    known: Monitor | None,
    *,
    endpoint: str,
    deployment: str,
    route: tuple[str, ...],
    method: tuple[str, ...],
    missing: tuple[str, ...],
    quality: bool,
    webhook: tuple[str, ...],
    pre: str,
    pre_batch: tuple[str, ...],
    text: tuple[str, ...],
    image: tuple[str, ...],
    encode: tuple[str, ...],
    post: str,
    post_timeout: float | None,
    post_variable: tuple[str, ...],
    rename: tuple[str, ...],
    program_texts: tuple[str, ...],
    reference_text: str,
) -> Monitor:
    """The monitor that is known, or a new one, with what the options say; functions are looked up at once, so that a
    typo is told now."""
    from mmon_ray.analyses import LabelCoverage, ModelQuality
    from mmon_ray.cli.baseline_renewal import added
    from mmon_ray.cli.program_option import parse_program
    from mmon_ray.cli.rename_proposal import with_names
    from mmon_ray.core.codec import resolve
    from mmon_ray.monitors.monitor import DEFAULT_ANALYSES, Monitor
    from mmon_ray.monitors.reference import parse_reference
    from mmon_ray.sinks import Log, Webhook

    for function in (pre, post):
        if ":" in function and ".py:" not in function:
            resolve(function)
    steps, looking = prepared_by(pre_batch, text, image, encode)
    monitor = known or Monitor(name, analyses=DEFAULT_ANALYSES, sinks=(Log(),))
    there = {type(one) for one in monitor.analyses}
    labelled = [one for one in (ModelQuality(), LabelCoverage()) if quality and type(one) not in there]
    urls = {one.url for one in monitor.sinks if isinstance(one, Webhook)}
    single: dict[str, Any] = {
        "endpoint": endpoint,
        "deployment": deployment,
        "pre": pre,
        "post": post,
        "post_timeout_s": post_timeout,
        "reference": parse_reference(reference_text) if reference_text else None,
        "routes": route,
        "methods": method,
    }
    return replace(
        monitor,
        **{field: value for field, value in single.items() if value not in ("", None, ())},
        analyses=added(monitor.analyses, (*labelled, *looking)),
        sinks=added(monitor.sinks, tuple(Webhook(url) for url in webhook if url not in urls)),
        prepare=added(monitor.prepare, steps),
        programs=added(monitor.programs, tuple(map(parse_program, program_texts))),
        post_variables=tuple(dict.fromkeys((*monitor.post_variables, *post_variable))),
        missing=tuple(dict.fromkeys((*monitor.missing, *missing))),
        rename=with_names(monitor.rename, rename),
    )
