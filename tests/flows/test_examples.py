"""The examples that need Ray Serve, played on the session's: real requests, capture and store, a good hour and a
changed one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An example's module, whose classes Ray sends as they are: workers cannot import it."""
    from ray import cloudpickle

    spec = importlib.util.spec_from_file_location(f"{name}_example", ROOT / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module


@pytest.mark.parametrize(
    ("name", "endpoint", "sentence"),
    [
        ("banking_texts", "bank", "✗ `text.vector` is less like the baseline: its mean cosine has fallen by 0."),
        ("rotated_digits", "digits", "✗ `prediction.embedding` is distributed differently: mean discrepancy 0."),
    ],
)
def test_the_changed_hour_alarms(
    name: str,
    endpoint: str,
    sentence: str,
    serve_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from ray import serve

    example(name, monkeypatch).main(str(tmp_path), serve_port)
    serve.delete(endpoint)
    good, changed = " ".join(capsys.readouterr().out.split()).split(f"{endpoint} 2026-11-22T11")
    assert "250 rows no alarms" in good
    assert sentence in changed
