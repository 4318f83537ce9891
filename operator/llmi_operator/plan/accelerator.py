"""From ``accelerator`` in the spec to device, resources, tolerations and node affinity."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from llmi_api.launch import Device
from llmi_api.v1alpha1.placement import PRODUCT_LABELS, Accelerator, Platform

NVIDIA_PREFIX = "nvidia.com/"
NVIDIA_TAINT = "nvidia.com/gpu"
INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"
SPOT_WEIGHT = 100
"""The heaviest: what is cheaper comes before all else that is only preferred."""


class Hardware(StrEnum):
    """What an image computes on."""

    CPU = "cpu"
    NVIDIA = "nvidia"
    AMD = "amd"
    OTHER = "other"


VENDORS = {"nvidia.com": Hardware.NVIDIA, "amd.com": Hardware.AMD}


@dataclass(frozen=True)
class NodePool:
    """How a platform marks its nodes.

    Attributes:
        product_labels: Labels that name an NVIDIA GPU's product; any of them will do.
        taints: Taints of its GPU nodes beyond those that have a resource's name: key and value.
        spot_label: Label of spot nodes and its value.
        spot_taint: Taint of spot nodes and its value; None where the platform sets none by itself.
    """

    product_labels: tuple[str, ...]
    spot_label: tuple[str, str]
    spot_taint: tuple[str, str] | None = None
    taints: tuple[tuple[str, str], ...] = ()


NODE_POOLS = {
    Platform.GKE: NodePool(
        product_labels=("cloud.google.com/gke-accelerator",),
        spot_label=("cloud.google.com/gke-spot", "true"),
        spot_taint=("cloud.google.com/gke-spot", "true"),
    ),
    # The first label is a convention of node groups, which the cluster autoscaler reads; nothing sets it by itself.
    Platform.EKS: NodePool(
        product_labels=("k8s.amazonaws.com/accelerator", PRODUCT_LABELS[NVIDIA_PREFIX]),
        spot_label=("eks.amazonaws.com/capacityType", "SPOT"),
    ),
    # Its label kubernetes.azure.com/accelerator says nvidia for all of them: the size of the VM tells the product.
    Platform.AKS: NodePool(
        product_labels=(INSTANCE_TYPE_LABEL, PRODUCT_LABELS[NVIDIA_PREFIX]),
        spot_label=("kubernetes.azure.com/scalesetpriority", "spot"),
        spot_taint=("kubernetes.azure.com/scalesetpriority", "spot"),
        taints=(("sku", "gpu"),),
    ),
    Platform.KARPENTER: NodePool(
        product_labels=(
            "karpenter.k8s.aws/instance-gpu-name",
            "eks.amazonaws.com/instance-gpu-name",
            "karpenter.azure.com/sku-gpu-name",
        ),
        spot_label=("karpenter.sh/capacity-type", "spot"),
    ),
}


SPOT_LABELS = dict(pool.spot_label for pool in NODE_POOLS.values())
"""How nodes say that they may be taken away at short notice."""


def list_products(labels: Mapping[str, str]) -> list[str]:
    """The products of devices that a node's labels name, in words of the vendors first."""
    platforms = (label for pool in NODE_POOLS.values() for label in pool.product_labels)
    names = dict.fromkeys((*PRODUCT_LABELS.values(), *platforms))
    return [labels[name] for name in names if name in labels and name != INSTANCE_TYPE_LABEL]


def choose_device(accelerator: Accelerator | None) -> Device:
    """Say where the model runs, so that a missing device is an error and not a slow surprise."""
    return {Hardware.CPU: Device.CPU, Hardware.NVIDIA: Device.CUDA}.get(choose_hardware(accelerator), Device.AUTO)


def choose_hardware(accelerator: Accelerator | None) -> Hardware:
    """Say what the image must compute on."""
    if accelerator is None:
        return Hardware.CPU
    if accelerator.dra is not None:
        wanted = accelerator.dra.device_class_name
        return next((kind for vendor, kind in VENDORS.items() if wanted.endswith(f".{vendor}")), Hardware.OTHER)
    return next(
        (kind for vendor, kind in VENDORS.items() if accelerator.resource.startswith(f"{vendor}/")), Hardware.OTHER
    )


def count_devices(accelerator: Accelerator | None) -> int:
    """How many devices a replica gets."""
    if accelerator is None:
        return 0
    return accelerator.count if accelerator.dra is None else accelerator.dra.count


def make_device_amounts(accelerator: Accelerator | None) -> dict[str, str]:
    """Resource amounts for the devices; extended resources want requests and limits alike."""
    if accelerator is None or accelerator.dra is not None:
        return {}
    return {accelerator.resource: str(accelerator.count)}


def make_tolerations(accelerator: Accelerator | None) -> list[dict[str, Any]]:
    """Accept the taints that keep other pods off the nodes with such devices."""
    if accelerator is None:
        return []
    tolerations = [{"key": accelerator.resource, "operator": "Exists"}]
    if accelerator.platform is None:
        return tolerations
    pool = NODE_POOLS[accelerator.platform]
    # Nodes with slices and shares of a GPU have the taint of whole ones.
    if accelerator.resource.startswith(NVIDIA_PREFIX) and accelerator.resource != NVIDIA_TAINT:
        tolerations.append({"key": NVIDIA_TAINT, "operator": "Exists"})
    taints = (*pool.taints, *([pool.spot_taint] if accelerator.spot and pool.spot_taint else ()))
    return tolerations + [
        {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"} for key, value in taints
    ]


def choose_product_labels(accelerator: Accelerator) -> tuple[str, ...]:
    """Labels of nodes that name the device's product; a node needs one of them to have a product that was asked for."""
    if accelerator.platform is not None and accelerator.resource.startswith(NVIDIA_PREFIX):
        return NODE_POOLS[accelerator.platform].product_labels
    return tuple(label for vendor, label in PRODUCT_LABELS.items() if accelerator.resource.startswith(vendor))


def make_node_affinity(accelerator: Accelerator | None) -> dict[str, Any]:
    """Which nodes will do, by product, and which are liked best; empty when all are alike."""
    if accelerator is None:
        return {}
    affinity: dict[str, Any] = {}
    if accelerator.products:
        wanted = sorted(accelerator.products)
        terms = [_make_term(label, *wanted) for label in choose_product_labels(accelerator)]
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    if accelerator.spot and accelerator.platform:
        liked = {"weight": SPOT_WEIGHT, "preference": _make_term(*NODE_POOLS[accelerator.platform].spot_label)}
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = [liked]
    return affinity


def _make_term(label: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": label, "operator": "In", "values": list(values)}]}
