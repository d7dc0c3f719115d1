"""Captured records: ours as the service's JSON lines, and theirs as ours."""

from __future__ import annotations

import base64
import binascii
import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from mmon_ray.core.window import iso, parse_time
from mmon_ray.errors import InputError

__all__ = [
    "PRE",
    "EventData",
    "EventMetadata",
    "InferenceRecord",
    "Side",
    "capture_from_service",
    "capture_to_service",
    "preprocess",
]

_TEXTS = {"text/csv": "csv", "application/csv": "csv", "application/json": "json"}
_ENCODINGS = {"CSV": "csv", "JSON": "json", "BASE64": "base64"}
_NOTHING = {"content_type": None, "encoding": "none", "data": None}


def capture_to_service(record: Mapping[str, Any]) -> dict[str, Any]:
    """A captured record of ours as a record of the service.

    The only argument of a handle's call becomes its JSON, several become one object; other text becomes base64, as
    there; a payload that nobody read, or that was not kept, is left out. The service has no place for status, latency,
    method and model id.
    """
    data = {
        "endpointInput": _side(record.get("input"), "INPUT"),
        "endpointOutput": _side(record.get("output"), "OUTPUT"),
    }
    event = {"eventId": record["event_id"]}
    if record.get("inference_id"):
        event["inferenceId"] = record["inference_id"]
    event["inferenceTime"] = iso(parse_time(record["time"]).replace(microsecond=0))
    return {
        "captureData": {name: side for name, side in data.items() if side},
        "eventMetadata": event,
        "eventVersion": "0",
    }


def capture_from_service(doc: Mapping[str, Any]) -> dict[str, Any]:
    """A record of the service as a captured record of ours; what the service does not know is absent.

    Base64 of a CSV or JSON body, which the service makes when it was not told of the content type, is read as such.
    errors   InputError when the document is not a captured record
    """
    try:
        event, data = doc["eventMetadata"], doc["captureData"]
        record = {
            "v": 1,
            "event_id": event["eventId"],
            "inference_id": event.get("inferenceId"),
            "time": iso(parse_time(event["inferenceTime"])),
            "status": "",
            "weight": 1.0,
            "input": _payload(data.get("endpointInput")),
            "output": _payload(data.get("endpointOutput")),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"not a captured record ({type(error).__name__}: {error}); expected `captureData` and `eventMetadata`"
        ) from None
    if event.get("customAttributes"):
        record["custom_attributes"] = list(event["customAttributes"])
    return record


def _side(payload: Mapping[str, Any] | None, mode: str) -> dict[str, Any] | None:
    if payload is None or payload["encoding"] in ("none", "repr", "omitted"):
        return None
    encoding, data = payload["encoding"], payload["data"]
    if encoding == "args":
        encoding, data = "json", _only_argument(data)
    elif encoding not in _ENCODINGS.values():
        encoding, data = "base64", base64.b64encode(data.encode()).decode()
    return {"observedContentType": payload["content_type"], "mode": mode, "data": data, "encoding": encoding.upper()}


def _only_argument(text: str) -> str:
    call = orjson.loads(text)
    args, kwargs = call.get("args") or [], call.get("kwargs") or {}
    value = (
        args[0]
        if len(args) == 1 and not kwargs
        else {**{f"arg{number}": arg for number, arg in enumerate(args)}, **kwargs}
    )
    return orjson.dumps(value).decode()


def _payload(side: Mapping[str, Any] | None) -> dict[str, Any]:
    if side is None:
        return dict(_NOTHING)
    if side["encoding"] not in _ENCODINGS:
        raise InputError(
            f"a captured payload has encoding '{side['encoding']}'; expected one of {', '.join(_ENCODINGS)}"
        )
    encoding, data, content_type = _ENCODINGS[side["encoding"]], side["data"], side.get("observedContentType")
    known = _TEXTS.get((content_type or "").partition(";")[0].strip().lower())
    if encoding == "base64" and known:
        with suppress(binascii.Error, UnicodeDecodeError):  # bytes that are not what the sender said stay bytes
            encoding, data = known, base64.b64decode(data, validate=True).decode()
    return {"content_type": content_type, "encoding": encoding, "data": data}


PRE = "preprocess_handler"


_logger = logging.getLogger("mmon_ray.records.pre_hook")


@dataclass(frozen=True)
class Side:
    """A request's or an answer's payload as the service keeps it.

    data, encoding   text, and `CSV`, `JSON` or `BASE64`
    observedContentType, mode   as received, and `INPUT` or `OUTPUT`
    """

    data: str
    encoding: str
    observedContentType: str | None
    mode: str

    def as_dict(self) -> dict[str, Any]:
        """The same as a dict."""
        return dict(vars(self))


@dataclass(frozen=True)
class EventMetadata:
    """When a record was made, and its ids.

    custom_attribute   None, as there for a request without: of a request's headers only its id, time and content type
                       are captured
    """

    event_id: str
    event_time: str
    custom_attribute: list[str] | None
    inference_id: str | None


@dataclass(frozen=True)
class EventData:
    """The name that old scripts have for a record's payloads."""

    endpointInput: Side | None
    endpointOutput: Side | None


class InferenceRecord:
    """What the service's `preprocess_handler` is given.

    endpoint_input, endpoint_output   the request and its answer, None where there is none
    batch_transform_output, ground_truth   None: batches are captured like requests, and labels come later
    event_metadata, event_version, event_dict   ids and time, `0`, and the record as the service's JSON has it
    event_data                        the name that old scripts have for the payloads
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        doc = capture_to_service(record)
        event = doc["eventMetadata"]
        self.endpoint_input = _payload_side(doc["captureData"].get("endpointInput"))
        self.endpoint_output = _payload_side(doc["captureData"].get("endpointOutput"))
        self.batch_transform_output: Side | None = None
        self.ground_truth: Side | None = None
        self.event_metadata = EventMetadata(event["eventId"], event["inferenceTime"], None, event.get("inferenceId"))
        self.event_version = doc["eventVersion"]
        self.event_dict = doc
        self.event_data = EventData(self.endpoint_input, self.endpoint_output)

    def as_dict(self) -> dict[str, Any]:
        """The record as the service's JSON has it."""
        return self.event_dict


def preprocess(handler: Callable[..., Any]) -> Callable[[Mapping[str, Any]], list[Any]]:
    """A `preprocess_handler` as a function of a captured record of ours; columns sorted by their names as text, as
    there.

    handler   takes the record, or the record and a logger
    returns   what the handler returned, as a list; what is no dict in it is left to the caller
    """
    both = len(inspect.signature(handler).parameters) > 1

    def rows(record: Mapping[str, Any]) -> list[Any]:
        given = InferenceRecord(record)
        made = handler(given, _logger) if both else handler(given)
        several = made if isinstance(made, list) else [] if made is None else [made]
        return [
            dict(sorted(row.items(), key=lambda item: str(item[0]))) if isinstance(row, Mapping) else row
            for row in several
        ]

    return rows


def _payload_side(side: Mapping[str, Any] | None) -> Side | None:
    return Side(**side) if side is not None else None
