"""Captured records: ours as the service's JSON lines, and theirs as ours."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from mmon_ray.core.window import iso, parse_time
from mmon_ray.errors import InputError

__all__ = ["capture_from_service", "capture_to_service"]

_TEXTS = {"text/csv": "csv", "application/csv": "csv", "application/json": "json"}
_ENCODINGS = {"CSV": "csv", "JSON": "json", "BASE64": "base64"}
_NOTHING = {"content_type": None, "encoding": "none", "data": None}


def capture_to_service(record: Mapping[str, Any]) -> dict[str, Any]:
    """A captured record of ours as a record of the service.

    The only argument of a handle's call becomes its JSON, several become one object; other text becomes base64, as
    there; a payload that nobody read, or that was not kept, is left out. The service has no place for status, latency, method and model id.
    """
    data = {"endpointInput": _side(record.get("input"), "INPUT"), "endpointOutput": _side(record.get("output"), "OUTPUT")}
    event = {"eventId": record["event_id"]}
    if record.get("inference_id"):
        event["inferenceId"] = record["inference_id"]
    event["inferenceTime"] = iso(parse_time(record["time"]).replace(microsecond=0))
    return {"captureData": {name: side for name, side in data.items() if side}, "eventMetadata": event, "eventVersion": "0"}


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
        raise InputError(f"not a captured record ({type(error).__name__}: {error}); expected `captureData` and `eventMetadata`") from None
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
    value = args[0] if len(args) == 1 and not kwargs else {**{f"arg{number}": arg for number, arg in enumerate(args)}, **kwargs}
    return orjson.dumps(value).decode()


def _payload(side: Mapping[str, Any] | None) -> dict[str, Any]:
    if side is None:
        return dict(_NOTHING)
    if side["encoding"] not in _ENCODINGS:
        raise InputError(f"a captured payload has encoding '{side['encoding']}'; expected one of {', '.join(_ENCODINGS)}")
    encoding, data, content_type = _ENCODINGS[side["encoding"]], side["data"], side.get("observedContentType")
    known = _TEXTS.get((content_type or "").partition(";")[0].strip().lower())
    if encoding == "base64" and known:
        with suppress(binascii.Error, UnicodeDecodeError):  # bytes that are not what the sender said stay bytes
            encoding, data = known, base64.b64decode(data, validate=True).decode()
    return {"content_type": content_type, "encoding": encoding, "data": data}
