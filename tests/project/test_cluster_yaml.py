"""`cluster.yaml` is one that Ray's launcher takes, and its versions and paths are those of this project."""

from __future__ import annotations

import copy
import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def validated(config):
    """The configuration as `ray up` completes and checks it; raises what the launcher raises."""
    # Private to Ray: `ray up` calls these two before anything else and has no dry run. Checked with Ray 2.60.
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def test_the_launcher_takes_it(config):
    prepared = validated(config)
    assert prepared["provider"]["type"] == "aws"
    assert set(prepared["available_node_types"]) == {"head", "worker"}, "the launcher's own node types came in"
    worker = prepared["available_node_types"]["worker"]
    assert 0 <= worker["min_workers"] < worker["max_workers"] <= prepared["max_workers"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda config: config.update(idle_timeout=5), "'idle_timeout' was unexpected"),
        (lambda config: config["auth"].update(ssh_username="ubuntu"), "'ssh_username' was unexpected"),
        (lambda config: config["available_node_types"]["worker"].update(minimum=1), "'minimum' was unexpected"),
        (
            lambda config: config["available_node_types"]["worker"].pop("resources"),
            "'resources' is a required property",
        ),
        (
            lambda config: config["available_node_types"]["worker"].update(min_workers=9),
            "smaller than the sum of `min_workers`",
        ),
        (lambda config: config.update(head_node_type="nobody"), "must be one of `available_node_types`"),
        (lambda config: config.update(idle_timeout_minutes="ten"), "'ten' is not of type"),
    ],
)
def test_the_check_refuses_what_is_wrong(config, spoil, message):
    spoil(config)
    with pytest.raises(Exception) as caught:
        validated(config)
    assert message in getattr(
        caught.value, "message", str(caught.value)
    )  # the text of a schema error repeats the whole file


def test_every_node_installs_this_project_on_one_exact_ray(config):
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    (install,) = [command for command in config["setup_commands"] if "pip install" in command]
    ray, project = [word for word in shlex.split(install)[2:] if not word.startswith("-")]
    required = re.search(r'"(ray\[[^"]*)"', (ROOT / "pyproject.toml").read_text())
    assert required
    pinned, allowed = Requirement(ray), Requirement(required[1])
    assert pinned.name == allowed.name == "ray"
    assert pinned.extras == allowed.extras
    version = re.fullmatch(r"==(\d+\.\d+\.\d+)", str(pinned.specifier))
    assert version, "not one exact version"
    assert SpecifierSet(str(allowed.specifier)).contains(version[1])
    mounted = {
        remote.removeprefix(f"{project}/") for remote in config["file_mounts"] if remote.startswith(f"{project}/")
    }
    assert mounted == {"pyproject.toml", "README.md", "LICENSE", "mmon_ray"}  # what the build reads


def test_what_is_copied_is_there(config):
    for remote, local in config["file_mounts"].items():
        if not local.startswith("~"):
            assert (ROOT / local).exists(), f"{remote} is copied from {local}, which is not there"


def test_every_node_may_use_the_bucket_and_knows_the_store(config):
    types = config["available_node_types"]
    assert types["head"]["node_config"]["IamInstanceProfile"] == types["worker"]["node_config"]["IamInstanceProfile"]
    assert any(re.search(r"MMON_STORE=s3://\S+", command) for command in config["setup_commands"])
    regions = re.findall(r"AWS_DEFAULT_REGION=([a-z0-9-]+)", " ".join(config["setup_commands"]))
    assert regions == [config["provider"]["region"]]
