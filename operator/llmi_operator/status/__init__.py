"""The truth about an LLMInference and what to do next: pure functions from what is observed to a status."""

from dataclasses import dataclass
from datetime import datetime

from llmi_api import labels
from llmi_api.v1alpha1 import EngineStatus, LLMInferenceStatus, ModelStatus, Reason, ServiceType
from llmi_operator.observed import Observed
from llmi_operator.parse import Resource
from llmi_operator.plan.model import describe_source
from llmi_operator.plan.names import make_selector, to_selector_string
from llmi_operator.plan.pod import choose_image
from llmi_operator.plan.service import make_url
from llmi_operator.settings import ServerDefaults
from llmi_operator.status.conditions import make_conditions
from llmi_operator.status.finding import Finding, Outlook, write_sentence
from llmi_operator.status.pods import Situation, find_fetch_report
from llmi_operator.status.rules import compute_finding

ENGINE = "transformers"


@dataclass(frozen=True)
class Verdict:
    """A status, and when to look again although nothing happens."""

    status: LLMInferenceStatus
    finding: Finding
    recheck_seconds: float | None


def compute_status(
    resource: Resource, observed: Observed, previous: LLMInferenceStatus, defaults: ServerDefaults
) -> Verdict:
    """Say how a resource is doing."""
    situation = Situation(resource=resource, defaults=defaults, now=observed.now)
    finding = compute_finding(observed, situation)
    deployment = observed.deployment
    ready = deployment.ready if deployment else 0
    wanted = deployment.wanted if deployment else _wanted(resource)
    sentence = _write(finding, observed)
    report = find_fetch_report(tuple(pod for pod in observed.pods if not pod.deleting))
    status = LLMInferenceStatus(
        observed_generation=resource.generation,
        conditions=make_conditions(
            finding,
            sentence=sentence,
            available=ready > 0,
            generation=resource.generation,
            previous=previous.conditions,
            now=observed.now,
        ),
        replicas=deployment.total if deployment else 0,
        ready_replicas=ready,
        ready=f"{min(ready, wanted)}/{wanted}",
        selector=to_selector_string(make_selector(resource)),
        url=_find_url(resource, observed) if ready else None,
        why=sentence,
        model=ModelStatus(
            name=describe_source(resource.spec.model),
            revision=observed.pin or (report.revision if report else None),
            bytes=report.bytes if report else None,
        ),
        engine=EngineStatus(name=ENGINE, image=choose_image(resource, defaults)),
    )
    return Verdict(status=status, finding=finding, recheck_seconds=finding.recheck_seconds)


def compute_invalid_status(sentence: str, generation: int, previous: LLMInferenceStatus, now: datetime) -> Verdict:
    """Say that a spec cannot be served; what ran before goes on, and its numbers stay as they were."""
    finding = Finding(Reason.INVALID_SPEC, write_sentence(sentence), Outlook.STALLED)
    conditions = make_conditions(
        finding,
        sentence=finding.sentence,
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


def _write(finding: Finding, observed: Observed) -> str:
    """The finding's sentence, and that an older version still answers where that is so."""
    older = observed.deployment is not None and observed.deployment.ready > 0
    if finding.outlook in {Outlook.FAULT, Outlook.STALLED} and older and not _all_answer(finding):
        return write_sentence(f"{finding.sentence} Until then {_count(observed)} on answering.")
    return write_sentence(finding.sentence)


def _all_answer(finding: Finding) -> bool:
    return finding.reason is Reason.AUTOSCALER_BLIND


def _count(observed: Observed) -> str:
    ready = observed.deployment.ready if observed.deployment else 0
    return "1 replica goes" if ready == 1 else f"{ready} replicas go"


def _wanted(resource: Resource) -> int:
    spec = resource.spec
    if spec.autoscaling is not None:
        return spec.autoscaling.min_replicas
    return 1 if spec.replicas is None else spec.replicas


def _find_url(resource: Resource, observed: Observed) -> str:
    balanced = resource.spec.service.type is ServiceType.LOAD_BALANCER and observed.service is not None
    return make_url(resource, observed.service.addresses if balanced and observed.service else ())
