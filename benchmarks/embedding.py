"""The mean cosine of new vectors to those of the training data, beside scikit-learn's cosine of every pair.

    python benchmarks/embedding.py [--new 1000] [--training 10000] [--length 768]

Claim: at least 500 times the pairwise computation, with equal values to 1e-6; the state of a million vectors is under
10 KB.

Three of ours: `query` has the states of both sides, as the store keeps them, and asks for the number; `each` computes
every new vector's mean cosine to the training data's from their state; `window` makes the state of the new vectors,
with the random features that the peer lacks. Processor seconds of one thread; rounds are interleaved, medians and the
spread of the ratios. Writes benchmarks/results/embedding.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.metrics.pairwise import cosine_similarity
from threadpoolctl import threadpool_limits

from mmon_ray.states import Vectors
from mmon_ray.states.parquet import write_profile
from mmon_ray.states.state import Need, Profile
from mmon_ray.states.vectors import cosines
from mmon_ray.stats.models.embedding import mean_cosine

RESULTS = Path(__file__).parent / "results" / "embedding.json"
MILLION = 1_000_000
BATCH = 10_000


def table(points: np.ndarray) -> pa.Table:
    return pa.table({"v": pa.FixedSizeListArray.from_arrays(points.reshape(-1), points.shape[1])})


def best_of(call: Callable[[], object], times: int) -> float:
    """Processor seconds of one call; the least of a few, since another process can only add to it."""
    found = []
    for _ in range(times):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def per_call(call: Callable[[], object], calls: int = 200) -> float:
    """Processor seconds of one call that is too short for the clock."""
    return best_of(lambda: [call() for _ in range(calls)], 3) / calls


def stored_bytes(length: int, rng: np.random.Generator) -> int:
    """The size of the file of a million vectors' state."""
    batches = [table(rng.normal(size=(BATCH, length)).astype(np.float32)) for _ in range(2)]
    state = Vectors().update(batches[0])
    other = Vectors().update(batches[1])
    for place in range(1, MILLION // BATCH):
        state = state.merge(other) if place % 2 else state.merge(Vectors().update(batches[0]))
    assert state.n(length) == MILLION
    profile = Profile.zero([Need(Vectors(), ("v",))])
    return len(write_profile(Profile(profile.needs, (state,), MILLION)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--new", type=int, default=1_000)
    parser.add_argument("--training", type=int, default=10_000)
    parser.add_argument("--length", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    threadpool_limits(1)
    rng = np.random.default_rng(0)
    training = rng.normal(size=(options.training, options.length)) + 0.1
    new = rng.normal(size=(options.new, options.length)) + 0.05
    base, length, rows = Vectors().update(table(training)), options.length, table(new)
    usual = base.mean(length)
    whole = Vectors().update(rows)
    pairs = cosine_similarity(new, training)
    worst = max(
        abs(mean_cosine(whole.mean(length), usual) - pairs.mean()),
        np.abs(cosines(new, usual) - pairs.mean(axis=1)).max(),
    )
    peer, query, window, each = [], [], [], []
    for _ in range(options.rounds):
        peer.append(best_of(lambda: cosine_similarity(new, training).mean(axis=1), 1))
        query.append(per_call(lambda: mean_cosine(whole.mean(length), base.mean(length))))
        each.append(per_call(lambda: cosines(new, usual), 20))
        window.append(best_of(lambda: mean_cosine(Vectors().update(rows).mean(length), usual), 3))

    def ratio(ours: list[float]) -> list[float]:
        found = sorted(a / b for a, b in zip(peer, ours, strict=True))
        return [round(value, 1) for value in (statistics.median(found), found[0], found[-1])]

    result = {
        "new": options.new,
        "training": options.training,
        "length": length,
        "pairwise_s": peer,
        "query_s": query,
        "each_s": each,
        "window_s": window,
        "times_as_fast": {"query": ratio(query), "each": ratio(each), "window": ratio(window)},
        "largest_difference": float(worst),
        "state_bytes": stored_bytes(length, rng),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: result[key] for key in ("times_as_fast", "largest_difference", "state_bytes")}, indent=2))


if __name__ == "__main__":
    main()
