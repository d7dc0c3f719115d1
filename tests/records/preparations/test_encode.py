"""Encode: vectors of texts, whatever a row or an encoder does; in process, from captured requests, and on Ray's
workers."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from mmon_ray import Embedding, Encode, Monitor
from mmon_ray.catalog.baselines import save_baseline
from mmon_ray.catalog.monitors import save_monitor
from mmon_ray.core.report import Report
from mmon_ray.core.window import Window, parse_time
from mmon_ray.encoders import minilm, wordllama
from mmon_ray.errors import InputError
from mmon_ray.records.preparations.encode import vowels
from mmon_ray.runs.run import run
from mmon_ray.storage.keys import capture_key
from mmon_ray.storage.store import Store

HOUR = parse_time("2026-11-22T10")
HERE = "tests.records.preparations.test_encode" if __name__.startswith("tests.") else __name__


def corners(pictures: list[str]) -> np.ndarray:
    return np.array([[rows[0][0], rows[-1][-1]] for rows in map(orjson.loads, pictures)])


def test_it_encodes_batch_by_batch_and_leaves_rows_without_text() -> None:
    texts = ["a tree", None, "", "sea", "fail", "oo"] * 3
    made = Encode("t", "mmon_ray.records.preparations.encode:vowels", batch=4).prepare(pa.table({"t": texts}))
    vectors = made.table.column("t.vector").to_pylist()
    assert vectors[:6] == [
        [1.0, 2.0, 0.0, 0.0, 0.0],
        None,
        None,
        [1.0, 1.0, 0.0, 0.0, 0.0],
        None,
        [0.0, 0.0, 0.0, 2.0, 0.0],
    ]
    assert made.spoiled == 6, "three empty ones, three that fail; null is not spoiled, only missing"
    assert made.reasons == (
        "an empty text has no vector",
        "'mmon_ray.records.preparations.encode:vowels' raised ValueError: it cannot be encoded",
    )


def test_columns_of_any_text_and_of_bytes_and_a_column_that_is_not_there() -> None:
    step = Encode("t", "mmon_ray.records.preparations.encode:vowels", "to")
    for column in (pa.array(["sea"], pa.large_string()), pa.array(["sea"]).dictionary_encode()):
        assert step.prepare(pa.table({"t": column})).table.column("to").to_pylist() == [[1.0, 1.0, 0.0, 0.0, 0.0]]
    nested = [pa.array([[[1, 2], [3, 4]], None]), pa.array(["[[1,2],[3,4]]", None])]
    pictures = [
        Encode("t", f"{HERE}:corners", "to").prepare(pa.table({"t": column})).table.column("to").to_pylist()
        for column in nested
    ]
    assert pictures == [[[1.0, 4.0], None]] * 2
    sizes = Encode("t", "builtins:len", "to")
    odd = sizes.prepare(pa.table({"t": pa.array([b"\x00\xff"], pa.binary())}))
    assert odd.spoiled == 1 and odd.reasons == (
        "'builtins:len' returned an array of shape () for 1 of them; expected (1, length)",
    )
    assert step.prepare(pa.table({"other": [1]})).table.column("to").to_pylist() == [None]


CALLS: list[int] = []


def moody(texts: list[str]) -> object:
    """Wrong in another way for each text that says so, and right for the others."""
    CALLS.append(len(texts))
    ways = {"none": None, "ragged": [1.0], "words": ["x", "y"]}
    return [ways.get(text, [1.0, float(len(text))]) for text in texts if text != "left out"]


def test_an_answer_that_is_wrong_for_some_rows_leaves_the_others() -> None:
    texts = ["a", "none", "bb", "words", "left out", "ccc", "ragged"]
    made = Encode("t", f"{HERE}:moody").prepare(pa.table({"t": texts}))
    assert made.table.column("t.vector").to_pylist() == [[1.0, 1.0], None, [1.0, 2.0], None, None, [1.0, 3.0], [1.0]]
    assert made.spoiled == 3 and len(made.reasons) == 3


def test_an_encoder_that_fails_always_is_not_asked_for_every_row() -> None:
    CALLS.clear()
    made = Encode("t", f"{HERE}:moody", batch=100).prepare(pa.table({"t": ["none"] * 1_000}))
    assert made.spoiled == 1_000 and len(CALLS) == 10 * (1 + 10)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (("t", "no.such:thing"), "no.such"),
        (("t", f"{HERE}:HOUR"), "is a datetime; expected a function of a list of texts"),
        (("t", "vowels"), "expected a column, and 'package.module:function'"),
        (("", "a:b"), "expected a column"),
        (("t", "a:b", "", 0), "batch is 0; expected 1 or more"),
    ],
)
def test_settings_that_cannot_be_say_so(settings: tuple[Any, ...], why: str) -> None:
    with pytest.raises(InputError, match=why):
        Encode(*settings).prepare(pa.table({"t": ["a", "b"]}))


def test_wordllamas_vectors_are_alike_where_texts_are() -> None:
    card, same, other = wordllama(["my card was stolen", "someone took my bank card", "will it rain in Oslo"])
    assert card.shape == (256,) and card.dtype == np.float32
    cosine = lambda a, b: float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))  # noqa: E731
    assert cosine(card, same) > 0.3 > cosine(card, other) + 0.1


def test_minilms_vectors_are_the_published_ones() -> None:
    if not os.environ.get("MMON_MINILM"):
        pytest.skip("the weights of all-MiniLM-L6-v2 are not there; set MMON_MINILM to the folder that has them")
    example, other = minilm(["This is an example sentence", "Each sentence is converted"])  # those of its authors' page
    np.testing.assert_allclose(example[:5], [0.0676569, 0.0634959, 0.0487131, 0.0793050, 0.0374480], atol=1e-6)
    np.testing.assert_allclose(other[:5], [0.0864386, 0.1027626, 0.0053946, 0.0020444, -0.0099634], atol=1e-6)
    many = minilm(["Each sentence is converted", "a much longer text, " * 200, "This is an example sentence"])
    np.testing.assert_allclose(many[[2, 0]], [example, other], atol=1e-6)
    assert np.linalg.norm(many, axis=1) == pytest.approx(1.0)


def test_minilm_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMON_MINILM", raising=False)
    with pytest.raises(InputError, match="MMON_MINILM is not set; set it to a folder with"):
        minilm(["a"])
    monkeypatch.setenv("MMON_MINILM", str(tmp_path))
    with pytest.raises(InputError, match=r"names '.*', which has no tokenizer.json and no model.safetensors; set it"):
        minilm(["a"])


def captured(texts: list[str]) -> bytes:
    lines = (
        {
            "v": 1,
            "event_id": f"e{place}",
            "time": "2026-11-22T10:15:00Z",
            "input": {"encoding": "json", "data": orjson.dumps({"text": text}).decode()},
            "output": {"encoding": "json", "data": orjson.dumps({"prediction": "card"}).decode()},
        }
        for place, text in enumerate(texts)
    )
    return zstandard.compress(b"\n".join(map(orjson.dumps, lines)))


def queries(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    what, where, how = (
        ["card", "transfer", "payment", "cash", "account"],
        ["app", "shop", "bank", "machine"],
        ["lost", "late", "refused"],
    )
    return [
        f"my {rng.choice(what)} from the {rng.choice(where)} is {rng.choice(how)} {rng.integers(9)}"
        for _ in range(count)
    ]


def songs(count: int) -> list[str]:
    return [f"play the {place}th song of a band from the {place % 9}0s" for place in range(count)]


@pytest.fixture
def watched(store: Store) -> Callable[[list[str]], Report]:
    """Runs a monitor of texts over an hour whose captured requests had these."""
    monitor = Monitor(
        "banking",
        analyses=(Embedding("text.vector", "text"),),
        prepare=(Encode("text", "mmon_ray.encoders:wordllama"),),
        most_spoiled=0.1,
    )
    save_monitor(store, monitor)
    save_baseline(store, monitor.fit(pa.table({"text": queries(600, 0)})))

    def report_of(texts: list[str], **settings: object) -> Report:
        store.put(capture_key("banking", "Model", HOUR, "a-0.jsonl.zst"), captured(texts))
        return run(monitor, Window.hour(HOUR), store, **settings)

    return report_of


@pytest.mark.slow
def test_captured_texts_that_drift_alarm_with_the_strangest_and_the_map_is_kept(watched, store: Store) -> None:
    assert not watched(queries(200, 1)).violations
    report = watched([*queries(120, 2), *songs(80)])
    found = next(one.message for one in report.alarms if one.metric.name == "embedding_inside")
    assert "least like it: 'play the " in found
    (key,) = [entry.key for entry in store.list("") if entry.key.endswith("embedding_map_text.vector.json")]
    doc = orjson.loads(store.get(key))
    assert len(doc["window"]) == 200 and any(text.startswith("play the ") for _, _, text in doc["window"])


def test_rows_that_have_no_vector_fail_the_run_only_when_they_are_too_many(watched) -> None:
    some = watched([*queries(195, 3), *[""] * 5])
    assert not some.alarms
    with pytest.raises(
        InputError, match=r"30 of 200 rows of 2026-11-22 10:00 could not be prepared.*an empty text has no vector"
    ):
        watched([*queries(170, 3), *[""] * 30])


class Counted:
    """An encoder that is a class: its vectors tell in which process it was made, and how often there."""

    made = 0

    def __init__(self) -> None:
        Counted.made += 1

    def __call__(self, texts: list[str]) -> np.ndarray:
        return np.array([[os.getpid(), Counted.made, len(text)] for text in texts])


def test_on_ray_an_encoder_is_loaded_once_a_worker(ray_session, store: Store) -> None:
    monitor = Monitor("many", analyses=(Embedding("text.vector"),), prepare=(Encode("text", f"{HERE}:Counted"),))
    save_monitor(store, monitor)
    texts = queries(4_000, 5)
    save_baseline(store, monitor.fit(pa.table({"text": texts})))
    for part in range(4):
        store.put(capture_key("many", "Model", HOUR, f"{part}-0.jsonl.zst"), captured(texts[part::4]))
    report = run(monitor, Window.hour(HOUR), store, engine="ray")
    assert report.rows == 4_000
    parts = [
        pq.read_table(io.BytesIO(store.get(entry.key)))
        for entry in store.list("records/")
        if entry.key.endswith(".parquet")
    ]
    vectors = np.array(pa.concat_tables([part.select(["text.vector"]) for part in parts]).column(0).to_pylist())
    assert len(vectors) == 4_000
    assert os.getpid() not in vectors[:, 0]
    assert set(vectors[:, 1]) == {1.0}


def test_the_examples_encoder_counts_vowels() -> None:
    assert vowels(["banana"]).tolist() == [[3, 0, 0, 0, 0]]
