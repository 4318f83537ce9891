"""Who decides how many replicas run, and how that right changes hands.

While autoscaling is off, our Deployment manifest carries ``replicas``. While it is on, be it Kubernetes' own or KEDA's,
the manifest must not: the autoscaler owns the number. But server-side apply removes a field that its only owner stops
sending, and the API server then fills in 1. So at the switch another field manager takes the number over first, at its
present value, and only then the manifest drops it; a later pass raises what is below the minimum. Where autoscaling is
switched off and nobody says a number, the one that the autoscaler left stays: the load that it followed has not gone.
"""

from dataclasses import dataclass
from enum import StrEnum

from llmi_api.v1alpha1 import LLMInferenceSpec

DEFAULT_REPLICAS = 1


class ReplicasOwner(StrEnum):
    """Who last said how many replicas the live Deployment has."""

    OPERATOR = "operator"
    AUTOSCALER = "autoscaler"
    """An autoscaler, or our second field manager on behalf of one."""
    OTHER = "other"


@dataclass(frozen=True)
class ReplicaDecision:
    """What to do about ``spec.replicas`` of the Deployment.

    Attributes:
        in_manifest: The number our manifest carries; None leaves the field out.
        hand_over: The number another manager takes over first; None when there is nothing to hand over.
    """

    in_manifest: int | None
    hand_over: int | None = None


def decide_replicas(spec: LLMInferenceSpec, *, live: int | None, owner: ReplicasOwner) -> ReplicaDecision:
    """Decide about the number of replicas.

    Args:
        spec: What the user wrote.
        live: The live Deployment's number of replicas; None when there is no Deployment.
        owner: Who owns that number in the live Deployment.
    """
    if spec.autoscaling is None:
        if spec.replicas is None and live and owner is ReplicasOwner.AUTOSCALER:
            return ReplicaDecision(in_manifest=None)
        return ReplicaDecision(in_manifest=DEFAULT_REPLICAS if spec.replicas is None else spec.replicas)
    least = spec.autoscaling.min_replicas
    if live is None:
        # A new Deployment begins with the minimum; the next pass hands the number over. Where that is 0 it begins with
        # one all the same, which shows that the model works before KEDA takes it away.
        return ReplicaDecision(in_manifest=None if least <= DEFAULT_REPLICAS else least)
    if owner is ReplicasOwner.OPERATOR:
        # At its present value, even below the minimum: more replicas now would be ones of the version before this spec.
        return ReplicaDecision(in_manifest=None, hand_over=live)
    if live < least:
        # An autoscaler never wakes a Deployment with 0 replicas, so the minimum is ours to set.
        return ReplicaDecision(in_manifest=None, hand_over=least)
    return ReplicaDecision(in_manifest=None)
