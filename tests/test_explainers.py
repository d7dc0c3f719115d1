"""Attribution of models wherever they are: behind a real Serve handle and address, never captured; shap's own values; clusters; budgets."""

from __future__ import annotations

import math
import sys
import time
import uuid
from types import ModuleType

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import cloudpickle, serve
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor
from starlette.requests import Request

from mmon_ray import Attribution, InputError, Monitor, fold
from mmon_ray.capture import capture, drain
from mmon_ray.capture.call import UNCAPTURED
from mmon_ray.endpoints import Endpoint, is_address
from mmon_ray.explainers import condensed, explain
from mmon_ray.lines import parse
from mmon_ray.stats.shapley import kernel_shap
from mmon_ray.store import open_store

cloudpickle.register_pickle_by_value(sys.modules[__name__])
WEIGHTS = (2.0, -1.0, 0.5)


def people(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({name: rng.normal(size=rows) for name in "abc"})


def total(rows) -> list[float]:
    return [sum(weight * row[name] for weight, name in zip(WEIGHTS, "abc", strict=True)) for row in rows]


class Inner:
    def __call__(self, rows):
        return total(rows)


class Outer:
    """A model that asks another one; by HTTP, and by a handle."""

    def __init__(self, inner) -> None:
        self.inner = inner

    async def __call__(self, request):
        body = await request.json() if isinstance(request, Request) else request
        return {"predictions": await self.inner.remote(body["instances"])}

    def alone(self, row: dict) -> dict:
        return {"score": total([row])[0], "label": "yes"}

    def slow(self, body: dict) -> list:
        time.sleep(30)
        return []

    def odd(self, body: dict) -> dict:
        return {"predictions": [{"label": "yes", "p": 0.5, "q": 0.5}] * len(body["instances"])}


@pytest.fixture(scope="module")
def served(serve_port, tmp_path_factory):
    """A captured application of two deployments: its address, its name, its store, its endpoint."""
    store, name = open_store(tmp_path_factory.mktemp("served") / "store"), f"app{uuid.uuid4().hex[:8]}"
    options = {"ray_actor_options": {"num_cpus": 0}, "graceful_shutdown_wait_loop_s": 0.05}
    app = serve.deployment(Outer, **options).bind(serve.deployment(Inner, **options).bind())
    serve.run(capture(app, endpoint=name, store=store.uri, spool=str(tmp_path_factory.mktemp("spool"))), name=name, route_prefix=f"/{name}")
    yield f"http://127.0.0.1:{serve_port}/{name}", name, store
    serve.delete(name, _blocking=False)


def test_a_served_model_is_explained_by_handle_and_by_address_and_nothing_of_it_is_captured(served) -> None:
    address, name, store = served
    rows, behind = people(20, 1), people(10, 2)
    expected = kernel_shap(lambda table: np.array(total(table.to_pylist())), rows, behind)
    for model in (address, f"serve:{name}/Outer"):
        found = explain(model, rows, behind, request_rows=500)
        assert found.failed == () and np.allclose(found.values, expected.values, atol=1e-9)
    row = explain(f"serve:{name}/Outer/alone", rows.slice(0, 2), behind.slice(0, 3), form="row")
    assert np.allclose(row.values.sum(axis=1) + row.expected, total(rows.slice(0, 2).to_pylist()))
    # An ordinary request is captured, once by each deployment, and so is one whose id merely looks alike.
    for mark in ({}, {"X-Request-ID": "mmon-7"}, {"X-Request-ID": UNCAPTURED + "mine"}):
        answer = httpx.post(address, json={"instances": rows.slice(0, 1).to_pylist()}, headers=mark, timeout=30)
        assert answer.json() == {"predictions": pytest.approx(total(rows.slice(0, 1).to_pylist()))}
    drain(name, timeout_s=30)
    lines = [line for entry in store.list(f"capture/{name}") for line in _lines(store, entry.key)]
    assert len(lines) == 4
    assert parse(b"\n".join(lines))[1].rejected == 0


def _lines(store, key: str) -> list[bytes]:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress(store.get(key)).splitlines()


def test_an_attribution_of_an_endpoint_needs_no_code(served) -> None:
    address, _, _ = served
    monitor = Monitor("m", analyses=(Attribution(address, rows=60, background=20),))
    baseline = monitor.fit(people(1_000, 1))
    assert monitor.evaluate(fold(people(1_000, 2), monitor.zero(baseline.schema)), baseline).violations == ()
    now = people(1_000, 3)
    now = now.set_column(2, "c", pa.array(50 * now["c"].to_numpy()))
    report = monitor.evaluate(fold(now, monitor.zero(baseline.schema)), baseline)
    assert any("leans more on `c`" in one.message for one in report.alarms)


@pytest.mark.parametrize(
    ("path", "settings", "said"),
    [
        ("/nowhere", {}, "answered 404"),
        ("handle/slow", {"timeout_s": 0.3}, "TimeoutError"),
        ("handle/odd", {}, "have 2 numbers among prediction.label, prediction.p, prediction.q; name one"),
        ("handle/odd", {"answer": "prediction.r"}, "have no 'prediction.r'; they have prediction.label, prediction.p, prediction.q"),
        ("handle/absent", {}, "absent"),
    ],
)
def test_an_endpoint_that_does_not_answer_as_it_should_is_told(served, path: str, settings: dict, said: str) -> None:
    address, name, _ = served
    base = address.rpartition("/")[0]
    model = f"serve:{name}/Outer/{path.partition('/')[2]}" if path.startswith("handle") else base + path
    monitor = Monitor("m", analyses=(Attribution(model, rows=60, background=20, **settings),))
    learned = Monitor("m", analyses=(Attribution(address, rows=60, background=20),)).fit(people(300, 1))
    started = time.monotonic()
    report = monitor.evaluate(fold(people(300, 2), monitor.zero(learned.schema)), learned)
    told = [metric.detail for metric in report.metrics] + list(report.errors.values())
    assert any(said in one for one in told), told
    assert time.monotonic() - started < 20 and report.status != "alarm"


def test_addresses_and_settings_that_cannot_be() -> None:
    assert is_address("http://a/b") and is_address("serve:a/b") and not is_address("mine:score")
    with pytest.raises(InputError, match="'serve:Model' names no deployment"):
        Endpoint("serve:Model")
    with pytest.raises(InputError, match="form is 'csv'; expected one of instances, list, row"):
        Endpoint("http://a/b", form="csv")


# --- models that are objects ----------------------------------------------------------------------------------------


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("mine_for_explainers")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_trees_and_lines_go_to_shap_and_agree_with_our_own(mine: ModuleType) -> None:
    train, rows, behind = people(500, 1), people(30, 2), people(40, 3)
    y = np.array(total(train.to_pylist()))
    frame = train.to_pandas()
    mine.line = LinearRegression().fit(frame, y)
    mine.forest = RandomForestRegressor(10, random_state=0).fit(frame, y)
    mine.classes = RandomForestClassifier(10, random_state=0).fit(frame, y > 0)
    mine.near = KNeighborsRegressor().fit(frame, y)
    for name in ("line", "forest", "classes", "near"):
        model = getattr(mine, name)
        ask = (lambda table, model=model: model.predict_proba(table.to_pandas())[:, 1]) if name == "classes" else None
        own = kernel_shap(ask or (lambda table, model=model: model.predict(table.to_pandas())), rows, behind)
        found = explain(f"mine_for_explainers:{name}", rows, behind)
        assert np.allclose(found.values, own.values, atol=1e-6), name
        assert found.expected == pytest.approx(own.expected)
        assert (found.asked == 0) == (name != "near")


def test_an_object_with_categories_is_asked_like_a_function(mine: ModuleType) -> None:
    class Model:
        def predict(self, frame):
            return frame["x"] + 3.0 * (frame["city"] == "a")

    mine.model = Model()
    rng = np.random.default_rng(0)
    rows = pa.table({"x": rng.normal(size=20), "city": rng.choice(["a", "b"], 20)})
    found = explain("mine_for_explainers:model", rows, rows)
    own = kernel_shap(lambda table: Model().predict(table.to_pandas()), rows, rows)
    assert np.allclose(found.values, own.values)
    mine.model = type("Words", (), {"predict": lambda self, frame: ["yes"] * len(frame)})()
    with pytest.raises(InputError, match=r"the model predicts \['yes', 'yes', 'yes'\]; expected numbers"):
        explain("mine_for_explainers:model", rows, rows)


# --- backgrounds, budgets, memory -----------------------------------------------------------------------------------


def test_clusters_stand_for_many_rows() -> None:
    rng = np.random.default_rng(0)
    pool = pa.table({"x": np.r_[rng.normal(0, 0.1, 300), rng.normal(50, 0.1, 100)], "city": ["a"] * 300 + ["b"] * 100})
    rows, counts = condensed(pool, 2)
    assert sorted(zip(rows["city"].to_pylist(), counts.tolist(), strict=True)) == [("a", 300.0), ("b", 100.0)]
    few, counts = condensed(pool.slice(0, 1), 10)
    assert few.num_rows == 1 and counts.tolist() == [1.0]
    gaps = pa.table({"x": pa.array([None, 1.0, 2.0]), "city": pa.array([None, "a", "b"], pa.string())})
    assert condensed(gaps, 3)[1].sum() == 3


@given(st.integers(0, 2**31))
def test_a_weighted_background_is_one_with_rows_repeated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, behind, counts = rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), rng.integers(1, 4, 5)

    def ask(x):
        return x[:, 0] * x[:, 1] + np.sin(x[:, 2]) * x[:, 3]

    weighted = kernel_shap(ask, rows, behind, weights=counts)
    repeated = kernel_shap(ask, rows, np.repeat(behind, counts, axis=0))
    assert np.allclose(weighted.values, repeated.values) and weighted.expected == pytest.approx(repeated.expected)


def test_clusters_come_nearer_than_as_many_drawn_rows() -> None:
    rng = np.random.default_rng(3)
    pool, rows = people(600, 4), people(40, 5)

    def ask(table):
        a, b, c = (table[name].to_numpy() for name in "abc")
        return np.exp(a / 2) + np.abs(b) * c

    truth = kernel_shap(ask, rows, pool).values
    behind, counts = condensed(pool, 20)
    clusters = np.abs(kernel_shap(ask, rows, behind, weights=counts).values - truth).mean()
    drawn = [np.abs(kernel_shap(ask, rows, pool.take(pa.array(rng.integers(0, 600, 20)))).values - truth).mean() for _ in range(8)]
    assert clusters < np.median(drawn)


def test_budgets_end_it_and_say_so(mine: ModuleType) -> None:
    asked: list[int] = []

    def score(table):
        asked.append(len(table))
        return table["a"].to_numpy()

    mine.score = score
    rows, behind = people(400, 1), people(100, 2)
    bounded = explain("mine_for_explainers:score", rows, behind, most_rows=70_000)
    done = int((~np.isnan(bounded.values).any(axis=1)).sum())
    assert 0 < done < 400 and sum(asked) == bounded.asked < 140_000
    assert bounded.failed == (f"the budget of {bounded.asked:,} rows was spent after {done} of 400 rows",)
    none = explain("mine_for_explainers:score", rows, behind, budget_s=1e-9)
    assert none.failed == ("the budget of 1e-09 s was spent after 0 of 400 rows",) and np.isnan(none.values).all()


def test_progress_is_told(mine: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    mine.score = lambda table: table["a"].to_numpy()
    with caplog.at_level("INFO", "mmon_ray"):
        explain("mine_for_explainers:score", people(2_000, 1), people(100, 2))
    told = [record.getMessage() for record in caplog.records]
    assert 2 <= len(told) <= 10 and told[-1] == "mine_for_explainers:score: 2000 of 2000 rows are explained"


@pytest.mark.parametrize("background_by", ["sample", "clusters"])
def test_the_baselines_importances_are_computed_once(mine: ModuleType, background_by: str) -> None:
    asked: list[int] = []

    def score(table):
        asked.append(len(table))
        return table["a"].to_numpy() + 0.2 * table["b"].to_numpy()

    mine.score = score
    analysis = Attribution("mine_for_explainers:score", rows=60, background=20, background_by=background_by)
    monitor = Monitor("m", analyses=(analysis,))
    baseline = monitor.fit(people(1_000, 1))
    once = sum(asked)
    asked.clear()
    report = monitor.evaluate(fold(people(1_000, 2), monitor.zero(baseline.schema)), baseline)
    assert sum(asked) == once and report.violations == ()
    # With other settings, or without what was measured, they are computed anew.
    other = Monitor("m", analyses=(Attribution("mine_for_explainers:score", rows=60, background=20, aggregate="median"),))
    asked.clear()
    other.evaluate(fold(people(1_000, 2), other.zero(baseline.schema)), baseline)
    assert sum(asked) == 2 * once
    assert not math.isnan(report.metrics[0].value)
