"""The mark of requests that explain a model: who has no key makes none, and a seen one is soon worth nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmon_ray.capture.recorder.exemption import UNCAPTURED, cluster_key, is_marked, mark

NOW_S = 1_800_000_000.0
KEY = b"a key"


def test_a_mark_is_good_for_an_hour_and_for_its_own_key_alone() -> None:
    made = mark(KEY, NOW_S)
    assert made.startswith(UNCAPTURED) and made != mark(KEY, NOW_S)
    assert is_marked(made, KEY, NOW_S) and is_marked(made, KEY, NOW_S + 3_599)
    assert not is_marked(made, KEY, NOW_S + 3_601)
    assert not is_marked(made, b"another key", NOW_S)
    assert not is_marked(mark(b"", NOW_S), b"", NOW_S)  # without a key nothing is marked


@given(st.integers(0, 200), st.text(max_size=3))
def test_a_mark_that_was_changed_anywhere_is_none(place: int, text: str) -> None:
    made = mark(KEY, NOW_S)
    changed = made[:place] + text + made[place + len(text) :]
    assert is_marked(changed, KEY, NOW_S) == (changed == made)


@given(st.text())
def test_whatever_a_client_sends_is_no_mark_and_raises_nothing(text: str) -> None:
    for sent in (text, UNCAPTURED + text, f"{UNCAPTURED}{text}-\ud800", f"{UNCAPTURED}ffffffff-{text}"):
        assert not is_marked(sent, KEY, NOW_S)


def test_a_cluster_has_one_key_and_the_environment_may_give_another(ray_session, monkeypatch) -> None:
    import ray

    @ray.remote(num_cpus=0)
    def theirs() -> bytes:
        return cluster_key()

    found = cluster_key()
    assert len(found) >= 32 and found == cluster_key() == ray.get(theirs.remote())
    monkeypatch.setenv("MMON_MARK_KEY", "mine")
    assert cluster_key() == b"mine"


def test_without_a_cluster_there_is_no_key(monkeypatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert cluster_key() == b""
