"""How much memory a device has at most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmi_api.v1alpha1.placement import Accelerator
from llmi_operator.plan.device_memory import PRODUCTS, find_device_memory, find_product_memory, find_profile_memory

MIB, GIB = 2**20, 2**30
GFD = "nvidia.com/gpu.memory"
PRODUCT = "nvidia.com/gpu.product"
GKE = "cloud.google.com/gke-accelerator"


def found(labels, **accelerator):
    memory = find_device_memory(Accelerator(**accelerator), labels)
    return None if memory is None else (memory.size, memory.device, memory.source)


@pytest.mark.parametrize(
    ("labels", "accelerator", "size", "device", "source"),
    [
        ({PRODUCT: "NVIDIA-L4", GFD: "23034"}, {}, 23034 * MIB, "NVIDIA-L4", GFD),
        ({GFD: "23034"}, {}, 23034 * MIB, "nvidia.com/gpu", GFD),
        (
            {PRODUCT: "Tesla-T4-SHARED", GFD: "15360"},
            {"resource": "nvidia.com/gpu.shared"},
            15360 * MIB,
            "Tesla-T4-SHARED",
            GFD,
        ),
        # With MIG's strategy single the labels are of the slices already.
        (
            {PRODUCT: "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", GFD: "4864"},
            {},
            4864 * MIB,
            "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",
            GFD,
        ),
        (
            {"nvidia.com/mig-1g.10gb.memory": "9728", GFD: "81920", PRODUCT: "NVIDIA-A100-SXM4-80GB"},
            {"resource": "nvidia.com/mig-1g.10gb"},
            9728 * MIB,
            "nvidia.com/mig-1g.10gb",
            "nvidia.com/mig-1g.10gb.memory",
        ),
        ({GFD: "81920"}, {"resource": "nvidia.com/mig-2g.20gb"}, 20 * GIB, "nvidia.com/mig-2g.20gb", ""),
        (
            {"karpenter.k8s.aws/instance-gpu-name": "a10g", "karpenter.k8s.aws/instance-gpu-memory": "24576"},
            {"platform": "karpenter"},
            24576 * MIB,
            "a10g",
            "karpenter.k8s.aws/instance-gpu-memory",
        ),
        (
            {"eks.amazonaws.com/instance-gpu-name": "l4", "eks.amazonaws.com/instance-gpu-memory": "22888"},
            {"platform": "karpenter"},
            22888 * MIB,
            "l4",
            "eks.amazonaws.com/instance-gpu-memory",
        ),
        ({GKE: "nvidia-l4"}, {"platform": "gke"}, 24 * GIB, "nvidia-l4", ""),
        (
            {GKE: "nvidia-tesla-a100", "cloud.google.com/gke-gpu-partition-size": "1g.5gb"},
            {"platform": "gke"},
            5 * GIB,
            "1g.5gb",
            "cloud.google.com/gke-gpu-partition-size",
        ),
        (
            {"node.kubernetes.io/instance-type": "Standard_NC24ads_A100_v4"},
            {"platform": "aks"},
            80 * GIB,
            "Standard_NC24ads_A100_v4",
            "",
        ),
        (
            {"amd.com/gpu.vram": "192G", "amd.com/gpu.product-name": "MI300X"},
            {"resource": "amd.com/gpu"},
            192 * GIB,
            "MI300X",
            "amd.com/gpu.vram",
        ),
        (
            {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"},
            {"resource": "amd.com/gpu"},
            192 * GIB,
            "AMD_Instinct_MI300X_OAM",
            "",
        ),
    ],
)
def test_labels_say_it_and_else_the_name_of_the_product(labels, accelerator, size, device, source):
    assert found(labels, **accelerator) == (size, device, source)


@pytest.mark.parametrize(
    ("labels", "accelerator"),
    [
        ({}, {}),
        ({GFD: "lots"}, {}),
        ({GFD: "0"}, {}),
        ({PRODUCT: "NVIDIA-GeForce-RTX-9999"}, {}),
        ({GFD: "23034", PRODUCT: "NVIDIA-L4"}, {"resource": "google.com/tpu"}),
        ({GFD: "23034", PRODUCT: "NVIDIA-L4"}, {"resource": "nvidia.com/GRID_P100X-4Q"}),
        ({"amd.com/gpu.vram": "?"}, {"resource": "amd.com/gpu"}),
    ],
)
def test_what_nothing_tells_is_unknown(labels, accelerator):
    assert found(labels, **accelerator) is None


@pytest.mark.parametrize(
    ("product", "gibibytes"),
    [
        ("NVIDIA-A100-SXM4-80GB", 80),
        ("nvidia-tesla-a100", 40),
        ("a100", 80),
        ("NVIDIA-H100-80GB-HBM3", 80),
        ("nvidia-h200-141gb", 141),
        ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", 5),
        ("NVIDIA-L40S", 48),
        ("Tesla-V100-SXM2-16GB", 16),
        ("v100", 32),
        ("Standard_NC4as_T4_v3", 16),
        ("NVIDIA-RTX-6000-Ada-Generation", 48),
    ],
)
def test_of_a_name_that_is_sold_in_two_sizes_the_larger_counts(product, gibibytes):
    assert find_product_memory(product).size == gibibytes * GIB


@given(st.text(max_size=63))
def test_any_name_is_known_or_not(name):
    memory = find_product_memory(name)
    assert memory is None or (memory.size >= 0 and memory.device == name)


@given(st.sampled_from(sorted(PRODUCTS)), st.sampled_from(["NVIDIA-{}", "{}", "Tesla-{}-SHARED", "nvidia-{}-x"]))
def test_a_product_is_known_by_its_name_in_any_spelling(product, spelling):
    known = max((word for word in PRODUCTS if word in product), key=len)
    assert find_product_memory(spelling.format(product.upper())).size >= min(PRODUCTS[known], PRODUCTS[product]) * GIB


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "amd.com/gpu", "example.com/mig-1g.5gb", "nvidia.com/mig-x"])
def test_only_a_slice_of_mig_has_its_memory_in_its_name(resource):
    assert find_profile_memory(resource) is None
