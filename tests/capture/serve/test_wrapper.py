"""The capture subclass: looks like the original, passes everything on, and never raises into it. No cluster."""

from __future__ import annotations

import asyncio
import copy
import inspect

import pytest
import ray.serve.context as serve_context
from ray import serve

from mmon_ray.capture import capture, decode
from mmon_ray.capture.payload.encode import encode
from mmon_ray.capture.serve import recorders
from mmon_ray.capture.settings import Settings
from mmon_ray.errors import CaptureError


class Model:
    """A model."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight
        self.seen: list[str] = []

    def __call__(self, request):
        return request

    def plain(self, a, *, b: int = 1):
        return a + b

    def nested(self, a):
        return self.plain(a)

    async def coroutine(self, a):
        return a

    def generator(self, n: int):
        yield from range(n)

    async def asyncgen(self, n: int):
        try:
            for i in range(n):
                yield i
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        finally:
            self.seen.append("closed")

    @serve.batch
    async def batched(self, values):
        return values

    def reconfigure(self, config):
        pass

    @staticmethod
    def constant():
        return 1


class Drafts:
    """A recorder that keeps the drafts, or breaks."""

    closed, takes_all = False, True

    def __init__(self, breaks=False):
        self.drafts, self.failures, self.breaks = [], [], breaks

    def record(self, made, size_bytes):
        if self.breaks:
            raise OSError("broken")
        self.drafts.append(made)

    def failed(self, error):
        self.failures.append(error)


@pytest.fixture(params=[False, True], ids=["recorder", "broken recorder"])
def drafts(request, monkeypatch):
    made = Drafts(request.param)
    monkeypatch.setitem(recorders._recorders, Settings("e"), made)
    token = serve_context._serve_request_context.set(serve_context._RequestContext(request_id="q1"))
    yield made
    serve_context._serve_request_context.reset(token)


class Half(Drafts):
    """A recorder that takes every other request, and counts the rest."""

    takes_all = False

    def __init__(self):
        super().__init__()
        self.asked, self.out = 0, 0

    def draw(self, request_id):
        self.asked += 1
        return 2.0 if self.asked % 2 else 0.0

    def left_out(self, request_id):
        self.out += 1


def test_whether_a_request_is_in_the_sample_is_decided_once_when_it_begins(monkeypatch):
    made = Half()
    monkeypatch.setitem(recorders._recorders, Settings("e"), made)
    token = serve_context._serve_request_context.set(serve_context._RequestContext(request_id="q1"))
    model = capture("e")(Model)()

    async def run():
        for _ in range(2):
            assert await model.coroutine(4) == 4
            assert [item async for item in model.asyncgen(2)] == [0, 1]
            assert list(model.generator(2)) == [0, 1]
            assert model.nested(1) == 2

    try:
        asyncio.run(run())
    finally:
        serve_context._serve_request_context.reset(token)
    assert (made.asked, len(made.drafts), made.out) == (8, 4, 4)
    assert {draft.weight for draft in made.drafts} == {2.0}


def test_the_subclass_looks_like_the_original():
    made = capture("e")(Model)
    assert issubclass(made, Model)
    assert (made.__name__, made.__qualname__, made.__module__, made.__doc__) == ("Model", "Model", __name__, "A model.")
    assert "__init__" not in vars(made)
    for name in ("__call__", "plain", "coroutine", "generator", "asyncgen", "batched"):
        ours, original = getattr(made, name), getattr(Model, name)
        assert ours is not original
        assert inspect.signature(ours) == inspect.signature(original)
        for asks in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            assert asks(ours) == asks(original), name
    for name in ("reconfigure", "constant"):
        assert name not in vars(made)
    assert "plain" not in vars(capture("e", methods=["__call__"])(Model))


def test_below_and_above_serve_deployment():
    below = serve.deployment(capture("e")(Model))
    above = capture("e")(serve.deployment(Model, name="mine", num_replicas=2))
    assert "plain" in vars(below.func_or_class)
    assert "plain" in vars(above.func_or_class)
    assert (above.name, above.num_replicas) == ("mine", 2)


def function(request):
    return request


async def coroutine(a, *, b: int = 1):
    return a + b


def generator(n: int):
    return (yield from range(n))


async def asyncgen(n: int):
    for i in range(n):
        yield i


@pytest.mark.parametrize("original", [function, coroutine, generator, asyncgen])
def test_a_function_keeps_its_flavour(original):
    made = capture("e")(original)
    assert made is not original
    assert inspect.isfunction(made)
    assert (made.__name__, inspect.signature(made)) == (original.__name__, inspect.signature(original))
    for asks in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert asks(made) == asks(original)
    assert "captured" in str(vars(capture("e")(serve.deployment(original)).func_or_class))


def test_functions_are_passed_on_and_recorded(drafts):
    decorate = capture("e")

    async def run():
        assert await decorate(coroutine)(4, b=2) == 6
        assert [item async for item in decorate(asyncgen)(2)] == [0, 1]

    assert decorate(function)("asked") == "asked"
    assert list(decorate(generator)(2)) == [0, 1]
    asyncio.run(run())
    if not drafts.breaks:
        assert [(draft.method, draft.status) for draft in drafts.drafts] == [("__call__", "ok")] * 4
        assert decode(encode(drafts.drafts[0].input).payload) == {"args": ["asked"], "kwargs": {}}
        assert decode(encode(drafts.drafts[2].input).payload) == {"args": [4], "kwargs": {"b": 2}}


def test_outside_a_replica_nothing_is_recorded(monkeypatch):
    monkeypatch.setattr(recorders, "_open_recorder", lambda settings: pytest.fail("a recorder was made"))
    model = capture("e")(Model)(2.0)
    assert (model(5), model.plain(1, b=2), list(model.generator(2))) == (5, 3, [0, 1])
    assert asyncio.run(model.coroutine(4)) == 4


def test_calls_are_passed_on_and_recorded(drafts):
    model = capture("e")(Model)()

    async def run():
        assert await model.coroutine(4) == 4
        assert [item async for item in model.asyncgen(2)] == [0, 1]

    assert model.plain(1, b=2) == 3
    assert list(model.generator(2)) == [0, 1]
    with pytest.raises(TypeError):
        model.plain("a")
    asyncio.run(run())
    if drafts.breaks:
        assert len(drafts.failures) == 5
    else:
        assert [(draft.method, draft.status) for draft in drafts.drafts] == [
            ("plain", "ok"),
            ("generator", "ok"),
            ("plain", "error:TypeError"),
            ("coroutine", "ok"),
            ("asyncgen", "ok"),
        ]
        assert {draft.request_id for draft in drafts.drafts} == {"q1"}


@pytest.mark.parametrize("how", ["athrow", "aclose"])
def test_a_stream_hears_that_its_reader_has_gone(drafts, how):
    model = capture("e")(Model)()

    async def run():
        stream = model.asyncgen(5)
        assert await stream.__anext__() == 0
        if how == "aclose":
            await stream.aclose()
        else:
            with pytest.raises(asyncio.CancelledError):
                await stream.athrow(asyncio.CancelledError())
        assert model.seen == (["closed"] if how == "aclose" else ["cancelled", "closed"])

    asyncio.run(run())
    assert [draft.status for draft in drafts.drafts] == ([] if drafts.breaks else ["cancelled"])


def test_a_generator_that_is_left_is_closed(drafts):
    stream = capture("e")(Model)().generator(5)
    assert next(stream) == 0
    stream.close()
    assert [draft.status for draft in drafts.drafts] == ([] if drafts.breaks else ["cancelled"])


def test_the_end_of_a_copy_does_not_end_the_recording(drafts):
    made = capture("e")(Model)
    model = made()
    copy.copy(model).__del__()
    assert recorders._recorders[Settings("e")] is drafts


class Sealed:
    def __init_subclass__(cls) -> None:
        raise TypeError("sealed")

    def __call__(self):
        return 1


@pytest.mark.parametrize(
    ("decorate", "says"),
    [
        (lambda: capture("e")(5), "goes on a class"),
        (lambda: capture("e", methods=["plain"])(function), "no methods to choose"),
        (lambda: capture("e", methods=["plain"])(serve.deployment(function)), "no methods to choose"),
        (lambda: capture("e", methods=["plain", "typo"])(Model), "no method typo"),
        (lambda: capture("e")(type("Empty", (), {})), "no method __call__"),
        (lambda: capture("e")(Sealed), "cannot be subclassed"),
        (lambda: capture("a/b"), "a/b"),
        (lambda: capture(""), "endpoint"),
        (lambda: capture("e", durability="maybe"), "maybe"),
        (lambda: capture("e", store="ftp://x"), "ftp://x"),
    ],
)
def test_what_cannot_be_captured_is_told_when_decorating(decorate, says):
    with pytest.raises(CaptureError, match=says):
        decorate()
