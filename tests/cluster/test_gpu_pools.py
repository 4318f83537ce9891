"""GPUs by the real kubelet and scheduler: nodes as clouds mark them, and devices by the kubelet's device plugin API.

The devices do not exist, so a server that asks for CUDA ends and says so; one that takes any device runs on the CPU.
"""

import json
import secrets
from pathlib import Path

import pytest

import deploy
from llmi_testing.gpu_pools import CLOUDS, GPU, OTHER_GPU, OTHER_PRODUCT, PRODUCT, SHARE, SLICE, GpuPools
from llmi_testing.hub_pod import GOOD, SLOW_BERT_LARGE
from llmi_testing.live_cluster import LiveCluster, eventually

READER = str(Path(__file__).parents[2] / "deploy" / "cluster-reader")
ON_GKE = {"platform": "gke", "products": [PRODUCT]}
TOLERATE = [{"key": GPU, "operator": "Exists"}]
ON_OTHER = {
    "accelerator": {"resource": OTHER_GPU, "products": [OTHER_PRODUCT]},
    "scheduling": {"tolerations": TOLERATE},
}


@pytest.fixture(scope="module")
def pools(kubectl, server_image, hub):
    """The pools, and an operator that may read nodes; the hub was there before the taints of its node."""
    equipment = LiveCluster(kubectl, server_image, f"devices-{secrets.token_hex(3)}")
    kubectl("create", "namespace", equipment.namespace)
    try:
        kubectl("apply", "-k", READER)
        # It asks for a right that it was refused again after minutes, or when it starts.
        kubectl("-n", deploy.NAMESPACE, "rollout", "restart", deploy.OPERATOR)
        kubectl("-n", deploy.NAMESPACE, "rollout", "status", deploy.OPERATOR, "--timeout=180s")
        with GpuPools(equipment).made() as pools:
            yield pools
    finally:
        kubectl("delete", "-k", READER, "--ignore-not-found")
        kubectl("delete", "namespace", equipment.namespace, "--wait=false")


@pytest.fixture
def gpus(cluster, pools):
    """The pools with every GPU free, before and after."""
    yield pools
    cluster("delete", "llmi", "--all")
    cluster("delete", "pods", "--all", "--force", "--grace-period=0")
    eventually(lambda: not cluster.objects("pods"), seconds=60)


def places(cluster, name):
    """The nodes of the replicas that are not being stopped."""
    pods = [pod for pod in cluster.objects("pods", name) if "deletionTimestamp" not in pod["metadata"]]
    return sorted(pod["spec"].get("nodeName", "") for pod in pods)


def occupy(cluster, node):
    """Somebody else's pod with the GPU of a node."""
    container = {
        "name": "main",
        "image": cluster.server_image,
        "command": ["/opt/llmi/bin/python", "-c", "import signal; signal.pause()"],
        "resources": {"limits": {GPU: "1", "cpu": "10m", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [{"operator": "Exists"}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "theirs"}, "spec": spec}
    cluster("apply", "-f", "-", stdin=json.dumps(pod))
    cluster("wait", "--for=condition=Ready", "pod/theirs", "--timeout=120s")


def test_a_spot_node_comes_first_and_an_ordinary_one_when_it_is_full(cluster, gpus):
    cluster.apply("bert", accelerator={**ON_GKE, "spot": True})
    eventually(lambda: places(cluster, "bert") == [gpus.spot])
    cluster.patch("bert", replicas=2)
    eventually(lambda: places(cluster, "bert") == sorted([gpus.ordinary, gpus.spot]))
    eventually(lambda: gpus.allocated(gpus.spot) and gpus.allocated(gpus.ordinary))
    # It got a device, and finds that nothing computes behind it.
    why = cluster.wait_why("bert", "AcceleratorAbsent")
    assert "CUDA" in why


@pytest.mark.parametrize("platform", ["eks", "aks", "karpenter"])
def test_a_spot_node_comes_first_where_another_cloud_marks_it_too(cluster, gpus, platform):
    cloud = CLOUDS[platform]
    with gpus.marked_as_by(cloud):
        cluster.apply("bert", accelerator={"platform": platform, "products": [cloud.product], "spot": True})
        eventually(lambda: places(cluster, "bert") == [gpus.spot])


def test_a_slice_and_a_share_of_a_gpu_are_devices_too(cluster, gpus):
    for name, resource in (("slice", SLICE), ("share", SHARE)):
        cluster.apply(name, accelerator={"platform": "gke", "resource": resource})
    had = ("nvidia.com-mig-1g.10gb-", "nvidia.com-gpu.shared-")
    eventually(lambda: all(any(line.startswith(one) for line in gpus.allocated(gpus.ordinary)) for one in had))
    assert places(cluster, "slice") == places(cluster, "share") == [gpus.ordinary]


def test_a_shortage_is_counted_a_gpu_that_fell_off_is_named_and_its_return_is_seen(cluster, gpus):
    occupy(cluster, gpus.ordinary)
    gpus.let_gpu_fall_off(gpus.spot)
    cluster.apply("bert", accelerator={**ON_GKE, "spot": True})
    why = cluster.wait_why("bert", f"0/3 nodes have a free {GPU} of the product {PRODUCT}: ")
    assert "1 has all 1 in use, " in why
    assert f"that of {gpus.spot} is not healthy, 1 has none." in why
    gpus.bring_gpu_back(gpus.spot)
    eventually(lambda: places(cluster, "bert") == [gpus.spot])


def test_a_taint_of_spot_nodes_keeps_off_who_did_not_ask_for_spot(cluster, gpus):
    occupy(cluster, gpus.ordinary)
    cluster.apply("bert", accelerator=ON_GKE)
    cluster.wait_why("bert", "1 has all 1 in use", "1 has the taint cloud.google.com/gke-spot", "or add a node.")
    cluster("delete", "pod", "theirs", "--force", "--grace-period=0")
    eventually(lambda: places(cluster, "bert") == [gpus.ordinary])


def test_a_product_that_no_node_has(cluster, gpus):
    cluster.apply("bert", accelerator={"platform": "gke", "products": ["nvidia-h100-80gb"]})
    cluster.wait_why("bert", f"2 are {PRODUCT}", f"Allow {PRODUCT} in spec.accelerator.products")
    cluster.patch("bert", accelerator={"products": ["nvidia-h100-80gb", PRODUCT]})
    # The replica of before, which waits, stays until the new one serves; nothing computes behind this device.
    eventually(lambda: gpus.ordinary in places(cluster, "bert"))


def test_a_replica_with_another_vendors_device_serves(cluster, gpus):
    cluster.apply("bert", **ON_OTHER)
    cluster.wait_ready("bert")
    assert places(cluster, "bert") == [gpus.ordinary]
    assert gpus.allocated(gpus.ordinary)[-1] == "amd.com-gpu-0"


def test_a_model_that_its_device_cannot_hold_is_told_before_the_download_and_what_fits_serves(cluster, gpus, hub):
    model = {"id": SLOW_BERT_LARGE, "endpoint": hub}
    cluster.apply("bert", model=model, engine={"precision": "float32"}, **ON_OTHER)
    gets = f"a replica gets 1 x {OTHER_PRODUCT} with 1024 MiB (amd.com/gpu.vram)"
    why = cluster.wait_why("bert", "The model's weights alone take ", f" MiB in float32, and {gets} (OutOfMemory)")
    assert "set spec.engine.precision to bfloat16 (" in why.lower()
    memory = eventually(lambda: cluster.status("bert").get("memory"), "memory is told", seconds=30)
    assert memory["weights"]["bfloat16"] < 2**30 < memory["weights"]["float32"]
    assert memory["device"] in gets
    assert cluster.condition("bert", "Ready")["reason"] == "OutOfMemory"
    assert "url" not in cluster.status("bert")

    # Of the same files a later version is judged before it is scheduled: it is not even made.
    pods = [pod["metadata"]["name"] for pod in cluster.objects("pods", "bert")]
    generation = cluster.get("deployment", "bert")["metadata"]["generation"]
    cluster.patch("bert", limits={"maxQueuedRequests": 7})
    cluster.wait_why("bert", gets, "so no replica of this version is made")
    assert [pod["metadata"]["name"] for pod in cluster.objects("pods", "bert")] == pods
    assert cluster.get("deployment", "bert")["metadata"]["generation"] == generation

    # A smaller one takes the place of what has the only device and cannot use it.
    cluster.patch("bert", model={"id": GOOD})
    in_its_place = "A new replica found no room beside the old ones, so replicas are replaced one by one"
    eventually(lambda: in_its_place in cluster.status("bert").get("rollout", {}).get("because", ""))
    cluster.wait_ready("bert")
    assert places(cluster, "bert") == [gpus.ordinary]
    memory = eventually(lambda: is_measured(cluster.status("bert")["memory"]), "memory is measured", seconds=30)
    assert memory["model"].startswith(GOOD)
    assert memory["device"] in gets
    assert memory["predictedBytes"] < 2**30


def is_measured(memory):
    return memory if "measuredBytes" in memory else None
