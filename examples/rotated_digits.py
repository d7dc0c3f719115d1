"""Images on Ray Serve: scikit-learn's handwritten digits, read by a small network whose last layer is watched; then the
scanner turns them.

`python -m examples.rotated_digits`. The endpoint answers with its embedding, so no encoder is needed. The real
application, two hours.
"""

from __future__ import annotations

import json
import os
import tempfile
import urllib.request

import numpy as np
import pyarrow as pa
import ray
from ray import serve
from rich.console import Console
from scipy.ndimage import rotate
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from starlette.requests import Request

import mmon_ray
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.core.window import Window, parse_time
from mmon_ray.monitors.report_table import print_report

HOURS = [parse_time(f"2026-11-22T{hour}") for hour in (10, 11)]
TRAINING = 1_200
DATA = load_digits()
ORDER = np.random.default_rng(0).permutation(len(DATA.target))  # its writers come one after the other
IMAGES, DIGITS = DATA.data[ORDER], DATA.target[ORDER]


class Reader:
    def __init__(self) -> None:
        self.model = MLPClassifier((32,), max_iter=400, random_state=0).fit(IMAGES[:TRAINING], DIGITS[:TRAINING])

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The digit of each image (n, 64), and the activations of the hidden layer, (n, 32)."""
        hidden = np.maximum(0, images @ self.model.coefs_[0] + self.model.intercepts_[0])
        return self.model.predict(images), hidden

    async def __call__(self, request: Request) -> dict[str, object]:
        digits, hidden = self.read(np.array([(await request.json())["image"]]))
        return {"prediction": int(digits[0]), "embedding": hidden[0].tolist()}


def send(url: str, images: np.ndarray, hour: int) -> None:
    headers = {"Content-Type": "application/json", "X-Mmon-Event-Time": HOURS[hour].isoformat()}
    for image in images:
        urllib.request.urlopen(
            urllib.request.Request(url, json.dumps({"image": image.tolist()}).encode(), headers)
        ).read()


def main(folder: str, port: int) -> None:
    store = mmon_ray.open_store(f"{folder}/store")
    ray.init(log_to_driver=False, ignore_reinit_error=True)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    app = serve.deployment(Reader).bind()
    serve.run(
        mmon_ray.capture(app, endpoint="digits", store=store.uri, spool=f"{folder}/spool"),
        name="digits",
        route_prefix="/digits",
    )
    monitor = mmon_ray.Monitor("digits", analyses=(mmon_ray.Embedding("prediction.embedding"),))
    digits, hidden = Reader().read(IMAGES[:TRAINING])
    save_monitor(store, monitor)
    save_baseline(store, monitor.fit(pa.table({"prediction": digits, "prediction.embedding": hidden.tolist()})))
    later = IMAGES[TRAINING:]
    turned = np.clip([rotate(image.reshape(8, 8), 25, reshape=False, order=1) for image in later[300:]], 0, 16).reshape(
        -1, 64
    )
    for hour, images in enumerate((later[:250], turned[:250])):
        send(f"http://127.0.0.1:{port}/digits", images, hour)
    mmon_ray.drain("digits", spool=f"{folder}/spool")
    for hour in HOURS:
        print_report(mmon_ray.run(monitor, Window.hour(hour), store), Console(highlight=False))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(temporary, int(os.environ.get("PORT", "8123")))
