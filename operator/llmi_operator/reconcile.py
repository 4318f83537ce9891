"""One pass over one LLMInference: parse → plan → apply → read → judge → write. Nothing clever."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmi_api import labels
from llmi_api.v1alpha1 import ConditionType, LLMInferenceStatus
from llmi_operator.cluster.apply import Result, apply_plan
from llmi_operator.cluster.client import Cluster
from llmi_operator.cluster.live import read_live
from llmi_operator.cluster.read import read_observed
from llmi_operator.errors import ClusterError, InvalidSpecError
from llmi_operator.kinds import INFERENCE
from llmi_operator.observed import Observed
from llmi_operator.parse import parse_resource, parse_status
from llmi_operator.plan import make_plan
from llmi_operator.settings import ServerDefaults
from llmi_operator.status import Verdict, compute_invalid_status, compute_status, make_status_manifest
from llmi_operator.status.conditions import READY_REASONS
from llmi_operator.status.finding import Outlook
from llmi_operator.store import Key, Store

logger = logging.getLogger(__name__)
MAX_EVENT_MESSAGE = 1024
"""The API server refuses a longer one."""
REFUSED_AGAIN_SECONDS = 30.0
"""Nothing tells us when a foreign object goes or a permission comes, so a refusal is tried again this often."""


@dataclass(frozen=True)
class Parts:
    """What a pass works with."""

    cluster: Cluster
    store: Store
    defaults: ServerDefaults
    now: Callable[[], datetime]


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
        return Outcome(gone=True)
    if "deletionTimestamp" in body["metadata"]:
        # The garbage collector takes the children; making them anew would keep it busy for ever.
        return Outcome()
    subject = _Subject(key, body, parse_status(body))
    try:
        resource = parse_resource(body)
    except InvalidSpecError as error:
        generation = body["metadata"].get("generation", 0)
        verdict = compute_invalid_status(str(error), generation, subject.previous, parts.now())
        return await _finish(parts, subject, verdict, Result())
    plan = make_plan(resource, parts.defaults, read_live(parts.store, resource))
    result = Result() if resource.spec.paused else await apply_plan(parts.cluster, parts.store, resource, plan)
    for edit in result.hand_edits:
        # Two who fight over a field would otherwise fill the namespace with events.
        if parts.store.is_news(key, edit.sentence, parts.now()):
            await _post_event(parts, subject, "HandEditReverted", edit.sentence, "Warning")
    observed: Observed = read_observed(
        parts.store, key, resource.uid, now=parts.now(), refusals=tuple(result.refusals), pin=plan.pin
    )
    verdict = compute_status(resource, observed, subject.previous, parts.defaults)
    return await _finish(parts, subject, verdict, result)


async def _finish(parts: Parts, subject: _Subject, verdict: Verdict, result: Result) -> Outcome:
    error = result.errors[0] if result.errors else None
    if verdict.status != subject.previous:
        try:
            await _write_status(parts, subject, verdict)
        except ClusterError as failure:
            if not (failure.is_absent or failure.is_conflict):
                error = error or failure
    again = REFUSED_AGAIN_SECONDS if result.refusals else verdict.recheck_seconds
    return Outcome(error=error, again_seconds=again)


async def _write_status(parts: Parts, subject: _Subject, verdict: Verdict) -> None:
    key, body = subject.key, subject.body
    manifest = make_status_manifest(key.name, key.namespace, body["metadata"]["uid"], verdict.status)
    parts.store.put(INFERENCE, await parts.cluster.apply_status(manifest))
    reason = verdict.finding.reason
    before = next((item.reason for item in subject.previous.conditions if item.type == ConditionType.READY), None)
    if before == reason:
        return
    logger.info(
        "Changed state",
        extra={"namespace": key.namespace, "inference": key.name, "reason": reason, "why": verdict.status.why or ""},
    )
    finding = verdict.finding
    healthy = finding.reason in READY_REASONS or finding.outlook in {Outlook.FINE, Outlook.PROGRESS}
    sentence = verdict.status.why or "All replicas answer."
    await _post_event(parts, subject, finding.reason, sentence, "Normal" if healthy else "Warning")


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
