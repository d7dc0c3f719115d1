"""Scripts of SageMaker Model Monitor, unchanged: `preprocess_handler(inference_record)` and `postprocess_handler()`.

The pre-processor is given an `InferenceRecord`. Its `ground_truth` is None: labels come later than the record, and are
joined to the rows it returns by the record's id. Its `custom_attribute` is None: that header is not captured. The
post-processor runs in a process of its own, in a folder with the window's result files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import orjson

from mmon_ray.core import command
from mmon_ray.core.report import Report
from mmon_ray.core.scripts import known
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError
from mmon_ray.records.sagemaker_capture import _logger
from mmon_ray.sagemaker.container import BASELINE, FOLDERS, OUTPUT, program_paths, program_variables
from mmon_ray.storage.keys import baseline_key, endpoint_prefix, monitor_key, report_key
from mmon_ray.storage.store import Store

__all__ = ["INHERITED", "POST", "postprocess"]

POST = "postprocess_handler"
INHERITED = (  # what a post-processor has of the run's variables: no credentials are among them
    *("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ"),
    *("REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
)

_RESULTS = ("statistics.json", "violations.json", "analysis.json")  # how the names end of what lies beside a report
_SCRIPT = "code/post_analytics_processor.py"
_RUNNER = f"""
import importlib, importlib.util, os, sys
where = sys.argv[1]
if where.endswith(".py"):
    script = os.environ["post_analytics_processor_script"]
    spec = importlib.util.spec_from_file_location("post_analytics_processor", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
else:
    module = importlib.import_module(where)
module.{POST}()
"""


def postprocess(path: str, timeout_s: float, variables: Sequence[str] = ()) -> Callable[[Report, Store], None]:
    """A `postprocess_handler` as a `post` hook. A window without rows or baseline has no results, so it is not run, as
    there.

    It runs in a process of its own, in a folder with the service's files: `statistics.json`, `constraints.json` (the
    baseline's), `constraint_violations.json` when there are some, and those of other analyses; `report.json` is ours.
    The environment has the variables of an own container, of which `output_path` names that folder, and the paths of
    installed packages; of the run's own variables only those in INHERITED. Files that it writes there are kept beside
    the report; what it changes in a result file changes no verdict. It cannot have the captured data, the container's
    own packages and its fixed paths below `/opt/ml`: a script that spells these has to read `output_path` instead.

    timeout_s   after so many seconds it is ended, with all that it has started
    variables   more names of the run's variables that it is given, such as those of credentials
    errors      InputError with the last line of what it said, when it fails or takes longer
    """

    def run(report: Report, store: Store) -> None:
        if report.rows and report.baseline and report.window is not None:
            _run(path, report, report.window, store, timeout_s, (*INHERITED, *variables))

    return run


def _run(path: str, report: Report, window: Window, store: Store, timeout_s: float, only: Sequence[str]) -> None:
    def key(name: str) -> str:
        return report_key(report.monitor, window, name)

    where = path.rpartition(":")[0]
    source = known(where)
    prefix = key("report.json").removesuffix("report.json")
    names = [entry.key.removeprefix(prefix) for entry in store.list(prefix)]
    given = {name: store.get(key(name)) for name in names if name == "report.json" or name.endswith(_RESULTS)}
    learned = {
        name: store.get(baseline_key(report.monitor, report.baseline, name))
        for name in ("statistics.json", "constraints.json")
    }
    given.setdefault("constraints.json", learned["constraints.json"])
    endpoint = orjson.loads(store.get(monitor_key(report.monitor)))["endpoint"]
    capture = f"{store.uri}/{endpoint_prefix(endpoint)}".rstrip("/")
    order = {
        "command": [sys.executable, "-c", _RUNNER, where],
        "environment": {
            **program_variables(report.monitor, endpoint, window, "capture", capture),
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
        },
        "only": only,
        "without": (),
        "paths": {**program_paths(True), "post_analytics_processor_script": _SCRIPT},
        "folders": FOLDERS,
        "cwd": OUTPUT,
        "results": (f"{OUTPUT}/*",),
        "timeout_s": timeout_s,
        "root": "",
    }
    files = {f"{OUTPUT}/{name}": body for name, body in given.items()} | {
        place: learned[place.rpartition("/")[2]] for place in BASELINE.values()
    }
    ended = command.execute(order, [*files.items(), (_SCRIPT, source.text.encode() if source else b"")])
    if ended["code"] is None:
        raise InputError(f"'{path}' was ended after {timeout_s:g} s; the monitor's post_timeout_s gives it more")
    said = ended["output"].strip().splitlines()
    if ended["code"]:
        raise InputError(f"'{path}' failed: {said[-1][:300] if said else 'exit code ' + str(ended['code'])}")
    for line in said:
        _logger.info("%s: %s", path, line)
    for place, body in ended["results"].items():
        if place not in files and body is not None:
            store.put(key(place.rpartition("/")[2]), body)
