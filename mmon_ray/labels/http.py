"""The door for labels: an HTTP application that takes them by PUT, alone (`mmon labels serve`) or as a deployment of
Ray Serve."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from mmon_ray.errors import MonitorError
from mmon_ray.labels.store import ID, TIME, put_labels
from mmon_ray.storage.store import Store

__all__ = ["application", "serve"]

MAX_BYTES = 64 << 20
_FORMS = {
    "text/csv": ".csv",
    "application/csv": ".csv",
    "application/json": ".json",
    "application/vnd.apache.parquet": ".parquet",
}
_PARQUET = b"PAR1"
_LINES = ".jsonl"  # what anything else is taken for


def application(store: Store, max_bytes: int = MAX_BYTES) -> Any:
    """An ASGI application: `PUT /labels/{endpoint}` with JSON lines, JSON, CSV or Parquet, told apart by the content
    type; Parquet also by how it begins.

    The query may name the columns: `?id_column=order&label_column=paid`. It answers with the number of labels as JSON,
    or with one sentence and 400 (what is wrong with them), 413 (too large; send parts) or 503 (the store cannot be
    written: send them again).
    """
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from mmon_ray.errors import InputError, StoreError

    async def labels(request: Request) -> JSONResponse:
        if int(request.headers.get("content-length") or 0) > max_bytes:
            return JSONResponse({"error": f"more than {max_bytes:,} bytes; send the labels in parts"}, 413)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                return JSONResponse({"error": f"more than {max_bytes:,} bytes; send the labels in parts"}, 413)
        said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        form = ".parquet" if body.startswith(_PARQUET) else _FORMS.get(said, _LINES)
        named = {
            name: request.query_params[name]
            for name in ("id_column", "label_column", "time_column")
            if name in request.query_params
        }
        try:
            count = await asyncio.to_thread(_put, store, request.path_params["endpoint"], body, form, named)
        except StoreError as error:
            return JSONResponse({"error": str(error)}, 503)
        except (InputError, MonitorError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"labels": count})

    return Starlette(routes=[Route("/labels/{endpoint}", labels, methods=["PUT", "POST"])])


def serve(store: Store, host: str, port: int) -> None:
    """Serve the application until the process is told to end."""
    import uvicorn

    uvicorn.run(application(store), host=host, port=port, log_level="warning")


def _put(store: Store, endpoint: str, body: bytes, form: str, named: dict[str, str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{form}"
        path.write_bytes(body)
        named = {"id_column": ID, "time_column": TIME, **named}
        ids, times, label = named["id_column"], named["time_column"], named.get("label_column")
        return put_labels(store, endpoint, str(path), id_column=ids, time_column=times, label_column=label)
