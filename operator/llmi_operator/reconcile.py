"""One pass over one LLMInference: parse → plan → apply → read → judge → write. Nothing clever."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from llmi_api import labels
from llmi_api.v1alpha1 import LLMInferenceStatus
from llmi_operator.cluster.apply import Result, apply_plan
from llmi_operator.cluster.client import Cluster
from llmi_operator.cluster.inspector import Inspector
from llmi_operator.cluster.live import read_live
from llmi_operator.cluster.read import read_observed
from llmi_operator.cost_metrics import publish_cost
from llmi_operator.errors import ClusterError, InvalidSpecError
from llmi_operator.kinds import CHILDREN, DEPLOYMENT, INFERENCE
from llmi_operator.observed import BudgetState, Observed
from llmi_operator.parse import Resource, parse_resource, parse_status
from llmi_operator.plan import Plan, make_plan
from llmi_operator.plan.drift import covers
from llmi_operator.plan.rollout import RolloutDecision, RolloutReason
from llmi_operator.settings import ServerDefaults
from llmi_operator.status import (
    Verdict,
    compute_fault_status,
    compute_invalid_status,
    compute_status,
    make_status_manifest,
)
from llmi_operator.status.budget import hold_to_budget
from llmi_operator.status.conditions import READY_REASONS, find_reason
from llmi_operator.status.finding import Outlook
from llmi_operator.status.fitting import find_known_weights, find_shortage
from llmi_operator.store import Key, Store
from llmi_operator.tracing.spans import Tracer

logger = logging.getLogger(__name__)
MAX_EVENT_MESSAGE = 1024
"""The API server refuses a longer one."""
REFUSED_AGAIN_SECONDS = 30.0
"""Nothing tells us when a foreign object goes or a permission comes, so a refusal is tried again this often."""


@dataclass(frozen=True)
class Parts:
    """What a pass works with.

    Attributes:
        inspector: Looks closer where the store does not say why; None looks at the store only.
        tracer: Begins a trace for each pass; None traces nothing.
    """

    cluster: Cluster
    store: Store
    defaults: ServerDefaults
    now: Callable[[], datetime]
    inspector: Inspector | None = None
    tracer: Tracer | None = None


@dataclass(frozen=True)
class Outcome:
    """What a pass came to.

    Attributes:
        gone: The resource does not exist any more.
        error: Something is worth another try soon.
        again_seconds: When to look again although nothing happens.
    """

    gone: bool = False
    error: ClusterError | None = None
    again_seconds: float | None = None


@dataclass(frozen=True)
class _Subject:
    """The resource as it is stored, while a pass is made over it."""

    key: Key
    body: Mapping[str, Any]
    previous: LLMInferenceStatus


async def one_pass(parts: Parts, key: Key) -> Outcome:
    """Bring one LLMInference's children and status in line with its spec."""
    body = parts.store.get(INFERENCE, key)
    if body is None:
        if parts.inspector is not None:
            parts.inspector.forget(key)
        publish_cost(key, None)
        return Outcome(gone=True)
    subject = _Subject(key, body, parse_status(body))
    try:
        resource = parse_resource(body)
    except InvalidSpecError as error:
        generation = body["metadata"].get("generation", 0)
        verdict = compute_invalid_status(str(error), generation, subject.previous, parts.now())
        return await _finish(parts, subject, verdict, Result())
    resource, budget = await _hold(parts, subject, resource)
    result, plan, behind, held = Result(), None, False, ""
    blind = parts.store.find_blindness(key.namespace)
    # Of a resource that goes away the garbage collector takes the children; making them anew would keep it busy
    # for ever.
    if "deletionTimestamp" not in body["metadata"]:
        plan = await _plan(parts, resource)
        behind = resource.spec.paused and _is_behind(parts.store, key, plan)
        # A plan that is made without seeing what is there could undo it.
        if not resource.spec.paused and not blind.keys() & set(CHILDREN):
            held = await _find_shortage(parts, subject, resource, plan)
            result = await apply_plan(parts.cluster, parts.store, resource, plan, hold=bool(held))
    stale = next((error for error in result.errors if error.is_stale), None)
    if stale is not None:
        # A word about an old spec would be as wrong as an act that follows from one.
        return Outcome(error=stale)
    for edit in result.hand_edits:
        # Two who fight over a field would otherwise fill the namespace with events.
        if parts.store.is_news(key, edit.sentence, parts.now()):
            await _post_event(parts, subject, "HandEditReverted", edit.sentence, "Warning")
    refusals = (*blind.values(), *result.refusals)
    pin, rollout = (plan.pin, plan.rollout) if plan else (None, None)
    observed = read_observed(parts.store, key, resource.uid, now=parts.now(), refusals=refusals, pin=pin)
    verdict = await _judge(
        parts, subject, resource, replace(observed, behind=behind, budget=budget, held=held), rollout
    )
    return await _finish(parts, subject, verdict, result)


async def _plan(parts: Parts, resource: Resource) -> Plan:
    """Decide what shall exist, with a look at the nodes where a rollout begins that depends on them."""
    live = read_live(parts.store, resource, parts.now())
    plan = make_plan(resource, parts.defaults, live)
    if plan.rollout.reason is not RolloutReason.ROOM_UNKNOWN or parts.inspector is None or resource.spec.paused:
        return plan
    key = Key(resource.namespace, resource.name)
    observed = read_observed(parts.store, key, resource.uid, now=parts.now())
    room = await parts.inspector.find_room(plan.deployment["spec"]["template"], observed)
    return make_plan(resource, parts.defaults, replace(live, room=room))


async def _hold(parts: Parts, subject: _Subject, resource: Resource) -> tuple[Resource, BudgetState | None]:
    """Look at prices before anything is planned, where there is a budget."""
    if resource.spec.budget is None:
        return resource, None
    pricing = await parts.inspector.look_at_prices() if parts.inspector is not None else None
    replicas = read_live(parts.store, resource, parts.now()).replicas
    return hold_to_budget(resource, pricing, subject.previous, parts.defaults, replicas=replicas)


async def _find_shortage(parts: Parts, subject: _Subject, resource: Resource, plan: Plan) -> str:
    """Say why a new version is not to be begun, where its weights are known and cannot fit; empty where it is."""
    pod, live = plan.deployment["spec"]["template"]["spec"], parts.store.get(DEPLOYMENT, subject.key)
    if parts.inspector is None or not find_known_weights(resource, pod, subject.previous):
        return ""
    if live is not None and plan.makes_pods_of(live):
        return ""
    return find_shortage(resource, pod, subject.previous, await parts.inspector.look_at_nodes())


async def tell_fault(parts: Parts, key: Key, fault: Exception) -> None:
    """Say on the resource that its pass failed in a way that nobody thought of. Raises nothing."""
    body = parts.store.get(INFERENCE, key)
    if body is None:
        return
    try:
        subject = _Subject(key, body, parse_status(body))
        generation = body["metadata"].get("generation", 0)
        verdict = compute_fault_status(type(fault).__name__, generation, subject.previous, parts.now())
        await _finish(parts, subject, verdict, Result())
    except Exception:
        # Whatever the pass failed on may be in the way here too; the log has the first one.
        logger.exception("Could not tell of a fault", extra={"namespace": key.namespace, "inference": key.name})


async def _judge(
    parts: Parts, subject: _Subject, resource: Resource, observed: Observed, rollout: RolloutDecision | None
) -> Verdict:
    metadata = subject.body["metadata"]
    deleting = "deletionTimestamp" in metadata
    observed = replace(observed, deleting=deleting, finalizers=tuple(metadata.get("finalizers") or ()))
    if parts.inspector is not None and not deleting:
        observed = await parts.inspector.look(resource, observed, subject.previous)
    return compute_status(resource, observed, subject.previous, parts.defaults, rollout)


def _is_behind(store: Store, key: Key, plan: Plan) -> bool:
    """Whether the live Deployment is another one than the spec asks for."""
    return not covers(store.get(DEPLOYMENT, key), plan.deployment)


async def _finish(parts: Parts, subject: _Subject, verdict: Verdict, result: Result) -> Outcome:
    errors = list(result.errors)
    publish_cost(subject.key, verdict.status.cost)
    if verdict.status != subject.previous:
        try:
            await _write_status(parts, subject, verdict)
        except ClusterError as failure:
            if failure.is_conflict:
                await _look_again(parts, subject.key, errors)
            if not failure.is_absent:
                errors.append(failure)
    error = max(errors, key=lambda item: item.retry_after or 0, default=None)
    again = REFUSED_AGAIN_SECONDS if result.refusals else verdict.recheck_seconds
    return Outcome(error=error, again_seconds=again)


async def _look_again(parts: Parts, key: Key, errors: list[ClusterError]) -> None:
    """After a conflict, learn what the resource is now: no watch may be there to tell."""
    try:
        live = await parts.cluster.get(INFERENCE, *key)
    except ClusterError as error:
        errors.append(error)
    else:
        if live is not None:
            parts.store.put(INFERENCE, live)


async def _write_status(parts: Parts, subject: _Subject, verdict: Verdict) -> None:
    key, body = subject.key, subject.body
    manifest = make_status_manifest(key.name, key.namespace, body["metadata"]["uid"], verdict.status)
    # Of the version that was judged: what an older status said decides about times, and a replica may lead no more.
    same = {name: body["metadata"][name] for name in ("namespace", "name", "uid", "resourceVersion")}
    manifest |= {"metadata": same}
    parts.store.put(INFERENCE, await parts.cluster.apply_status(manifest))
    reason = verdict.finding.reason
    moved = _find_move(subject.previous, verdict.status)
    if moved:
        sentence = f"Upstream has moved to commit {moved}: to follow, set spec.model.revision to it."
        await _post_event(parts, subject, "UpstreamMoved", sentence, "Normal")
    if find_reason(subject.previous.conditions) == reason:
        return
    logger.info(
        "Changed state",
        extra={"namespace": key.namespace, "inference": key.name, "reason": reason, "why": verdict.status.why or ""},
    )
    finding = verdict.finding
    healthy = finding.reason in READY_REASONS or finding.outlook in {Outlook.FINE, Outlook.PROGRESS}
    sentence = verdict.status.why or "All replicas answer."
    await _post_event(parts, subject, finding.reason, sentence, "Normal" if healthy else "Warning")


def _find_move(previous: LLMInferenceStatus, status: LLMInferenceStatus) -> str | None:
    """The commit that the revision names by now, if that has become known with this status."""
    before = previous.model.upstream_revision if previous.model else None
    after = status.model.upstream_revision if status.model else None
    return after if after != before else None


async def _post_event(parts: Parts, subject: _Subject, reason: str, sentence: str, severity: str) -> None:
    event = _make_event(subject, reason, sentence, severity, parts.now())
    try:
        await parts.cluster.post_event(event)
    except ClusterError as error:
        # An event that could not be posted is no reason to try again: the status has what matters.
        logger.warning("Could not post an event", extra={"namespace": subject.key.namespace, "error": str(error)})


def _make_event(subject: _Subject, reason: str, sentence: str, severity: str, now: datetime) -> dict[str, Any]:
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    key = subject.key
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": key.namespace, "generateName": f"{key.name}."},
        "involvedObject": {
            "apiVersion": labels.API_VERSION,
            "kind": labels.KIND,
            "namespace": key.namespace,
            "name": key.name,
            "uid": subject.body["metadata"]["uid"],
        },
        "reason": reason,
        "message": sentence[:MAX_EVENT_MESSAGE],
        "type": severity,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
        "source": {"component": labels.FIELD_MANAGER},
        "reportingComponent": labels.FIELD_MANAGER,
        "reportingInstance": labels.FIELD_MANAGER,
    }
