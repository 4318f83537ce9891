"""The truth about an LLMInference and what to do next: pure functions from what is observed to a status."""

from dataclasses import dataclass
from datetime import datetime

from llmi_api import labels
from llmi_api.v1alpha1 import EngineStatus, LLMInferenceStatus, ModelStatus, Reason, RolloutStatus
from llmi_operator.observed import Observed
from llmi_operator.parse import Resource
from llmi_operator.plan.model import describe_source
from llmi_operator.plan.names import make_selector, to_selector_string
from llmi_operator.plan.pod import choose_image
from llmi_operator.plan.rollout import RolloutDecision
from llmi_operator.settings import ServerDefaults
from llmi_operator.status.addresses import list_addresses
from llmi_operator.status.conditions import make_conditions
from llmi_operator.status.cost import compute_cost, lacks_nodes
from llmi_operator.status.finding import Finding, Outlook, write_sentence
from llmi_operator.status.fitting import warn_before_scheduling
from llmi_operator.status.pods import Situation
from llmi_operator.status.reports import find_fetch_report, read_fetch
from llmi_operator.status.rollout import compute_rollout, describe_outage
from llmi_operator.status.rules import WAITING_RECHECK_SECONDS, compute_finding
from llmi_operator.status.scaling import compute_scaling
from llmi_operator.status.serving import bridge, is_serving, was_serving
from llmi_operator.status.startup import compute_memory, compute_startup

NODE_RECHECK_SECONDS = 60.0
"""A node that is not known yet is read within this time, and nothing tells us of it."""


@dataclass(frozen=True)
class Verdict:
    """A status, and when to look again although nothing happens."""

    status: LLMInferenceStatus
    finding: Finding
    recheck_seconds: float | None


def compute_status(
    resource: Resource,
    observed: Observed,
    previous: LLMInferenceStatus,
    defaults: ServerDefaults,
    decision: RolloutDecision | None = None,
) -> Verdict:
    """Say how a resource is doing.

    Args:
        resource: What is wanted.
        observed: What is there.
        previous: What was said before.
        defaults: What a model server gets when the resource does not say.
        decision: How replicas are replaced; None where nothing was decided.
    """
    was = was_serving(previous, resource.generation)
    observed = bridge(observed, was=was)
    pin = _find_pin(resource, observed, previous)
    fit = warn_before_scheduling(resource, observed, previous)
    situation = Situation(resource=resource, defaults=defaults, now=observed.now, pin=pin, rollout=decision, fit=fit)
    finding = compute_finding(observed, situation)
    deployment = observed.deployment
    ready = deployment.ready if deployment else 0
    wanted = deployment.wanted if deployment else _wanted(resource)
    serving = is_serving(observed, resource.spec, was=was)
    startup = compute_startup(observed, previous)
    rollout = compute_rollout(decision, resource, observed, startup, previous)
    sentence = _write(finding, observed, rollout)
    addresses = list_addresses(resource, observed)
    status = LLMInferenceStatus(
        observed_generation=resource.generation,
        conditions=make_conditions(
            finding,
            sentence=sentence,
            serving=serving,
            available=ready > 0,
            generation=resource.generation,
            previous=previous.conditions,
            now=observed.now,
        ),
        replicas=deployment.total if deployment else 0,
        ready_replicas=ready,
        ready=f"{min(ready, wanted)}/{wanted}",
        selector=to_selector_string(make_selector(resource)),
        url=addresses[0] if ready else None,
        addresses=addresses if ready else [],
        node_port=observed.service.node_port if observed.service else None,
        why=sentence,
        model=_describe_model(resource, observed, pin),
        engine=EngineStatus(name=resource.spec.engine.name, image=choose_image(resource, defaults)),
        startup=startup,
        memory=compute_memory(resource, observed, previous),
        scaling=compute_scaling(resource, observed, previous),
        cost=compute_cost(resource, observed, previous),
        rollout=rollout,
    )
    recheck = finding.recheck_seconds or (NODE_RECHECK_SECONDS if lacks_nodes(observed) else None)
    soon = [recheck, WAITING_RECHECK_SECONDS if decision and decision.waits else None]
    return Verdict(status=status, finding=finding, recheck_seconds=min(filter(None, soon), default=None))


def compute_invalid_status(sentence: str, generation: int, previous: LLMInferenceStatus, now: datetime) -> Verdict:
    """Say that a spec cannot be served."""
    finding = Finding(Reason.INVALID_SPEC, write_sentence(sentence), Outlook.STALLED)
    return _keep_numbers(finding, generation, previous, now)


def compute_fault_status(fault: str, generation: int, previous: LLMInferenceStatus, now: datetime) -> Verdict:
    """Say that the operator itself failed on a resource."""
    sentence = (
        f"The operator failed on this resource ({fault}) and tries again. What runs goes on. Please report it with the "
        "traceback from the operator's log."
    )
    return _keep_numbers(Finding(Reason.OPERATOR_FAULT, sentence, Outlook.FAULT), generation, previous, now)


def _keep_numbers(finding: Finding, generation: int, previous: LLMInferenceStatus, now: datetime) -> Verdict:
    """What ran before goes on, and its numbers stay as they were."""
    conditions = make_conditions(
        finding,
        sentence=finding.sentence,
        serving=False,
        available=bool(previous.ready_replicas),
        generation=generation,
        previous=previous.conditions,
        now=now,
    )
    status = previous.model_copy(
        update={"observed_generation": generation, "conditions": conditions, "why": finding.sentence}
    )
    return Verdict(status=status, finding=finding, recheck_seconds=None)


def make_status_manifest(name: str, namespace: str, uid: str, status: LLMInferenceStatus) -> dict[str, object]:
    """Render for server-side apply; the uid keeps it off a namesake that was made meanwhile."""
    return {
        "apiVersion": labels.API_VERSION,
        "kind": labels.KIND,
        "metadata": {"name": name, "namespace": namespace, "uid": uid},
        "status": status.to_manifest(),
    }


def _write(finding: Finding, observed: Observed, rollout: RolloutStatus | None) -> str:
    """The finding's sentence, and whether somebody answers meanwhile where that is not what one would think."""
    older = observed.deployment is not None and observed.deployment.ready > 0
    if finding.outlook in {Outlook.FAULT, Outlook.STALLED} and older and not _all_answer(finding):
        return write_sentence(f"{finding.sentence} Until then {_count(observed)} on answering.")
    outage = describe_outage(rollout, observed) if finding.outlook is Outlook.PROGRESS else ""
    return write_sentence(f"{finding.sentence} {outage}".rstrip())


def _all_answer(finding: Finding) -> bool:
    return finding.reason in {Reason.AUTOSCALER_BLIND, Reason.BUDGET_UNKNOWN}


def _count(observed: Observed) -> str:
    ready = observed.deployment.ready if observed.deployment else 0
    return "1 replica goes" if ready == 1 else f"{ready} replicas go"


def _wanted(resource: Resource) -> int:
    spec = resource.spec
    if spec.autoscaling is not None:
        return max(spec.autoscaling.min_replicas, 1)
    return 1 if spec.replicas is None else spec.replicas


def _find_pin(resource: Resource, observed: Observed, previous: LLMInferenceStatus) -> str | None:
    """The commit that was told before, as long as a replica of the newest version has it; else what they have."""
    if observed.pin:
        return observed.pin
    before = previous.model
    commits = {report.revision for pod in observed.newest_pods if (report := read_fetch(pod))}
    known = before.revision if before and before.name == describe_source(resource.spec.model) else None
    if known and (not commits or known in commits):
        return known
    report = find_fetch_report(tuple(pod for pod in observed.pods if not pod.deleting))
    return report.revision if report else None


def _describe_model(resource: Resource, observed: Observed, pin: str | None) -> ModelStatus:
    report = find_fetch_report(tuple(pod for pod in observed.pods if not pod.deleting))
    return ModelStatus(
        name=describe_source(resource.spec.model),
        revision=pin,
        upstream_revision=report.upstream if report and report.upstream != pin else None,
        bytes=report.bytes if report else None,
    )
