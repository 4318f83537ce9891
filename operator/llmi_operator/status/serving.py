"""Whether an LLMInference serves as its owner wants: what the condition Ready says."""

from dataclasses import replace

from llmi_api.v1alpha1 import ConditionType, LLMInferenceSpec, LLMInferenceStatus
from llmi_operator.observed import DeploymentState, Observed


def is_serving(observed: Observed, spec: LLMInferenceSpec, *, was: bool) -> bool:
    """Whether enough replicas of this generation answer.

    Without an autoscaler that means exactly the wanted ones. With one it means the autoscaler's minimum: its scaling
    out and in is no change of what was asked for.

    Args:
        observed: What is there.
        spec: What is wanted.
        was: Whether it was so already, for this generation of the spec.
    """
    deployment = observed.deployment
    # What may not be listed is bad for us; what serves goes on serving.
    refused = any(not item.missing_api and item.verb != "list" for item in observed.refusals)
    stopped = observed.deleting or observed.behind or bool(observed.held) or refused
    if deployment is None or stopped:
        return False
    if spec.autoscaling is None:
        return deployment.complete and deployment.wanted > 0
    return _has_minimum(deployment, max(spec.autoscaling.min_replicas, 1), was=was)


def bridge(observed: Observed, *, was: bool) -> Observed:
    """Take a Deployment that has just changed for seen, where this very spec was served and all its pods are there.

    The Deployment's controller needs some milliseconds for each change. Somebody who changes a field again and again,
    and we who set it back, would otherwise make Ready go and come with each; when pods are to be replaced, the
    controller says so as soon as it has looked.
    """
    deployment = observed.deployment
    if deployment is None or deployment.is_seen or not (was and deployment.has_all):
        return observed
    return replace(observed, deployment=replace(deployment, observed_generation=deployment.generation))


def was_serving(previous: LLMInferenceStatus, generation: int) -> bool:
    """Whether Ready was true of this generation before."""
    return any(
        item.type == ConditionType.READY and item.status == "True" and item.observed_generation == generation
        for item in previous.conditions
    )


def _has_minimum(deployment: DeploymentState, least: int, *, was: bool) -> bool:
    if deployment.ready < least:
        return False
    if not deployment.is_seen:
        # An autoscaler has just changed the number, or we the template: until the Deployment's controller has seen
        # it, the pods are those of before.
        return was
    return deployment.updated == deployment.total
