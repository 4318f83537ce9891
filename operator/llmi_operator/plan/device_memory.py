"""How much memory a device has at most: by the labels of its node, or else by the name of its product.

At most, because nobody is to be refused who could be served: of a product that is sold with more and with less memory
the larger one counts, and of what the vendor calls 24 GB the full 24 GiB.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from llmi_api.v1alpha1.placement import Accelerator
from llmi_operator.plan.accelerator import choose_product_labels, list_products

MEBIBYTE = 2**20
_GIBIBYTE = 2**30
_WHOLE = frozenset({"nvidia.com/gpu", "nvidia.com/gpu.shared"})
_AMD = "amd.com/gpu"
_AMD_LABEL = "amd.com/gpu.vram"
_MEBIBYTE_LABELS = (
    "nvidia.com/gpu.memory",
    "karpenter.k8s.aws/instance-gpu-memory",
    "eks.amazonaws.com/instance-gpu-memory",
)
_PARTITION_LABEL = "cloud.google.com/gke-gpu-partition-size"
_PROFILE = re.compile(r"(?:^|[-/.])\d+g\.(\d+)gb")
_NAMED_SIZE = re.compile(r"(\d+)gb")
_AMD_SIZE = re.compile(r"(\d+)Gi?B?$", re.IGNORECASE)
_SEPARATOR = re.compile(r"[^a-z0-9]+")

PRODUCTS = {
    "nvidia-tesla-a100": 40,
    "rtx-pro-6000": 96,
    "rtx-6000-ada": 48,
    "rtx-a6000": 48,
    "p4": 8,
    "p100": 16,
    "v100": 32,
    "t4": 16,
    "t4g": 16,
    "a2": 16,
    "a10": 24,
    "a10g": 24,
    "a30": 24,
    "a40": 48,
    "a100": 80,
    "l4": 24,
    "l40": 48,
    "l40s": 48,
    "h100": 96,
    "h200": 141,
    "b200": 192,
    "b300": 288,
    "gb200": 192,
    "gb300": 288,
    "mi210": 64,
    "mi300x": 192,
    "mi325x": 256,
    "mi350x": 288,
    "mi355x": 288,
}
"""GiB of products whose names do not say it: any of these words in a name, the longest first."""


@dataclass(frozen=True)
class DeviceMemory:
    """The memory of one device.

    Attributes:
        size: Bytes, at most.
        device: What it is.
        source: Which label says so; empty where only its name does.
    """

    size: int
    device: str
    source: str = ""


def find_device_memory(accelerator: Accelerator, labels: Mapping[str, str]) -> DeviceMemory | None:
    """The memory of a node's device; None where nothing tells."""
    resource, products = accelerator.resource, _name_products(accelerator, labels)
    name = products[0] if products else resource
    profile = find_profile_memory(resource)
    if profile is not None:
        return _read_mebibytes(labels, f"{resource}.memory", resource) or profile
    if resource == _AMD:
        return _read_amd(labels, name) or _know_first(products)
    if resource not in _WHOLE:
        return None
    partition = _PROFILE.search(labels.get(_PARTITION_LABEL, ""))
    if partition:
        return DeviceMemory(int(partition[1]) * _GIBIBYTE, labels[_PARTITION_LABEL], _PARTITION_LABEL)
    told = (_read_mebibytes(labels, label, name) for label in _MEBIBYTE_LABELS)
    return next(filter(None, told), None) or _know_first(products)


def find_profile_memory(resource: str) -> DeviceMemory | None:
    """The memory of a slice, by the profile in the name under which nodes offer it."""
    profile = _PROFILE.search(resource) if resource.startswith("nvidia.com/mig-") else None
    return DeviceMemory(int(profile[1]) * _GIBIBYTE, resource) if profile else None


def find_product_memory(product: str) -> DeviceMemory | None:
    """The memory of a product, by its name alone; None for one that is not known."""
    sizes = _NAMED_SIZE.findall(product.lower())
    if sizes:
        # The last one: behind a whole GPU's size stands that of the slices into which it was cut.
        return DeviceMemory(int(sizes[-1]) * _GIBIBYTE, product)
    name = f"-{_SEPARATOR.sub('-', product.lower())}-"
    known = next((word for word in sorted(PRODUCTS, key=len, reverse=True) if f"-{word}-" in name), None)
    return DeviceMemory(PRODUCTS[known] * _GIBIBYTE, product) if known else None


def _name_products(accelerator: Accelerator, labels: Mapping[str, str]) -> list[str]:
    chosen = [labels[label] for label in choose_product_labels(accelerator) if label in labels]
    return list(dict.fromkeys((*chosen, *list_products(labels))))


def _know_first(products: list[str]) -> DeviceMemory | None:
    return next(filter(None, map(find_product_memory, products)), None)


def _read_mebibytes(labels: Mapping[str, str], label: str, name: str) -> DeviceMemory | None:
    text = labels.get(label, "")
    return DeviceMemory(int(text) * MEBIBYTE, name, label) if re.fullmatch(r"[1-9]\d{0,9}", text) else None


def _read_amd(labels: Mapping[str, str], name: str) -> DeviceMemory | None:
    size = _AMD_SIZE.fullmatch(labels.get(_AMD_LABEL, ""))
    return DeviceMemory(int(size[1]) * _GIBIBYTE, name, _AMD_LABEL) if size and int(size[1]) else None
