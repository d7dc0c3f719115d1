"""Two nodes: one uploader on each, which ships what was captured there and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import orjson
import zstandard

from mmon_ray.storage.open import open_store

# In a process of its own: pytest's has a cluster already.
SCRIPT = """
import json, os, signal, sys, time, tempfile
import ray
from ray import cloudpickle, serve
from ray.cluster_utils import Cluster
from ray.util import list_named_actors
from mmon_ray.capture import capture, drain
from mmon_ray.capture.spool.status import capture_status
from mmon_ray.capture.spool.uploader import ensure_uploader

home = sys.argv[1]
cluster = Cluster()
for name in ("one", "two"):
    cluster.add_node(
        num_cpus=2, object_store_memory=100 << 20, include_dashboard=False,
        env_vars={"MMON_SPOOL": f"{home}/spool-{name}"}
    )
ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)

class Model:
    def node(self, i):
        return ray.get_runtime_context().get_node_id()

body = capture("credit", store=f"{home}/store")(Model)
options = {"num_replicas": 2, "max_replicas_per_node": 1, "ray_actor_options": {"num_cpus": 0.1}}
deployment = serve.deployment(body, name="Model", **options)
handle = serve.run(deployment.bind(), route_prefix=None)
answers, killed = {}, 0
nodes = [node["NodeID"] for node in ray.nodes()]
deadline = time.monotonic() + 60

def pid_of(node):
    while True:
        try:
            return ray.get(ensure_uploader(node, "").status.remote())["pid"]
        except ray.exceptions.ActorUnavailableError:
            assert time.monotonic() < deadline

for part in range(2):
    begin = len(answers)
    while len(answers) < begin + 100 or len(set(answers.values())) < 2:
        assert time.monotonic() < deadline
        answers[len(answers)] = handle.node.remote(len(answers)).result()
    if part == 0:
        drain("credit", 60)
        before = {node: pid_of(node) for node in nodes}
        os.kill(before[nodes[1]], signal.SIGKILL)
after = {node: pid_of(node) for node in nodes}
serve.delete("default")
drain("credit", 60)
counts = {node: ray.get(ensure_uploader(node, "").status.remote()) for node in nodes}
actors = sorted(actor["name"] for actor in list_named_actors(all_namespaces=True) if actor["namespace"] == "mmon")
status = capture_status()
told = {"answers": answers, "before": before, "after": after, "counts": counts, "actors": actors, "nodes": nodes}
print(json.dumps({"status": [status.nodes, [one._asdict() for one in status.counts]], **told}))
sys.stdout.flush()
serve.shutdown()
ray.shutdown()
cluster.shutdown()
"""


def test_each_node_has_one_uploader_that_ships_its_own(tmp_path):
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    for name in ("RAY_ADDRESS", "MMON_SPOOL", "MMON_STORE"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    nodes = told["nodes"]
    assert told["actors"] == sorted(f"mmon-uploader-{node}" for node in nodes)
    assert len(set(told["after"].values())) == 2
    assert told["after"][nodes[0]] == told["before"][nodes[0]]
    assert told["after"][nodes[1]] != told["before"][nodes[1]]  # it was killed, and is back
    store = open_store(tmp_path / "store")
    shipped = {}
    for entry in store.list("capture/credit/Model/"):
        for line in zstandard.ZstdDecompressor().decompress(store.get(entry.key)).splitlines():
            record = orjson.loads(line)
            i = str(json.loads(record["input"]["data"])["args"][0])
            assert i not in shipped
            shipped[i] = entry.key.rpartition("/")[2].partition("-")[0]
    assert shipped == {i: node[:12] for i, node in told["answers"].items()}
    nodes_asked, (counted,) = told["status"]
    assert nodes_asked == 2
    assert (counted["captured"], counted["uploaded"], counted["dropped"]) == (len(shipped), len(shipped), 0)
    assert all(count["spools"] == 1 and count["segments"] >= 1 for count in told["counts"].values())
