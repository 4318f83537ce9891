"""Whether a model fits into the memory that a replica gets, by what its files' headers told: told early, with numbers.

Only what cannot be otherwise holds anything back: the weights alone, against the most that what the spec asks for has.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llmi_api.launch import EngineName, Precision, Task
from llmi_api.readiness import ReadinessReport
from llmi_api.v1alpha1 import LLMInferenceStatus, PrecisionMemory
from llmi_api.v1alpha1.placement import Accelerator
from llmi_operator.observed import Capacity, Needs, NodeState, Observed, PodState
from llmi_operator.parse import Resource
from llmi_operator.plan.accelerator import choose_product_labels, count_devices
from llmi_operator.plan.device_memory import (
    MEBIBYTE,
    DeviceMemory,
    find_device_memory,
    find_product_memory,
    find_profile_memory,
)
from llmi_operator.plan.model import identify_files
from llmi_operator.plan.quantity import parse_quantity
from llmi_operator.plan.resources import build_resources
from llmi_operator.settings import ServerDefaults
from llmi_operator.status.capacity import read_needs, survey

_MOST_DEVICES = 64
_UNUSABLE = frozenset({"without", "selector", "affinity", "taint"})
# Flags of vLLM by which weights are smaller than their files say, or lie elsewhere too, or are other ones. Its parser
# takes the beginning of a flag for the flag.
_OWN_ARITHMETIC = re.compile(r"-(q|pp|tp|dp)\b|--(q|cpu|off|pi|te|dat|dty|load|con|hf|mo|lang|limit|mm|ad)")


@dataclass(frozen=True)
class Devices:
    """The accelerators of a replica.

    Attributes:
        memory: Of one of them, at most.
        count: Over how many of them the engine spreads one model.
    """

    memory: DeviceMemory
    count: int

    @property
    def total(self) -> int:
        """What they have together."""
        return self.memory.size * self.count

    def describe(self) -> str:
        """Their memory, and where that is known from."""
        source = self.memory.source or "by its name"
        most = "" if self.memory.source else "at most "
        return f"{self.count} x {self.memory.device} with {most}{_write(self.memory.size)} ({source})"


def warn_of_memory(
    report: ReadinessReport, resource: Resource, defaults: ServerDefaults, devices: Devices | None = None
) -> str:
    """Say what will be missing, and what to do; empty where it fits or is not known."""
    if resource.spec.accelerator is not None:
        return warn_of_devices(resource, report.predicted_by_precision, devices)
    spec, predicted = resource.spec, report.predicted_by_precision
    precision = _choose_precision(spec.engine.precision, spec.task)
    needed = predicted.get(precision)
    amounts = build_resources(spec.resources, defaults, downloads=False, accelerator=None)
    limit = parse_quantity(amounts["limits"]["memory"])
    if needed is None or limit is None or needed <= limit:
        return ""
    smaller = next((name for name, size in predicted.items() if size <= limit and name != Precision.FLOAT16), None)
    instead = f", or set spec.engine.precision to {smaller} ({_write(predicted[smaller])})" if smaller else ""
    return (
        f"It will not fit: it needs about {_write(needed)} in {precision} and the memory limit is {_write(limit)}. "
        f"Raise spec.resources.limits.memory{instead}."
    )


def warn_of_devices(resource: Resource, predicted: Mapping[str, int], devices: Devices | None) -> str:
    """Say that a model will not fit into its accelerators; empty where it does or where that is not known."""
    precision, needed = _find_size(resource, predicted)
    if devices is None or needed is None or needed <= devices.total:
        return ""
    return (
        f"It will not fit: it needs about {_write(needed)} in {precision} and a replica gets {devices.describe()}. "
        f"{_suggest(resource, predicted, devices)}"
    )


def warn_before_scheduling(resource: Resource, observed: Observed, previous: LLMInferenceStatus) -> str:
    """The same of a replica that has no node yet, where an earlier one has told of the same files."""
    memory = previous.memory
    pod = next((pod for pod in observed.newest_pods if not pod.node), None)
    if memory is None or pod is None or memory.model != pod.model:
        return ""
    return warn_of_devices(resource, read_sizes(memory.by_precision), find_devices(resource, pod, observed.nodes))


def refuse_weights(
    resource: Resource, weights: Mapping[str, int], devices: Devices | None, *, holds: bool = False
) -> str:
    """Say that the weights alone are more than the accelerators have; empty where they are not or that is unknown.

    Args:
        resource: Whose they are.
        weights: What they take in each precision.
        devices: The accelerators of a replica.
        holds: For this no replica is made.
    """
    precision, needed = _find_size(resource, weights)
    if devices is None or needed is None or needed <= devices.total:
        return ""
    return (
        f"The model's weights alone take {_write(needed)} in {precision}, and a replica gets {devices.describe()} "
        f"(OutOfMemory){', so no replica of this version is made' if holds else ''}. "
        f"{_suggest(resource, weights, devices)}"
    )


def find_devices(resource: Resource, pod: PodState, nodes: Iterable[NodeState] | None) -> Devices | None:
    """What a replica has on its node, or could get at best while it has none; None where that is not known."""
    accelerator, known = resource.spec.accelerator, tuple(nodes or ())
    if accelerator is None or accelerator.dra is not None or nodes is None:
        return None
    node = next((node for node in known if node.name == pod.node), None)
    if node is not None:
        return _count(resource, find_device_memory(accelerator, node.labels))
    # A node that has not been read yet is none of those that are known.
    find = find_certain_devices if pod.node else find_likely_devices
    return find(resource, pod.needs, known)


def find_likely_devices(resource: Resource, needs: Needs, nodes: Iterable[NodeState]) -> Devices | None:
    """The best that a replica could get on the nodes that there are; None unless all of those are known."""
    accelerator = resource.spec.accelerator
    if accelerator is None or accelerator.dra is not None:
        return None
    usable = list(_list_usable(needs, nodes))
    if not usable:
        return find_certain_devices(resource, needs, nodes)
    return _count(resource, _find_largest(find_device_memory(accelerator, node.labels) for node in usable))


def find_certain_devices(resource: Resource, needs: Needs, nodes: Iterable[NodeState]) -> Devices | None:
    """The most that the spec allows a replica to get, on nodes that there may be tomorrow too; None if unknown.

    Where any product will do, a node with a larger one may come, and a replica that waits is what it comes for.
    """
    accelerator = resource.spec.accelerator
    if accelerator is None or accelerator.dra is not None:
        return None
    if accelerator.products:
        usable = list(_list_usable(needs, nodes))
        return _count(resource, _find_largest(_find_most(accelerator, name, usable) for name in accelerator.products))
    return _count(resource, find_profile_memory(accelerator.resource))


def read_sizes(sizes: PrecisionMemory | None) -> dict[str, int]:
    """What a status says for each precision."""
    return {name: size for name, size in sizes.model_dump().items() if size is not None} if sizes else {}


def find_shortage(
    resource: Resource, pod: Mapping[str, Any], previous: LLMInferenceStatus, nodes: Iterable[NodeState]
) -> str:
    """Say why no pod of a new version is to be made, where its weights are known and fit nowhere; else empty.

    Args:
        resource: What is wanted.
        pod: The spec of its pods.
        previous: The status, which has what an earlier replica told of the same files.
        nodes: The nodes; none where they may not be read.
    """
    weights = find_known_weights(resource, pod, previous)
    return refuse_weights(resource, weights, find_certain_devices(resource, read_needs(pod), nodes), holds=True)


def find_known_weights(resource: Resource, pod: Mapping[str, Any], previous: LLMInferenceStatus) -> dict[str, int]:
    """What the weights take by precision, where that could hold a new version back and was told of its very files."""
    memory, spec = previous.memory, resource.spec
    if memory is None or spec.accelerator is None or spec.replicas == 0 or memory.model != identify_files(pod):
        return {}
    return read_sizes(memory.weights)


def _find_most(accelerator: Accelerator, product: str, usable: list[NodeState]) -> DeviceMemory | None:
    """What the largest device of a product has: nodes may have a smaller one of the name, or a part of one."""
    named = find_product_memory(product)
    if named is not None:
        return named
    labels = choose_product_labels(accelerator)
    such = [node for node in usable if any(node.labels.get(label) == product for label in labels)]
    return _find_largest(find_device_memory(accelerator, node.labels) for node in such)


def _find_largest(memories: Iterable[DeviceMemory | None]) -> DeviceMemory | None:
    known = list(memories)
    sure = [memory for memory in known if memory is not None]
    return max(sure, key=lambda memory: memory.size) if sure and len(sure) == len(known) else None


def _list_usable(needs: Needs, nodes: Iterable[NodeState]) -> Iterable[NodeState]:
    """The nodes that a replica could go to, be they full, closed or ill for the moment."""
    seen = survey(Capacity(tuple(nodes), {}), needs)
    return (node for node, judgement in seen.nodes if judgement.cause not in _UNUSABLE)


def _count(resource: Resource, memory: DeviceMemory | None) -> Devices | None:
    """Only vLLM spreads a model over devices; of an engine that is not ours nobody knows, nor with flags of its own."""
    spec = resource.spec
    if memory is None or spec.engine.name not in {EngineName.TRANSFORMERS, EngineName.VLLM}:
        return None
    if spec.engine.name is EngineName.TRANSFORMERS:
        return Devices(memory, 1)
    if any(_OWN_ARITHMETIC.match(argument) for argument in spec.engine.args or ()):
        return None
    return Devices(memory, count_devices(spec.accelerator))


def _find_size(resource: Resource, sizes: Mapping[str, int]) -> tuple[Precision, int | None]:
    """The precision that is used, and what it takes; both formats of half the bits take the same."""
    wanted = resource.spec.engine.precision
    precision = Precision.BFLOAT16 if wanted is Precision.AUTO else wanted
    if precision is Precision.FLOAT16 and precision not in sizes:
        return precision, sizes.get(Precision.BFLOAT16)
    return precision, sizes.get(precision)


def _suggest(resource: Resource, sizes: Mapping[str, int], devices: Devices) -> str:
    precision, needed = _find_size(resource, sizes)
    steps = []
    smaller = sizes.get(Precision.BFLOAT16)
    if precision is Precision.FLOAT32 and smaller is not None and smaller <= devices.total:
        steps.append(f"set spec.engine.precision to bfloat16 ({_write(smaller)})")
    accelerator = resource.spec.accelerator
    profile = accelerator is not None and find_profile_memory(accelerator.resource) is not None
    steps.append(
        f"name {'a larger slice' if profile else 'a device with more memory'} in spec.accelerator.{_field(profile)}"
    )
    count = _find_count(needed or 0, devices)
    if resource.spec.engine.name is EngineName.VLLM and not profile and count:
        steps.append(f"raise spec.accelerator.count to {count}")
    steps.append("choose a smaller model")
    text = f"{', '.join(steps[:-1])}, or {steps[-1]}"
    return f"{text[:1].upper()}{text[1:]}."


def _field(profile: bool) -> str:  # noqa: FBT001 - one of two fields
    return "resource" if profile else "products"


def _find_count(needed: int, devices: Devices) -> int | None:
    """How many would do: a power of 2, into which every model can be cut."""
    count = 1
    while count * devices.memory.size < needed:
        count *= 2
    return count if devices.count < count <= _MOST_DEVICES else None


def _choose_precision(wanted: Precision, task: Task) -> Precision:
    """What auto comes to on a processor, the smaller one where that depends on it."""
    if wanted is not Precision.AUTO:
        return wanted
    return Precision.FLOAT32 if task is Task.TEXT_GENERATION else Precision.BFLOAT16


def _write(amount: int | Decimal) -> str:
    return f"{amount // MEBIBYTE:.0f} MiB"
