"""From ``accelerator`` in the spec to device, resources and tolerations."""

from typing import Any

from llmi_api.launch import Device
from llmi_api.v1alpha1.placement import Accelerator

NVIDIA_PREFIX = "nvidia.com/"


def choose_device(accelerator: Accelerator | None) -> Device:
    """Say where the model runs, so that a missing device is an error and not a slow surprise."""
    if accelerator is None:
        return Device.CPU
    return Device.CUDA if accelerator.resource.startswith(NVIDIA_PREFIX) else Device.AUTO


def make_device_amounts(accelerator: Accelerator | None) -> dict[str, str]:
    """Resource amounts for the devices; extended resources want requests and limits alike."""
    return {} if accelerator is None else {accelerator.resource: str(accelerator.count)}


def make_tolerations(accelerator: Accelerator | None) -> list[dict[str, Any]]:
    """Accept the taint that keeps other pods off the nodes with such devices."""
    return [] if accelerator is None else [{"key": accelerator.resource, "operator": "Exists"}]
