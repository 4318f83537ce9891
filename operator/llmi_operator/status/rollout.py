"""How replicas are replaced, in words, and how long the place of one stays empty."""

from math import ceil

from llmi_api.v1alpha1 import LLMInferenceStatus, RolloutMode, RolloutStatus, StartupStatus
from llmi_operator.observed import Observed
from llmi_operator.parse import Resource
from llmi_operator.plan.rollout import RolloutDecision, RolloutReason
from llmi_operator.plan.timing import PRE_STOP_SECONDS

_LASTING = frozenset({RolloutReason.GOES_ON, RolloutReason.ASKED, RolloutReason.NO_ACCELERATOR})
"""What is said for these follows from what was said when the rollout began."""


def compute_rollout(
    decision: RolloutDecision | None,
    resource: Resource,
    observed: Observed,
    startup: StartupStatus | None,
    previous: LLMInferenceStatus,
) -> RolloutStatus | None:
    """Say how replicas are replaced: now, while a rollout goes on, else in the next one."""
    before = previous.rollout
    if decision is None:
        return before
    rests = observed.deployment is not None and observed.deployment.complete
    if not rests and before and before.mode == decision.mode and decision.reason in _LASTING:
        return before
    gap = None
    if decision.mode is RolloutMode.REPLACE or decision.reason not in {
        RolloutReason.ASKED,
        RolloutReason.NO_ACCELERATOR,
    }:
        # A replica that starts makes the last start be forgotten: what was told before it began stays.
        gap = (_estimate_gap(startup) if rests else None) or (before.gap if before else None)
    wanted = observed.deployment.wanted if observed.deployment else 1
    because = _explain(decision, resource, _describe_gap(wanted, gap))
    return RolloutStatus(mode=decision.mode, because=because, gap=gap)


def describe_outage(rollout: RolloutStatus | None, observed: Observed) -> str:
    """That nobody answers while the only replica is replaced; empty where that is not so."""
    deployment = observed.deployment
    if rollout is None or rollout.mode != RolloutMode.REPLACE or rollout.gap is None:
        return ""
    if deployment is None or deployment.ready or not deployment.wanted:
        return ""
    return f"Nobody answers until the new replica does, for about {rollout.gap} in all: status.rollout says why."


def _explain(decision: RolloutDecision, resource: Resource, gap: str) -> str:
    accelerator = resource.spec.accelerator
    device = accelerator.resource if accelerator else "room"
    one_by_one, beside = f"replicas are replaced one by one, and {gap}", "a new replica starts before an old one goes"
    surges = decision.mode is RolloutMode.SURGE
    if decision.reason is RolloutReason.ASKED:
        return f"As asked for, {f'{beside}: somebody answers all the time' if surges else one_by_one}."
    return {
        RolloutReason.NO_ACCELERATOR: f"No accelerator is asked for, so {beside}: somebody answers all the time.",
        RolloutReason.AT_REST: f"In the next rollout {beside} if a {device} is free for it; else {one_by_one}.",
        RolloutReason.ROOM_BESIDE: f"A node has a free {device}, so {beside}: somebody answers all the time.",
        RolloutReason.ROOM_IN_PLACE: f"No {device} is free for a replica more, so {one_by_one}.",
        RolloutReason.NO_ROOM: "No node has room for the new version, not even in the place of an old replica, so the "
        "old ones go on.",
        RolloutReason.ROOM_UNKNOWN: f"The nodes may not be read, so {beside}; if that finds no room, {one_by_one}.",
        RolloutReason.STUCK: f"A new replica found no room beside the old ones, so {one_by_one}.",
        RolloutReason.GOES_ON: f"Until this rollout is over, {beside if surges else one_by_one}.",
    }[decision.reason]


def _describe_gap(wanted: int, gap: str | None) -> str:
    who = "nobody answers" if wanted <= 1 else "one fewer answers"
    return f"{who} for about {gap}, as the last start took" if gap else f"{who} for as long as a start takes"


def _estimate_gap(startup: StartupStatus | None) -> str | None:
    """From the moment when an old replica gets no requests any more to its successor's first answer."""
    if startup is None or startup.answered is None:
        return None
    start = _read_seconds(startup.answered) - _read_seconds(startup.scheduled or "0s")
    return f"{ceil(max(start, 0) + PRE_STOP_SECONDS)}s"


def _read_seconds(text: str) -> float:
    return float(text.removesuffix("s"))
