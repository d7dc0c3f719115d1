"""What it costs to describe texts and images, and to count words, beside the usual tools.

    python benchmarks/descriptors.py

One thread, seconds of the processor, medians of the rounds; the ratios are of pairs measured one after another. Texts:
50,000 of 3 to 30 words of a vocabulary of 20,000. pandas does length, words, share beyond ASCII and share of capitals
(no script); scikit-learn's CountVectorizer finds in how many texts each word is. Images of 224 x 224 colours; Pillow
decodes them to greys and does no more. Writes benchmarks/results/descriptors.json.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import CountVectorizer

from mmon_ray.records.preparations import ImageDescriptors, TextDescriptors
from mmon_ray.states import Repeats, Words

RESULTS = Path(__file__).parent / "results" / "descriptors.json"
TEXTS, IMAGES = 50_000, 200


def make_texts() -> list[str]:
    rng = np.random.default_rng(7)
    words = np.array(
        ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyzäéß"), rng.integers(2, 10))) for _ in range(20_000)]
    )
    return [" ".join(words[rng.zipf(1.3, rng.integers(3, 31)) % 20_000]).capitalize() + "." for _ in range(TEXTS)]


def make_images(form: str) -> list[bytes]:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(IMAGES):
        sink = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (28, 28, 3), np.uint8)).resize((224, 224), Image.Resampling.BICUBIC).save(
            sink, form
        )
        found.append(sink.getvalue())
    return found


def with_pandas(texts: pd.Series) -> pd.DataFrame:
    length, capitals, letters = texts.str.len(), texts.str.count("[A-ZÄÉ]"), texts.str.count(r"[^\W\d_]")
    wide = texts.str.count(r"[^\x00-\x7f]") / length
    return pd.DataFrame(
        {"length": length, "words": texts.str.count(r"\w+"), "non_ascii": wide, "upper": capitals / letters}
    )


def greys(files: list[bytes]) -> None:
    for file in files:
        with Image.open(io.BytesIO(file)) as image:
            image.convert("L")


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    texts = make_texts()
    series = pd.Series(texts, dtype=object)

    def apart(call: Callable[[pa.Table], object], values: list[object]) -> Callable[[], object]:
        made = pa.table({"x": values})  # anew: what was made of the last one is not used again
        return lambda: call(made)

    cases: dict[str, tuple[int, Callable[[], Callable[[], object]], Callable[[], object]]] = {
        "a text described; pandas": (
            TEXTS,
            lambda: apart(TextDescriptors("x").prepare, texts),
            lambda: with_pandas(series),
        ),
        "a text's words counted; CountVectorizer": (
            TEXTS,
            lambda: apart(Words().update, texts),
            lambda: CountVectorizer(binary=True).fit_transform(texts).sum(axis=0),
        ),
        "a text's copies counted; value_counts": (TEXTS, lambda: apart(Repeats().update, texts), series.value_counts),
    }
    for form in ("JPEG", "PNG"):
        files = make_images(form)
        cases[f"a {form} described; Pillow"] = (
            IMAGES,
            lambda files=files: apart(ImageDescriptors("x").prepare, files),
            lambda files=files: greys(files),
        )
    results, shown = {}, Table(title="Descriptors, microseconds each")
    for heading in ("what; beside", "ours", "theirs", "ours / theirs (range)"):
        shown.add_column(heading, justify="left" if heading.startswith("what") else "right")
    for name, (count, make, theirs) in cases.items():
        make()()  # compiles
        pairs = [(seconds(make()), seconds(theirs)) for _ in range(options.rounds)]
        ratios = sorted(a / b for a, b in pairs)
        ours, other = (statistics.median(side) / count * 1e6 for side in zip(*pairs, strict=True))
        results[name] = {
            "ours_us": round(ours, 3),
            "theirs_us": round(other, 3),
            "ratio": [round(ratio, 3) for ratio in ratios],
        }
        shown.add_row(
            name,
            f"{ours:.2f}",
            f"{other:.2f}",
            f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})",
        )
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
