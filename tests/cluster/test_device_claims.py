"""Claims of devices by a real DRA driver, scheduler, kubelet and containerd; only the devices do not exist."""

import secrets

import pytest

from llmi_testing import dra_driver
from llmi_testing.live_cluster import LiveCluster, eventually

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not dra_driver.is_built(), reason="The DRA driver is not built: make soak does it"),
]
CLAIM = {"dra": {"deviceClassName": dra_driver.DRIVER, "count": 1}}
BOTH = {"dra": {"deviceClassName": dra_driver.DRIVER, "count": 2}}
LIST_VARIABLES = "import os; print(*(f'{k}={v}' for k, v in os.environ.items()), sep=chr(10))"


@pytest.fixture(scope="module")
def node(kubectl, server_image, tmp_path_factory):
    """The node on which the driver has two devices."""
    equipment = LiveCluster(kubectl, server_image, f"dra-{secrets.token_hex(3)}")
    kubectl("create", "namespace", equipment.namespace)
    with dra_driver.running_dra_driver(equipment, 2, tmp_path_factory.mktemp("dra") / "log") as node:
        yield node
    kubectl("delete", "namespace", equipment.namespace, "--wait=false")


@pytest.fixture
def cluster(cluster, node):
    """The test's namespace, left without claims: the kubelet could not give back a device whose driver is gone."""
    yield cluster
    cluster("delete", "llmi", "--all")
    eventually(lambda: not cluster.objects("resourceclaims") and not cluster.objects("pods"))


def allocated(cluster):
    """The devices of the claims that the scheduler has allocated, by claim."""
    found = {}
    for claim in cluster.objects("resourceclaims"):
        results = claim.get("status", {}).get("allocation", {}).get("devices", {}).get("results", [])
        found[claim["metadata"]["name"]] = sorted(result["device"] for result in results)
    return found


def names(cluster):
    return {item["metadata"]["name"] for item in cluster.objects("resourceclaimtemplates")}


def variables(cluster, pod):
    lines = cluster("exec", pod["metadata"]["name"], "-c", "server", "--", "/opt/llmi/bin/python", "-c", LIST_VARIABLES)
    return [line for line in lines.splitlines() if line.startswith("GPU_DEVICE_")]


def test_a_replica_gets_its_devices_hands_them_to_its_successor_and_leaves_no_claim(cluster, node):
    cluster.apply("bert", accelerator=BOTH)
    cluster.wait_ready("bert")
    (first,) = cluster.objects("pods", "bert")
    assert first["spec"]["nodeName"] == node
    assert list(allocated(cluster).values()) == [["gpu-0", "gpu-1"]]
    assert len(variables(cluster, first)) >= 2
    # No device is left beside it, so it makes room, and the new replica gets the same ones.
    cluster.patch("bert", engine={"env": [{"name": "CHANGED", "value": "1"}]})
    cluster.wait_ready("bert")
    eventually(
        lambda: [item["metadata"]["uid"] for item in cluster.objects("pods", "bert")] != [first["metadata"]["uid"]]
    )
    eventually(lambda: list(allocated(cluster).values()) == [["gpu-0", "gpu-1"]])
    # One device is another claim: its template goes when the rollout is over.
    before = names(cluster)
    cluster.patch("bert", accelerator=CLAIM, rollout={"mode": "Replace"})
    cluster.wait_ready("bert")
    eventually(lambda: [len(devices) for devices in allocated(cluster).values()] == [1])
    eventually(lambda: len(names(cluster)) == 1 and not names(cluster) & before)
    cluster("delete", "llmi", "bert")
    eventually(lambda: not allocated(cluster) and not names(cluster))


def test_a_replica_that_finds_every_device_taken_waits_and_says_so(cluster):
    cluster.apply("taker", accelerator=BOTH)
    cluster.wait_ready("taker")
    cluster.apply("bert", accelerator=CLAIM)
    cluster.wait_why("bert", "no free device that spec.accelerator.dra asks for")
    cluster("delete", "llmi", "taker")
    cluster.wait_ready("bert")
