"""The files of docs/cluster are accepted by what reads them, and do what they say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import pixelprune
from tests.docs.pages import DOCS, ROOT

FILES = DOCS / "cluster"
PICTURE = ROOT / "sample_data" / "questions" / "form-1.png"


def text(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def test_all_files_name_the_same_versions() -> None:
    ray_version = "2.60.0"
    assert f"RAY={ray_version}-" in text("Dockerfile")
    assert f"=={ray_version}'" in text("aws.yaml")
    assert (
        yaml.safe_load(text("kuberay.yaml"))["spec"]["rayClusterSpec"]["rayVersion"] == ray_version
    )


def test_the_entry_point_is_a_command_that_works(tmp_path: Path) -> None:
    words = yaml.safe_load(text("kuberay.yaml"))["spec"]["entrypoint"].split()
    here = {"s3://BUCKET/SCANS/": str(PICTURE), "s3://BUCKET/OUTPUT": str(tmp_path / "out")}
    assert here.keys() < set(words)
    without_ray = here | {"ray": "local", "7": "0"}
    done = pixelprune(*(without_ray.get(word, word) for word in words[1:]))
    assert done.returncode == 0, done.stderr


def test_the_job_has_fields_that_kuberay_knows() -> None:
    """The names are those of the reference of KubeRay 1.6; its schema itself is not here."""
    job = yaml.safe_load(text("kuberay.yaml"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    known = {"entrypoint", "rayClusterSpec", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished"}
    assert set(spec) == known
    cluster = spec["rayClusterSpec"]
    assert set(cluster) == {
        "rayVersion",
        "authOptions",
        "enableInTreeAutoscaling",
        "autoscalerOptions",
        "headGroupSpec",
        "workerGroupSpecs",
    }
    [workers] = cluster["workerGroupSpecs"]
    names = {"groupName", "minReplicas", "replicas", "maxReplicas", "rayStartParams", "template"}
    assert set(workers) == names
    assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
    for group in (cluster["headGroupSpec"], workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        [container] = group["template"]["spec"]["containers"]
        assert container["resources"]["limits"] == container["resources"]["requests"]
    cores = workers["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"]
    assert f"--workers {cores}" in spec["entrypoint"]


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A cloud with images and roles, as far as Ray's launcher can see."""
    pytest.importorskip("ray.autoscaler", reason="needs Ray: pip install 'pixelprune[ray]'")
    import boto3
    from moto import mock_aws

    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    with mock_aws():
        for name in ("HEAD", "WORKER"):
            boto3.client("iam").create_instance_profile(InstanceProfileName=name)
        yield boto3.client("ec2")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_ray_up_starts_the_machines_of_the_file(launcher: Any) -> None:
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config, validate_config

    filters = [{"Name": "architecture", "Values": ["x86_64"]}]
    image = launcher.describe_images(Filters=filters)["Images"][0]["ImageId"]
    filled = text("aws.yaml").replace("ami-UBUNTU-24-04", image).replace("ACCOUNT", "123456789012")
    config = prepare_config(yaml.safe_load(filled))
    validate_config(config)
    config = bootstrap_aws(AWSNodeProvider.fillout_available_node_types_resources(config))
    types = config["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert types["worker"]["resources"]["CPU"] == 16
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    tags = {"ray-node-kind": "worker"}
    provider.create_node(types["worker"]["node_config"], tags, 1)
    found = launcher.describe_instances()["Reservations"]
    [machine] = [one for reservation in found for one in reservation["Instances"]]
    assert machine["InstanceType"] == "m6i.4xlarge"
    assert machine["InstanceLifecycle"] == "spot"
    assert machine["IamInstanceProfile"]["Arn"].endswith("123456789012:instance-profile/WORKER")
