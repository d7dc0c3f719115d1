"""The compiled loops: imported late, and usable where no cache can be written; memory is used again only when nobody
holds it."""

import subprocess
import sys

import numpy as np

from mmon_ray.columns.buffers import scratch

NO_CACHE = """
import sys
import mmon_ray.states
assert "numba" not in sys.modules, "numba takes 0.4 s to import"
from numba.core import caching
(getattr(caching, "CacheImpl", None) or caching._CacheImpl)._locator_classes = []
import pyarrow as pa
from mmon_ray.states import Moments
assert Moments().update(pa.table({"x": [1.0, 2.0, None]})).mean == 1.5
from mmon_ray.columns import kernels
assert not isinstance(kernels.moments._cache, caching.FunctionCache)
"""


def test_numba_is_imported_late_and_a_cache_is_not_needed():
    run = subprocess.run([sys.executable, "-c", NO_CACHE], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_scratch_is_never_shared():
    held = [scratch(1000) for _ in range(9)]
    for number, array in enumerate(held):
        array[:] = number
    assert [set(array) for array in held] == [{float(number)} for number in range(9)]
    view = held[3][10:20].view(np.uint64)
    place = held[8].__array_interface__["data"][0]
    del held, array
    again = [scratch(1000) for _ in range(9)]
    for each in again:
        each[:] = -1.0
    assert set(view.view(np.float64)) == {3.0}
    assert place in [each.__array_interface__["data"][0] for each in again], "and what nobody holds is used again"
