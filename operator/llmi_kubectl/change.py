"""What applying a file would do, by the operator's own plan: what is made, restarted and asked of the nodes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from llmi_api import labels
from llmi_api.v1alpha1 import LLMInference
from llmi_kubectl.cost_change import CostChange, compute_cost_change
from llmi_kubectl.gap import describe_gap
from llmi_kubectl.merging import merge_file
from llmi_operator.cluster.live import read_live
from llmi_operator.cluster.ownership import find_foreign, is_controlled_by
from llmi_operator.cluster.read import read_observed
from llmi_operator.errors import InvalidSpecError
from llmi_operator.kinds import CHILDREN, DEPLOYMENT, LASTING, Kind
from llmi_operator.observed import BudgetState, Capacity, Needs, Pricing
from llmi_operator.parse import Resource, parse_resource, parse_status
from llmi_operator.plan import Live, Manifest, Plan, make_plan
from llmi_operator.plan.drift import Path, find_differences
from llmi_operator.plan.hand_edit import write_path
from llmi_operator.plan.names import PLAN_HASH_ANNOTATION
from llmi_operator.plan.rollout import RolloutReason
from llmi_operator.prices import PriceList
from llmi_operator.settings import ServerDefaults
from llmi_operator.status.budget import hold_to_budget
from llmi_operator.status.capacity import compute_requests, find_room, read_needs, survey
from llmi_operator.status.fitting import find_shortage
from llmi_operator.store import Key, Store

_Body = Mapping[str, Any]
ANY_MOMENT = datetime.min.replace(tzinfo=UTC)
"""What is read of pods for their places does not depend on the time."""
UNBORN = "00000000-0000-0000-0000-000000000000"
"""Uid of a resource that does not exist yet."""
# A node in one of these states would take the pod if it had room.
_OPEN = ("fits", "full", "short")


class Action(StrEnum):
    """What happens to a child."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    KEEP = "keep"
    REFUSE = "refuse"
    """The name is taken by an object that is not ours."""


@dataclass(frozen=True)
class Step:
    """What happens to one child, and where it differs."""

    action: Action
    kind: str
    name: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Devices:
    """Accelerators of one kind.

    Attributes:
        free: On nodes that a replica may use; None when the nodes may not be read.
    """

    resource: str
    each: int
    wanted: int
    held: int
    free: int | None


@dataclass(frozen=True)
class Change:
    """What applying a file would do.

    Attributes:
        restarted: Replicas that are replaced by new ones.
        restart_fields: Where the pods differ.
        replicas: How many there are to be; with an autoscaler, how many it starts from.
        room: How many more replicas find room now; None when the nodes may not be read.
        gap: For how long nothing answers.
        cost: What it costs; None without a list of prices.
    """

    namespace: str
    name: str
    is_new: bool
    steps: tuple[Step, ...]
    restarted: int
    restart_fields: tuple[str, ...]
    replicas_before: int
    replicas: int
    devices: tuple[Devices, ...]
    room: int | None
    gap: str
    cost: CostChange | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        return all(step.action is Action.KEEP for step in self.steps)


@dataclass(frozen=True)
class Surroundings:
    """What a change depends on besides the file.

    Attributes:
        stored: The resource as it is; None when it does not exist.
        objects: Its children and pods, and whatever else has the name of one.
        hidden: Kinds that may not be read, so that what happens to them is not known.
        defaults: What the operator gives a replica by default; None when its settings could not be read.
        capacity: The nodes; None when they may not be read.
        prices: What nodes cost; None when there is no list, or it cannot be read.
        notes: What could not be read, and what that means.
    """

    stored: _Body | None
    objects: Sequence[tuple[Kind, _Body]]
    defaults: ServerDefaults | None
    capacity: Capacity | None
    prices: PriceList | None = None
    hidden: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Scene:
    """What a plan is compared with.

    Attributes:
        there: What exists, by kind and name.
        before: The children by the spec as it is stored.
        known: The operator's settings are known, so that what exists can be compared with.
    """

    resource: Resource
    there: Mapping[tuple[str, str], _Body]
    before: tuple[Manifest, ...]
    known: bool

    @property
    def deployment(self) -> _Body | None:
        return self.there.get((DEPLOYMENT.name, self.resource.name))


def compute_change(file: _Body, namespace: str, around: Surroundings, fallback: ServerDefaults) -> Change:
    """Plan as the operator would, and compare.

    Where the operator's settings are unknown, the plan of the stored spec stands for what exists, so that a default
    that differs is not taken for a change.

    Raises:
        InvalidSpecError: The file breaks a rule.
    """
    resource = _parse(file, namespace, around.stored)
    store = Store()
    for kind, body in around.objects:
        store.put(kind, body)
    live = read_live(store, resource)
    resource, budget = _hold(resource, around, around.defaults or fallback, live.replicas)
    plan = _plan_with_room(resource, around, fallback, live, store)
    scene = _Scene(
        resource=resource,
        there={(kind.name, body["metadata"]["name"]): body for kind, body in around.objects},
        before=_plan_stored(around, around.defaults or fallback, store),
        known=around.defaults is not None,
    )
    held = _find_shortage(plan, scene, around)
    passed_over = around.hidden | ({DEPLOYMENT.name} if held else frozenset())
    steps = (
        *(_compare(child, scene) for child in plan.children if child["kind"] not in passed_over),
        *_find_deletions(plan.children, scene),
    )
    deployment = _find_deployment(plan.children)
    fields = _compare_templates(deployment, scene)
    replicas_before = live.replicas or 0
    replicas = deployment["spec"].get("replicas", replicas_before or 1)
    needs = read_needs(deployment["spec"]["template"]["spec"])
    room = None if around.capacity is None else _count_room(around.capacity, needs)
    restarted = replicas_before if fields and not (resource.spec.paused or held) else 0
    notes = [*around.notes, *filter(None, [held]), *_list_unseen(plan.children, around.hidden), *_write_budget(budget)]
    if resource.spec.paused:
        notes.append("spec.paused is set: the operator changes nothing of this until it is unset.")
    return Change(
        namespace=namespace,
        name=resource.name,
        is_new=around.stored is None,
        steps=steps,
        restarted=restarted,
        restart_fields=fields,
        replicas_before=replicas_before,
        replicas=replicas,
        devices=_count_devices(needs, replicas, scene, around.capacity),
        room=room,
        gap=describe_gap(deployment, restarted=restarted, room=room, stored=around.stored),
        cost=_compute_cost(around, needs, replicas),
        notes=tuple(notes),
    )


def _plan_with_room(
    resource: Resource, around: Surroundings, fallback: ServerDefaults, live: Live, store: Store
) -> Plan:
    """Plan as the operator does, which looks at the nodes where a rollout begins that depends on them."""
    plan = make_plan(resource, around.defaults or fallback, live)
    if around.capacity is None or plan.rollout.reason is not RolloutReason.ROOM_UNKNOWN:
        return plan
    seen = read_observed(store, Key(resource.namespace, resource.name), resource.uid, now=ANY_MOMENT)
    needs = read_needs(plan.deployment["spec"]["template"]["spec"])
    room = find_room(around.capacity, needs, seen.pods, live.replicas or 0)
    return make_plan(resource, around.defaults or fallback, replace(live, room=room))


def _parse(file: _Body, namespace: str, stored: _Body | None) -> Resource:
    metadata = {
        "namespace": namespace,
        "name": file["metadata"]["name"],
        "uid": stored["metadata"]["uid"] if stored else UNBORN,
        "generation": stored["metadata"].get("generation", 0) if stored else 0,
    }
    _refuse_unknown(file)
    body = {"apiVersion": labels.API_VERSION, "kind": labels.KIND, "metadata": metadata}
    return parse_resource({**body, "spec": merge_file(stored, file)})


def _hold(
    resource: Resource, around: Surroundings, defaults: ServerDefaults, replicas: int | None
) -> tuple[Resource, BudgetState | None]:
    """Hold it to its budget as the operator would."""
    pricing = None
    if around.prices is not None:
        nodes = around.capacity.nodes if around.capacity is not None else ()
        pricing = Pricing(around.prices, nodes={node.name: node for node in nodes})
    previous = parse_status(around.stored or {})
    return hold_to_budget(resource, pricing, previous, defaults, replicas=replicas)


def _find_shortage(plan: Plan, scene: _Scene, around: Surroundings) -> str:
    """What keeps the operator from beginning this version."""
    if scene.deployment is not None and plan.makes_pods_of(scene.deployment):
        return ""
    pod = plan.deployment["spec"]["template"]["spec"]
    nodes = around.capacity.nodes if around.capacity is not None else ()
    return find_shortage(scene.resource, pod, parse_status(around.stored or {}), nodes)


def _write_budget(budget: BudgetState | None) -> Iterator[str]:
    if budget is not None and (budget.held or budget.fault):
        yield budget.held or budget.fault


def _refuse_unknown(file: _Body) -> None:
    """As kubectl apply does: a misspelt field would change nothing."""
    try:
        LLMInference.model_validate({"spec": file.get("spec") or {}}, extra="forbid")
    except ValidationError as error:
        unknown = [item["loc"] for item in error.errors() if item["type"] == "extra_forbidden"]
        if unknown:
            names = ", ".join(".".join(map(str, place)) for place in unknown)
            raise InvalidSpecError(f"{names}: no such field, see kubectl explain llminference.spec") from error


def _plan_stored(around: Surroundings, defaults: ServerDefaults, store: Store) -> tuple[Manifest, ...]:
    """The children by the spec as it is stored; none when there is none that can be served."""
    if around.stored is None:
        return ()
    try:
        resource = parse_resource(around.stored)
    except InvalidSpecError:
        return ()
    return make_plan(resource, defaults, read_live(store, resource)).children


def _compare(child: Manifest, scene: _Scene) -> Step:
    kind, name = child["kind"], child["metadata"]["name"]
    live = scene.there.get((kind, name))
    if live is None:
        return Step(Action.CREATE, kind, name)
    if find_foreign(live, scene.resource) is not None:
        return Step(Action.REFUSE, kind, name)
    old = next((item for item in scene.before if (item["kind"], item["metadata"]["name"]) == (kind, name)), None)
    fields = _list_fields(child, live if scene.known else old, old)
    return Step(Action.UPDATE if fields else Action.KEEP, kind, name, fields)


def _list_fields(new: object, live: object, old: object) -> tuple[str, ...]:
    """Where what is wanted differs from what is there, and what was wanted before and is no more."""
    paths: list[Path] = list(find_differences(live, new)) if live is not None else []
    if old is not None:
        paths += find_differences(new, old)
    hidden = ("metadata", "annotations", PLAN_HASH_ANNOTATION)
    return tuple(dict.fromkeys(write_path(path) for path in paths if path != hidden))


def _find_deletions(children: Iterable[Manifest], scene: _Scene) -> Iterator[Step]:
    kept = {(child["kind"], child["metadata"]["name"]) for child in children}
    passing = {kind.name for kind in CHILDREN if kind not in LASTING}
    for (kind, name), body in scene.there.items():
        if kind in passing and (kind, name) not in kept and is_controlled_by(body, scene.resource.uid):
            yield Step(Action.DELETE, kind, name)


def _list_unseen(children: Iterable[Manifest], hidden: frozenset[str]) -> Iterator[str]:
    wanted = {child["kind"] for child in children}
    for kind in CHILDREN:
        # Of a kind that the cluster may not even know nothing is missed unless it is wanted.
        if kind.name in hidden and (not kind.optional or kind.name in wanted):
            yield f"You may not read {kind.plural}, so what happens to a {kind.name} is not shown."


def _find_deployment(children: Iterable[Manifest]) -> Manifest:
    return next(child for child in children if child["kind"] == DEPLOYMENT.name)


def _compare_templates(deployment: Manifest, scene: _Scene) -> tuple[str, ...]:
    live = scene.deployment
    if live is None or find_foreign(live, scene.resource) is not None:
        return ()
    old = _find_deployment(scene.before)["spec"]["template"] if scene.before else None
    return _list_fields(deployment["spec"]["template"], live["spec"]["template"] if scene.known else old, old)


def _count_room(capacity: Capacity, needs: Needs) -> int:
    """How many more replicas the nodes take now; what a node says nothing of does not keep one away."""
    room = 0
    for node, judgement in survey(capacity, needs).nodes:
        if judgement.cause != "fits" and (judgement.cause not in _OPEN or judgement.total):
            continue
        used = capacity.used.get(node.name, {})
        counts = [
            int((node.allocatable[name] - used.get(name, Decimal(0))) // amount)
            for name, amount in needs.requests.items()
            if amount > 0 and name in node.allocatable
        ]
        room += max(min(counts, default=0), 0)
    return room


def _compute_cost(around: Surroundings, needs: Needs, replicas: int) -> CostChange | None:
    if around.prices is None:
        return None
    seen = survey(around.capacity, needs).nodes if around.capacity is not None else ()
    nodes = [node for node, judgement in seen if judgement.cause in _OPEN]
    return compute_cost_change(around.stored, nodes, needs, replicas, around.prices)


def _count_devices(needs: Needs, replicas: int, scene: _Scene, capacity: Capacity | None) -> tuple[Devices, ...]:
    deployment = scene.deployment
    held: dict[str, Decimal] = {}
    if deployment is not None:
        each = compute_requests(deployment["spec"]["template"]["spec"])
        held = {name: amount * deployment["spec"].get("replicas", 1) for name, amount in each.items()}
    return tuple(
        Devices(
            resource=name,
            each=int(needs.requests.get(name, 0)),
            wanted=int(needs.requests.get(name, 0)) * replicas,
            held=int(held.get(name, 0)),
            free=None if capacity is None else _count_free(capacity, needs, name),
        )
        for name in sorted({name for name in (*needs.requests, *held) if "/" in name})
    )


def _count_free(capacity: Capacity, needs: Needs, name: str) -> int:
    """Free devices on the nodes that a replica may use."""
    free = Decimal(0)
    for node, judgement in survey(capacity, needs).nodes:
        if judgement.cause in _OPEN:
            used = capacity.used.get(node.name, {}).get(name, Decimal(0))
            free += max(node.allocatable.get(name, Decimal(0)) - used, Decimal(0))
    return int(free)
