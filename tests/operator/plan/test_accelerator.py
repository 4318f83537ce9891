"""Which nodes a replica with a GPU may use, and likes best."""

import pytest

from llmi_operator.plan.accelerator import make_node_affinity, make_tolerations
from llmi_testing.inference import make_resource

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def affinity(**accelerator):
    return make_node_affinity(make_resource(accelerator=accelerator).spec.accelerator)


def required(**accelerator):
    """Labels and values, one pair a term."""
    terms = affinity(products=["b", "a"], **accelerator)[REQUIRED]["nodeSelectorTerms"]
    assert all(item["operator"] == "In" for term in terms for item in term["matchExpressions"])
    return [(item["key"], item["values"]) for term in terms for item in term["matchExpressions"]]


def taints(**accelerator):
    tolerations = make_tolerations(make_resource(accelerator=accelerator).spec.accelerator)
    return [
        f"{item['key']}={item['value']}:{item['effect']}" if "value" in item else item["key"] for item in tolerations
    ]


def test_without_products_and_spot_every_node_is_alike():
    assert affinity() == affinity(platform="gke") == make_node_affinity(None) == {}


@pytest.mark.parametrize(
    ("resource", "label"),
    [
        ("nvidia.com/gpu", "nvidia.com/gpu.product"),
        ("nvidia.com/mig-1g.10gb", "nvidia.com/gpu.product"),
        ("nvidia.com/gpu.shared", "nvidia.com/gpu.product"),
        ("amd.com/gpu", "amd.com/gpu.product-name"),
        ("gpu.intel.com/xe", "gpu.intel.com/product"),
        ("google.com/tpu", "cloud.google.com/gke-tpu-accelerator"),
        ("aws.amazon.com/neuron", "karpenter.k8s.aws/instance-accelerator-name"),
    ],
)
def test_without_a_platform_the_label_of_the_vendor_names_the_product(resource, label):
    assert required(resource=resource) == [(label, ["a", "b"])]


def test_each_platform_names_products_by_labels_of_its_own_and_one_of_them_is_enough():
    assert [label for label, _ in required(platform="gke")] == ["cloud.google.com/gke-accelerator"]
    assert [label for label, _ in required(platform="eks")] == [
        "k8s.amazonaws.com/accelerator",
        "nvidia.com/gpu.product",
    ]
    assert [label for label, _ in required(platform="aks")] == [
        "node.kubernetes.io/instance-type",
        "nvidia.com/gpu.product",
    ]
    assert [label for label, _ in required(platform="karpenter")] == [
        "karpenter.k8s.aws/instance-gpu-name",
        "eks.amazonaws.com/instance-gpu-name",
        "karpenter.azure.com/sku-gpu-name",
    ]


def test_a_platforms_labels_are_about_nvidia_others_keep_their_vendors():
    assert required(platform="gke", resource="google.com/tpu") == [("cloud.google.com/gke-tpu-accelerator", ["a", "b"])]


@pytest.mark.parametrize(
    ("platform", "label", "value"),
    [
        ("gke", "cloud.google.com/gke-spot", "true"),
        ("eks", "eks.amazonaws.com/capacityType", "SPOT"),
        ("aks", "kubernetes.azure.com/scalesetpriority", "spot"),
        ("karpenter", "karpenter.sh/capacity-type", "spot"),
    ],
)
def test_spot_nodes_are_preferred_and_never_required(platform, label, value):
    made = affinity(platform=platform, spot=True)
    assert REQUIRED not in made
    term = {"matchExpressions": [{"key": label, "operator": "In", "values": [value]}]}
    assert made[PREFERRED] == [{"weight": 100, "preference": term}]


def test_the_taints_of_a_platform_are_tolerated_and_those_of_spot_only_when_asked_for():
    assert taints() == taints(platform="gke") == taints(platform="eks") == ["nvidia.com/gpu"]
    assert taints(platform="gke", spot=True) == ["nvidia.com/gpu", "cloud.google.com/gke-spot=true:NoSchedule"]
    assert taints(platform="aks") == ["nvidia.com/gpu", "sku=gpu:NoSchedule"]
    assert taints(platform="aks", spot=True)[2:] == ["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"]
    assert taints(platform="karpenter", spot=True) == ["nvidia.com/gpu"]


def test_slices_and_shares_of_a_gpu_lie_behind_the_taint_of_whole_ones():
    slice_of_one = "nvidia.com/mig-1g.10gb"
    assert taints(resource=slice_of_one) == [slice_of_one]
    assert taints(resource=slice_of_one, platform="gke") == [slice_of_one, "nvidia.com/gpu"]
    assert taints(resource="amd.com/gpu", platform="aks") == ["amd.com/gpu", "sku=gpu:NoSchedule"]
