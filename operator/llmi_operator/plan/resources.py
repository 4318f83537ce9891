"""CPU, memory and disk of one replica, with the operator's defaults filled in."""

from llmi_api.meta import Quantity
from llmi_api.v1alpha1.placement import Accelerator, ResourceAmounts
from llmi_api.v1alpha1.placement import Resources as SpecResources
from llmi_operator.plan.accelerator import make_device_amounts
from llmi_operator.plan.quantity import write_quantity
from llmi_operator.settings import ServerDefaults

Amounts = dict[str, str]


def build_resources(
    resources: SpecResources | None, defaults: ServerDefaults, *, downloads: bool, accelerator: Accelerator | None
) -> dict[str, Amounts]:
    """Requests and limits of a container.

    A default fills what the user left open and never contradicts what they wrote: a limit without a request
    means the request equals it (the API server's own rule), and memory's limit equals its request unless given,
    because memory cannot be taken back.
    """
    requests = _to_amounts(resources.requests if resources else None)
    limits = _to_amounts(resources.limits if resources else None)
    if "cpu" not in requests and "cpu" not in limits:
        requests["cpu"] = defaults.cpu_request
    if "memory" not in requests and "memory" not in limits:
        requests["memory"] = defaults.memory
    limits.setdefault("memory", requests.get("memory", defaults.memory))
    if downloads and "ephemeral-storage" not in requests and "ephemeral-storage" not in limits:
        requests["ephemeral-storage"] = defaults.ephemeral_storage_request
    devices = make_device_amounts(accelerator)
    return {"requests": {**limits, **requests, **devices}, "limits": {**limits, **devices}}


def _to_amounts(amounts: ResourceAmounts | None) -> Amounts:
    if amounts is None:
        return {}
    given: dict[str, Quantity | None] = {
        "cpu": amounts.cpu,
        "memory": amounts.memory,
        "ephemeral-storage": amounts.ephemeral_storage,
    }
    return {name: write_quantity(quantity) for name, quantity in given.items() if quantity is not None}
