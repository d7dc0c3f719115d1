"""Fixtures that are dear: one Ray session, one Serve, one S3 server for the whole run."""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
import uuid
from pathlib import Path

import pytest
from hypothesis import settings

from mmon_ray.storage.open import open_store

settings.register_profile("mmon", deadline=None)  # machines are shared: slow is not wrong
settings.load_profile("mmon")


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items):
    """Mark what needs Ray and what starts processes; on several workers, Ray's tests share one session and a file stays
    together."""
    sources = {path: path.read_text() for path in {item.path for item in items}}
    for item in items:
        on_ray = "ray_session" in item.fixturenames or _STARTS_RAY.search(sources[item.path])
        if on_ray:
            item.add_marker(pytest.mark.ray)
        if "subprocess" in sources[item.path]:
            item.add_marker(pytest.mark.process)
        item.add_marker(pytest.mark.xdist_group("ray" if on_ray else str(item.path)))


_STARTS_RAY = re.compile(r"ray\.init\(|\bdemo\b.*subprocess|\"demo\"")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# The bound of a nearly full disk is tested where it is named; no other test should depend on how full this one is.
os.environ["MMON_SPOOL_MAX_DISK"] = "1"
# Ray and Serve give up after seconds what a busy machine takes longer for; Serve reads its own when it is imported.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "180")
os.environ.setdefault("RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S", "180")


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets beside the project, which a user does not have."""
    folder = Path(os.environ.get("MMON_SHARED") or Path(__file__).parents[2] / "shared") / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not there ({folder}); set MMON_SHARED to the folder that holds `data`")
    return folder


@pytest.fixture(scope="session")
def _environment():
    """The session's own spool and store, so that no test touches the user's ~/.mmon."""
    home = tempfile.mkdtemp(prefix="mmon-")
    own = {
        "MMON_SPOOL": f"{home}/spool",
        "MMON_STORE": f"{home}/store",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def s3_endpoint(_environment):
    """An S3 server in a thread; its address and credentials are in the environment, which Ray's workers inherit."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    own = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        yield own["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture(scope="session")
def ray_session(_environment, s3_endpoint):
    """One local Ray cluster on ports of its own; returns its address."""
    import ray

    # The path of its sockets may have 107 characters at most: not below pytest's folder.
    session = tempfile.mkdtemp(prefix="mmon-ray-", dir="/tmp" if os.path.isdir("/tmp") else None)
    context = ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        object_store_memory=200 << 20,
        _temp_dir=session,
    )
    yield context.address_info["address"]
    ray.shutdown()
    shutil.rmtree(session, ignore_errors=True)


@pytest.fixture(scope="session")
def serve_port(ray_session):
    """Ray Serve on a port of its own: two Serves on one port would share it silently."""
    from ray import serve

    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    yield port
    serve.shutdown()


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path):
    """An empty store: a folder, then a bucket."""
    if request.param == "folder":
        return open_store(tmp_path / "store")
    import boto3

    request.getfixturevalue("s3_endpoint")
    bucket = f"mmon-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return open_store(f"s3://{bucket}/some/prefix")
