"""Where a pod finds room: counts of nodes by the cause that keeps it off, out of the nodes and what is used of them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llmi_operator.observed import Capacity, Needs, NodeState, PodState, Requirement, Taint, Toleration
from llmi_operator.plan.quantity import parse_quantity
from llmi_operator.plan.rollout import Room

Amounts = Mapping[str, Decimal]
_REPELLING = frozenset({"NoSchedule", "NoExecute"})
# The node controller's own taints; what they mean is told otherwise.
_SICK = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "node.kubernetes.io/network-unavailable")
_OVER = frozenset({"Succeeded", "Failed"})
_CORDON = "node.kubernetes.io/unschedulable"


@dataclass(frozen=True)
class Judgement:
    """Why one node does not take a pod.

    Attributes:
        cause: One of down, cordoned, selector, affinity, taint, without, broken, full, short, and fits if nothing
            here keeps it off.
        what: The taint or the resource that it is about; with affinity, what the node has in place of what is asked
            for, or nothing.
        free: How much of the resource is free.
        total: How much of it the node has.
    """

    cause: str
    what: str = ""
    free: Decimal = Decimal(0)
    total: Decimal = Decimal(0)


@dataclass(frozen=True)
class Survey:
    """All nodes, by the cause that keeps a pod off them."""

    nodes: tuple[tuple[NodeState, Judgement], ...]

    def of(self, cause: str) -> list[tuple[NodeState, Judgement]]:
        """The nodes with a cause."""
        return [item for item in self.nodes if item[1].cause == cause]

    def count(self, cause: str) -> dict[str, int]:
        """How many nodes have a cause, by what it is about, the most frequent first."""
        return dict(Counter(judgement.what for _, judgement in self.of(cause)).most_common())


def survey(capacity: Capacity, needs: Needs) -> Survey:
    """Look at every node with a pod's eyes."""
    return Survey(tuple((node, _judge(node, capacity.used.get(node.name, {}), needs)) for node in capacity.nodes))


def find_room(capacity: Capacity, needs: Needs, pods: Iterable[PodState], wanted: int) -> Room:
    """Say where a new replica finds room: beside those that answer, in the place of one of them, or nowhere.

    Args:
        capacity: The nodes.
        needs: What the new replica asks for.
        pods: The present replicas.
        wanted: How many there should be; of more, those that do not answer go first.
    """
    if not capacity.nodes:
        return Room.UNKNOWN
    if survey(capacity, needs).of("fits"):
        return Room.BESIDE
    alive = [pod for pod in pods if pod.phase not in _OVER]
    places = [pod for pod in alive if pod.node and survey(_without(capacity, pod), needs).of("fits")]
    if len(alive) > wanted and not all(pod.ready for pod in places):
        return Room.BESIDE
    return Room.IN_PLACE if places else Room.NONE


def _without(capacity: Capacity, pod: PodState) -> Capacity:
    """As it would be once a pod has gone."""
    before = capacity.used.get(pod.node, {})
    left = {name: amount - pod.needs.requests.get(name, Decimal(0)) for name, amount in before.items()}
    return Capacity(capacity.nodes, {**capacity.used, pod.node: left})


def sum_requests(pods: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Decimal]]:
    """Add up what pods ask for, by node."""
    used: defaultdict[str, defaultdict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and (pod.get("status") or {}).get("phase") not in _OVER:
            for name, amount in compute_requests(pod["spec"]).items():
                used[node][name] += amount
    return {node: dict(amounts) for node, amounts in used.items()}


def compute_requests(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """What a pod asks for: its containers together, or its largest init container if that is more."""
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for container in spec.get("containers") or ():
        for name, amount in _read_amounts(container).items():
            total[name] += amount
    largest: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        for name, amount in _read_amounts(container).items():
            if container.get("restartPolicy") == "Always":  # a sidecar runs beside the others
                total[name] += amount
            else:
                largest[name] = max(largest.get(name, Decimal(0)), amount)
    return {name: max(total.get(name, Decimal(0)), largest.get(name, Decimal(0))) for name in {*total, *largest}}


def read_needs(spec: Mapping[str, Any]) -> Needs:
    """What a pod asks of a node."""
    return Needs(
        requests=compute_requests(spec),
        selector=spec.get("nodeSelector") or {},
        tolerations=read_tolerations(spec),
        places=read_places(spec),
    )


def read_tolerations(spec: Mapping[str, Any]) -> tuple[Toleration, ...]:
    """The tolerations of a pod."""
    return tuple(
        Toleration(
            key=item.get("key", ""),
            operator=item.get("operator") or "Equal",
            value=item.get("value", ""),
            effect=item.get("effect", ""),
        )
        for item in spec.get("tolerations") or ()
    )


def read_places(spec: Mapping[str, Any]) -> tuple[tuple[Requirement, ...], ...]:
    """The required node affinity of a pod; what is asked of other things than labels is left to the scheduler."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return tuple(
        tuple(
            Requirement(item["key"], item["operator"], tuple(item.get("values") or ()))
            for item in term.get("matchExpressions") or ()
        )
        for term in required.get("nodeSelectorTerms") or ()
    )


def _read_amounts(container: Mapping[str, Any]) -> dict[str, Decimal]:
    amounts = (container.get("resources") or {}).get("requests") or {}
    return {name: parse_quantity(amount) or Decimal(0) for name, amount in amounts.items()}


def _judge(node: NodeState, used: Amounts, needs: Needs) -> Judgement:
    lacking = next((name for name in needs.requests if "/" in name and not node.allocatable.get(name)), None)
    if lacking:
        there = node.devices.get(lacking, Decimal(0))
        return Judgement("broken", lacking, total=there) if there else Judgement("without", lacking)
    taint = _find_taint(node, needs.tolerations)
    if not node.ready or (taint and taint.key in _SICK):
        return Judgement("down")
    if node.cordoned or (taint and taint.key == _CORDON):
        return Judgement("cordoned")
    if any(node.labels.get(name) != value for name, value in needs.selector.items()):
        return Judgement("selector")
    if not needs.accepts(node.labels):
        asked = (item.key for place in needs.places for item in place)
        return Judgement("affinity", next((node.labels[key] for key in asked if key in node.labels), ""))
    return Judgement("taint", taint.key) if taint else _judge_room(node, used, needs)


def _judge_room(node: NodeState, used: Amounts, needs: Needs) -> Judgement:
    # Devices first: they are what a pod with any of them waits for.
    for name in sorted(needs.requests, key=lambda name: ("/" not in name, name)):
        total = node.allocatable.get(name, Decimal(0))
        free = total - used.get(name, Decimal(0))
        if needs.requests[name] > free:
            return Judgement("full" if "/" in name else "short", name, max(free, Decimal(0)), total)
    return Judgement("fits")


def _find_taint(node: NodeState, tolerations: tuple[Toleration, ...]) -> Taint | None:
    """The taint that keeps the pod off; the node controller's own come first, because they say more."""
    for taint in sorted(node.taints, key=lambda taint: taint.key not in {*_SICK, _CORDON}):
        if taint.effect in _REPELLING and not any(item.accepts(taint) for item in tolerations):
            return taint
    return None
