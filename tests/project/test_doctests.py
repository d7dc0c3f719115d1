"""Each public class shows itself in a doctest."""

from __future__ import annotations

import doctest
import inspect

import pytest

import mmon_ray

CLASSES = [name for name in mmon_ray.__all__ if inspect.isclass(getattr(mmon_ray, name))]


@pytest.mark.parametrize("name", CLASSES)
def test_each_public_class_has_a_doctest_that_holds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = getattr(mmon_ray, name)
    examples = doctest.DocTestParser().get_doctest(own.__doc__, {}, name, None, 0)
    assert examples.examples, f"{name} has no doctest"
    result = doctest.DocTestRunner(verbose=False).run(examples)
    assert result.failed == 0
