"""An own container of SageMaker Model Monitor, carried over: its script runs unchanged, and its violations are told
like all others."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import orjson
import zstandard
from rich.console import Console

import mmon_ray
from mmon_ray.monitors.report_table import print_report
from mmon_ray.storage.keys import capture_key

HOUR = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
BANKING = [
    "My new card has not arrived yet",
    "Why was my payment declined?",
    "How can I block a lost card?",
    "Is my transfer still pending?",
]
COOKING = ["Boil spaghetti until tender", "Whisk eggs with sugar", "Bake bread for thirty minutes"]


def serve(store: mmon_ray.Store, hour: datetime, texts: list[str]) -> None:
    """Requests as capture leaves them in the store; each asks about one text."""
    lines = []
    for number, text in enumerate(texts):
        body = {"content_type": "application/json", "encoding": "json", "data": orjson.dumps([text]).decode()}
        answer = {"content_type": "application/json", "encoding": "json", "data": '{"prediction": "card"}'}
        time = (hour + timedelta(seconds=number)).isoformat()
        lines.append(
            orjson.dumps({"event_id": f"e{number}", "time": time, "status": "200", "input": body, "output": answer})
        )
    store.put(capture_key("bank", "Bank", hour, "a.jsonl.zst"), zstandard.compress(b"\n".join(lines) + b"\n"))


def main(folder: str) -> None:
    script = Path(__file__).parent / "own_program" / "evaluation.py"
    program = mmon_ray.Program("nlp", ("python", str(script)), environment={"THRESHOLD": "0.1"}, timeout_s=60)
    # On a cluster with pip packages or an image: runtime_env={"working_dir": str(script.parent), "pip": ["wordllama"]}
    monitor = mmon_ray.Monitor(
        "bank", analyses=(), programs=(program,)
    )  # nothing else is asked, so no baseline is needed
    store = mmon_ray.open_store(folder)
    for hour, texts in ((HOUR, 60 * BANKING), (HOUR + timedelta(hours=1), 50 * BANKING + 10 * COOKING)):
        serve(store, hour, texts)
        print_report(mmon_ray.run(monitor, mmon_ray.Window.hour(hour), store), Console(highlight=False))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(temporary)
