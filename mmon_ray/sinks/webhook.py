"""The webhook: the alarm as a JSON POST to a URL."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from mmon_ray.core.report import Report
from mmon_ray.errors import InputError, MonitorError
from mmon_ray.sinks.sink import Sink, alarm

__all__ = ["Webhook"]

_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Webhook(Sink, kind="webhook"):
    """Posts the alarm as JSON to a URL: an alert manager, a chat program, a service of your own.

    url        http:// or https://
    headers    added to the request, such as {"Authorization": "Bearer ..."}
    timeout_s  how long one attempt may wait for the server
    attempts   how often it tries when the server cannot be reached or is busy
    pause_s    between the first two attempts; doubled each time
    errors     InputError for a URL of another kind

    >>> import mmon_ray
    >>> mmon_ray.Webhook("https://example.org/alarms", attempts=5).attempts
    5
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 5.0
    attempts: int = 3
    pause_s: float = 0.5

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"'{self.url}' is not a webhook's address; write http://host/path or https://host/path")
        if self.attempts < 1:
            raise InputError(f"a webhook needs at least one attempt; got attempts={self.attempts}")

    def send(self, report: Report) -> None:
        """Post the alarm.

        errors   MonitorError when no attempt was answered with 2xx
        """
        headers = {"Content-Type": "application/json", "User-Agent": "mmon_ray", **self.headers}
        request = urllib.request.Request(self.url, data=orjson.dumps(alarm(report)), headers=headers, method="POST")
        for attempt in range(1, self.attempts + 1):
            why, again = self._post(request)
            if not why:
                return
            if not again:
                break
            if attempt < self.attempts:
                time.sleep(self.pause_s * 2 ** (attempt - 1))
        tries = "1 attempt" if attempt == 1 else f"{attempt} attempts"
        raise MonitorError(
            f"the webhook {self._place} did not take the alarm after {tries}: {why}; check the address and the server"
        )

    def _post(self, request: urllib.request.Request) -> tuple[str, bool]:
        """Why the alarm was not taken, "" if it was; and whether it makes sense to try again."""
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout_s):
                return "", False
        except urllib.error.HTTPError as error:
            with error:
                return f"it answered {error.code} {error.reason}", error.code in _AGAIN
        except urllib.error.URLError as error:
            return str(error.reason), True
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__, True

    @property
    def _place(self) -> str:
        # Without path and query: those of chat programs are the password.
        parts = urllib.parse.urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET without the alarm, and its 200 would look like success."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """No new request: the redirect is an error."""
