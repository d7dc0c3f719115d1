"""Sinks: a violation reaches a log and a real HTTP server; one that fails or hangs neither breaks nor holds up the
run."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmon_ray.core.codec import dump, load
from mmon_ray.core.report import Constraint, Metric, Report, Violation
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError, MonitorError
from mmon_ray.sinks import Log, Webhook
from mmon_ray.sinks.sink import Sink, alarm, deliver, headline

WINDOW = Window.hour(datetime(2026, 11, 22, 10, tzinfo=timezone.utc))
AGE = Violation(
    Constraint("completeness", "age", lower=0.99), Metric("completeness", 0.61, "age"), "38% of `age` is missing"
)
KS = Violation(Constraint("ks", "hours", upper=0.1), Metric("ks", math.nan, "hours"), "`hours` moved", p_value=0.001)
GONE = Violation(Constraint("missing_columns", upper=0.0), None, "missing_columns could not be checked")
ALARMING = Report("shop", WINDOW, 500, violations=(AGE, KS, GONE), errors={"drift": "it broke"}, baseline="v1")
CALM = Report("shop", WINDOW, 500)


@dataclass(frozen=True)
class Remembering(Sink):
    """Keeps what it was told."""

    told: list[Report] = field(default_factory=list)

    def send(self, report: Report) -> None:
        self.told.append(report)


@dataclass(frozen=True)
class Failing(Sink):
    """Raises."""

    error: BaseException = field(default_factory=lambda: ValueError("broken"))

    def send(self, report: Report) -> None:
        raise self.error


@dataclass(frozen=True)
class Hanging(Sink):
    """Waits until it is let go."""

    free: threading.Event = field(default_factory=threading.Event)

    def send(self, report: Report) -> None:
        self.free.wait(60)


@contextmanager
def http_server(*answers):
    """A server that gives the answers in turn, the last one from then on; None hangs until the end. Yields its URL and
    what it was sent."""
    received, free = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, dict(self.headers), json.loads(body)))
            answer = answers[min(len(received), len(answers)) - 1]
            if answer is None:
                free.wait(60)
                return
            self.send_response(answer)
            if answer in (302, 307):
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self):
            received.append((self.path, {}, "GET"))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        free.set()
        server.shutdown()
        server.server_close()


# --- deliver --------------------------------------------------------------------------------------------------------


def test_only_what_needs_telling_is_told():
    usual, always = Remembering(), Remembering(always=True)
    assert deliver(CALM, [usual, always]) == {}
    assert (usual.told, always.told) == ([], [CALM])
    error_only = Report("shop", WINDOW, 500, errors={"drift": "it broke"})
    for report in (ALARMING, error_only):
        assert deliver(report, [usual, always]) == {}
    assert usual.told == [ALARMING, error_only]
    assert always.told == [CALM, ALARMING, error_only]
    assert deliver(ALARMING, []) == {}


def test_what_may_be_chance_wakes_nobody():
    usual, always = Remembering(), Remembering(always=True)
    watched = Report("shop", WINDOW, 500, violations=(replace(KS, band="watch"),))
    assert deliver(watched, [usual, always]) == {}
    assert (usual.told, always.told) == ([], [watched])
    assert headline(watched) == "monitor shop, 2026-11-22T10, 500 rows: 1 to watch"
    mixed = replace(ALARMING, violations=(replace(KS, band="watch"), AGE), errors={})
    assert headline(mixed) == "monitor shop, 2026-11-22T10, 500 rows: 1 alarm and 1 to watch"
    assert alarm(mixed)["text"].splitlines()[1:] == [f"- {AGE.message}", f"- to watch: {KS.message}"]
    assert [one["band"] for one in alarm(mixed)["violations"]] == ["alarm", "watch"]


def test_a_sink_that_fails_is_noted_and_the_others_are_told():
    last = Remembering()
    errors = deliver(ALARMING, [Failing(), Failing(MonitorError("a sentence")), Failing(SystemExit(3)), last])
    assert errors == {"Failing": "ValueError: broken", "Failing-2": "a sentence", "Failing-3": "SystemExit: 3"}
    assert last.told == [ALARMING]


def test_sinks_that_hang_cost_one_timeout_together():
    hanging = [Hanging() for _ in range(8)]
    last = Remembering()
    began = time.monotonic()
    try:
        errors = deliver(ALARMING, [*hanging, last], timeout_s=0.8)
        assert time.monotonic() - began < 4
        assert list(errors) == ["Hanging", *(f"Hanging-{number}" for number in range(2, 9))]
        assert all("did not finish within 0.8 s" in error for error in errors.values())
        assert last.told == [ALARMING]
    finally:
        for sink in hanging:
            sink.free.set()


# --- what is said ---------------------------------------------------------------------------------------------------


def test_the_headline():
    assert headline(ALARMING) == "monitor shop, 2026-11-22T10, 500 rows: 3 alarms and 1 error"
    assert headline(CALM) == "monitor shop, 2026-11-22T10, 500 rows: no alarms"
    assert headline(Report("shop", None, 1, violations=(AGE,))) == "monitor shop, 1 row: 1 alarm"
    assert headline(Report("shop", WINDOW, 0, insufficient="the window has no rows")).endswith(
        "0 rows: not judged, the window has no rows"
    )


def test_the_alarm_is_plain_json():
    keys = ("metric", "column", "value", "lower", "upper", "p_value", "band", "message")
    said = json.loads(json.dumps(alarm(ALARMING), allow_nan=False))
    assert said.pop("text").splitlines() == [
        headline(ALARMING),
        "- 38% of `age` is missing",
        "- `hours` moved",
        "- missing_columns could not be checked",
        "- drift failed: it broke",
    ]
    assert said == {
        "monitor": "shop",
        "window": {"start": "2026-11-22T10:00:00Z", "end": "2026-11-22T11:00:00Z"},
        "status": "alarm",
        "rows": 500,
        "baseline": "v1",
        "errors": {"drift": "it broke"},
        "violations": [
            dict(zip(keys, ("completeness", "age", 0.61, 0.99, None, None, "alarm", AGE.message), strict=True)),
            dict(zip(keys, ("ks", "hours", None, None, 0.1, 0.001, "alarm", KS.message), strict=True)),
            dict(zip(keys, ("missing_columns", None, None, None, 0.0, None, "alarm", GONE.message), strict=True)),
        ],
    }


def test_the_log_has_a_line_for_each_violation(caplog):
    caplog.set_level(logging.INFO, "mmon_ray")
    assert deliver(ALARMING, [Log()]) == {}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert [record.getMessage() for record in caplog.records] == [
        headline(ALARMING),
        f"monitor shop: {AGE.message}",
        f"monitor shop: {KS.message}",
        f"monitor shop: {GONE.message}",
        "monitor shop: drift failed: it broke",
    ]
    caplog.clear()
    deliver(Report("shop", WINDOW, 500, violations=(replace(KS, band="watch"),)), [Log(always=True)])
    assert [(record.levelno, record.getMessage()) for record in caplog.records][1:] == [
        (logging.INFO, f"monitor shop: to watch: {KS.message}")
    ]
    caplog.clear()
    deliver(CALM, [Log(always=True)])
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(logging.INFO, headline(CALM))]


# --- the webhook ----------------------------------------------------------------------------------------------------


def test_the_webhook_posts_the_alarm_with_its_headers():
    with http_server(204) as (url, received):
        assert deliver(ALARMING, [Webhook(f"{url}/alarms?team=a", headers={"Authorization": "Bearer secret"})]) == {}
    ((path, headers, body),) = received
    assert path == "/alarms?team=a"
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Content-Type"] == "application/json"
    assert body == alarm(ALARMING)


def test_a_busy_server_is_tried_again():
    with http_server(500, 429, 200) as (url, received):
        Webhook(url, pause_s=0.01).send(ALARMING)
    assert [body for _, _, body in received] == [alarm(ALARMING)] * 3


def test_pauses_grow(monkeypatch):
    pauses, own = [], threading.get_ident()
    # Other threads of this process may sleep too: those of Ray and of the S3 server.
    monkeypatch.setattr(
        "mmon_ray.sinks.webhook.time.sleep", lambda s: threading.get_ident() == own and pauses.append(s)
    )
    with http_server(503) as (url, received), pytest.raises(MonitorError, match="after 4 attempts: it answered 503"):
        Webhook(url, attempts=4, pause_s=0.5).send(ALARMING)
    assert pauses == [0.5, 1.0, 2.0]
    assert len(received) == 4


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 401, 404, 302, 307])
def test_a_server_that_says_no_is_not_asked_again(status):
    with (
        http_server(status) as (url, received),
        pytest.raises(MonitorError, match=f"after 1 attempt: it answered {status}"),
    ):
        Webhook(url, pause_s=0.01).send(ALARMING)
    assert len(received) == 1


def test_a_server_that_hangs_or_is_not_there():
    with http_server(None) as (url, received):
        began = time.monotonic()
        with pytest.raises(MonitorError, match="after 2 attempts: timed out"):
            Webhook(url, timeout_s=0.2, attempts=2, pause_s=0.01).send(ALARMING)
        assert len(received) == 2
        assert time.monotonic() - began < 5
    errors = deliver(ALARMING, [Webhook(f"{url}/the/password", pause_s=0.01)])  # the server is gone now
    assert list(errors) == ["webhook"]
    assert f"the webhook {url} did not take the alarm after 3 attempts" in errors["webhook"]
    assert "Connection refused" in errors["webhook"]
    assert "password" not in errors["webhook"]


def test_a_hung_webhook_does_not_hold_up_the_run():
    with http_server(None) as (url, _):
        began = time.monotonic()
        errors = deliver(ALARMING, [Webhook(url, timeout_s=30)], timeout_s=0.3)
        assert time.monotonic() - began < 5
    assert "did not finish" in errors["webhook"]


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "example.org/x", "http://", "ftp://host/x"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(InputError, match="not a webhook's address"):
        Webhook(url)


def test_attempts_are_at_least_one():
    with pytest.raises(InputError, match="attempts=0"):
        Webhook("http://host/", attempts=0)


@pytest.mark.parametrize(
    "sink", [Log(), Log(always=True, logger="x"), Webhook("http://host/x", headers={"A": "b"}, attempts=5)]
)
def test_a_sink_travels_as_json(sink):
    assert load(json.loads(json.dumps(dump(sink)))) == sink
