"""No parser sees JSON that is nested too deep: what a stranger sends is refused in words at every door, and nothing
else is."""

from __future__ import annotations

import base64
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.capture.payload.payload import decode
from mmon_ray.capture.privacy import Rules
from mmon_ray.capture.settings import settings_of
from mmon_ray.core.json_depth import DEEPEST, nesting, read_json, value_too_deep
from mmon_ray.errors import InputError
from mmon_ray.labels.files import table_in
from mmon_ray.records.parse import parse
from mmon_ray.records.sources import open_source
from mmon_ray.sagemaker.container import METRICS, OUTPUT, read_outcome

DEPTHS = (
    DEEPEST + 1,
    255,
    1_000,
    1_024,
    2_000,
    20_000,
    200_000,
)  # orjson writes 254, reads 1,023; Arrow's parser dies at 20,000


def lists(depth: int) -> str:
    return "[" * depth + "]" * depth


def objects(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


Documents = st.recursive(
    st.one_of(st.none(), st.integers(-9, 9), st.text('[]{}"\\\n a', max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text('[{"\\', max_size=3), inner, max_size=4)
    ),
    max_leaves=30,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(Documents, st.booleans(), st.booleans())
def test_the_depth_is_that_of_the_document(document: Any, indented: bool, as_text: bool) -> None:
    many = [document, *[[] for _ in range(DEEPEST)]]  # so many brackets that it must look
    text = json.dumps(many, indent=1 if indented else None)
    assert nesting(text if as_text else text.encode()) == depth_of(many)
    assert nesting(orjson.dumps(document)) >= depth_of(document), "a bound where there are few"
    assert read_json(text) == many
    assert not value_too_deep(many)


@given(
    st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b"\n", b"a"]), min_size=200, max_size=500).map(
        b"".join
    )
)
def test_of_what_is_no_json_it_is_a_bound_for_a_parser_that_begins_anywhere(body: bytes) -> None:
    """A parser that starts at any line sees no more levels than are counted for the whole."""
    whole = nesting(body)
    for start in [0, *[place + 1 for place, byte in enumerate(body) if byte == 10]]:
        deepest = level = 0
        inside = escaped = False
        for byte in body[start:]:
            letter = chr(byte)
            if letter == "\n" and (inside or escaped):
                break  # no JSON: every parser stops
            if escaped:
                escaped = False
            elif inside and letter == "\\":
                escaped = True
            elif letter == '"':
                inside = not inside
            elif not inside and letter in "[{":
                level += 1
                deepest = max(deepest, level)
            elif not inside and letter in "]}":
                level -= 1
                if level < 0:
                    break
            elif not inside and letter == "\\":
                break
        assert deepest <= whole


@pytest.mark.parametrize(
    ("body", "depth"),
    [
        (lists(DEEPEST), DEEPEST),
        (objects(DEEPEST), DEEPEST),
        (lists(150), 150),
        (objects(150), 150),
        ("[" * 150, 150),
        ("]" * 500 + "[" * 150, 150),  # closing more than was opened hides nothing
        ('{"a": "' + "[" * 500 + '"}', 1),
        ('{"a": "\\"' + "[" * 500 + '"}', 1),
        ('{"a": "\\\\"' + ', "b": ' + lists(120) + "}", 121),
        ("\n".join(['{"a": [1, {"b": 2}]}'] * 200), 3),
        ("\n".join(["["] * 150), 150),  # a torn line counts on
        ('{"a": "\n' + lists(150), 151),  # a text that has no end spoils its line alone
        ("ü" * 300 + lists(120), 120),
    ],
)
def test_depths_that_are_known(body: str, depth: int) -> None:
    assert nesting(body) == nesting(body.encode()) == depth


@pytest.mark.parametrize("text", ["NaN", "[Infinity, -Infinity, NaN]"])
def test_what_only_python_writes_is_read(text: str) -> None:
    value = read_json(text)
    assert all(math.isnan(one) or math.isinf(one) for one in (value if isinstance(value, list) else [value]))


def test_what_is_no_json_is_a_value_error_and_no_input_error() -> None:
    with pytest.raises(ValueError, match=r"unexpected|expected|EOF") as caught:
        read_json('{"a": ')
    assert not isinstance(caught.value, InputError)


# --- every door -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("deep", [lists, objects])
def test_a_deep_label_is_one_rejected_row(depth: int, deep: Any) -> None:
    body = f'{{"id": "a", "label": 1}}\n{{"id": "x", "label": {deep(depth)}}}\n{{"id": "b", "label": 0}}\n'.encode()
    table, bad = table_in(body, "x.jsonl")
    assert table["id"].to_pylist() == ["a", "b"]
    (row,) = map(orjson.loads, bad)
    assert row["reason"] == "it is nested deeper than 100 levels" and len(row["row"]) <= 1_000
    truth = {"groundTruthData": {"data": deep(depth), "encoding": "JSON"}, "eventMetadata": {"eventId": "x"}}
    table, bad = table_in(b'{"id": "a", "label": 1}\n' + orjson.dumps(truth), "x.jsonl")
    assert table["id"].to_pylist() == ["a"] and len(bad) == 1 and b"deeper than 100 levels" in bad[0]


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_deep_body_is_one_rejected_line(depth: int) -> None:
    def line(data: str) -> bytes:
        side = {"content_type": "application/json", "encoding": "json", "data": data}
        return orjson.dumps(
            {"event_id": "e", "time": "2026-11-22T10:00:00Z", "status": "200", "input": side, "output": None}
        )

    foreign = b'{"event_id": ' + lists(depth).encode() + b"}"
    table, tally, rejected = parse(b"\n".join([line('{"a": 1}'), line(objects(depth)), foreign, line('{"a": 2}')]))
    assert table["a"].to_pylist() == [1, 2]
    assert (tally.rows, tally.rejected, len(rejected)) == (2, 2, 2)
    assert all("deeper than 100 levels" in reason for reason in tally.reasons)


@pytest.mark.parametrize("depth", DEPTHS)
def test_deep_training_rows_are_refused_in_words(depth: int, tmp_path: Path) -> None:
    for name, body in {
        "x.jsonl": f'{{"a": 1}}\n{{"a": {lists(depth)}}}',
        "x.json": f'[{{"a": {lists(depth)}}}]',
    }.items():
        (tmp_path / name).write_text(body)
        with pytest.raises(InputError, match=f"{name}' cannot be read as json: .*deeper than 100 levels"):
            open_source(tmp_path / name)


@pytest.mark.parametrize("depth", DEPTHS)
def test_other_doors_refuse_in_words(depth: int) -> None:
    for encoding in ("json", "args"):
        with pytest.raises(InputError, match="deeper than 100 levels"):
            decode({"content_type": None, "encoding": encoding, "data": lists(depth)})
    assert decode({"content_type": None, "encoding": "text", "data": lists(depth)}) == lists(depth)
    with pytest.raises(InputError, match="deeper than 100 levels"):
        read_outcome("p", {f"{OUTPUT}/statistics.json": lists(depth).encode()})
    with pytest.raises(InputError, match="deeper than 100 levels"):
        read_outcome(
            "p", {f"{METRICS}/a.jsonl": b'{"MetricName": "a", "Value": 1}\n{"a": ' + lists(depth).encode() + b"}"}
        )


def test_what_is_too_deep_to_be_searched_is_not_kept_where_there_are_rules() -> None:
    deep = lists(150).replace("[]", '[{"ssn": "secret"}]')
    rules = Rules(settings_of("credit", drop="ssn", hash_key="k"))
    for data in (
        deep,
        json.dumps({"inner": deep}),
        json.dumps({"inner": {"$bytes": base64.b64encode(deep.encode()).decode()}}),
    ):
        payload = rules.apply(None, {"content_type": "application/json", "encoding": "json", "data": data})
        assert "secret" not in str(payload["data"]) and "c2VjcmV0" not in str(payload["data"])


def test_a_file_that_would_kill_the_process_is_read_line_by_line(tmp_path: Path) -> None:
    """In a process of its own: the fault was a crash that no exception tells."""
    (tmp_path / "x.jsonl").write_text('{"id": "a", "label": 1}\n' + "\n".join(["["] * 30_000))
    code = (
        "import sys; from mmon_ray.labels.files import table_in\n"
        "table, bad = table_in(open(sys.argv[1], 'rb').read(), 'x.jsonl'); print(table.num_rows, len(bad))"
    )
    made = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.jsonl")], capture_output=True, text=True, check=True
    )
    assert made.stdout.split() == ["1", "30000"]


def test_the_bound_itself_can_be_read_flattened_and_written(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(objects(DEEPEST) + "\n" + '{"a": ' + lists(DEEPEST - 1) + "}\n")
    table = next(open_source(tmp_path / "x.jsonl").batches())
    assert set(table.column_names) == {".".join("a" * DEEPEST), "a"}
    assert table["a"].to_pylist()[1] == lists(DEEPEST - 1)
