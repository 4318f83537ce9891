"""New conditions out of old ones and a finding, keeping transition times."""

from collections.abc import Iterable
from datetime import datetime

from llmi_api.meta import Condition
from llmi_api.v1alpha1 import ConditionType, Reason
from llmi_operator.status.finding import Finding, Outlook

# Reasons that say why Ready holds; it may hold under others too, while more replicas than needed have a fault.
READY_REASONS = frozenset(
    {Reason.SERVING, Reason.AUTOSCALER_BLIND, Reason.ADDRESS_PENDING, Reason.API_MISSING, Reason.MIXED_REVISIONS,
     Reason.SCALING, Reason.PAUSED, Reason.BUDGET_HELD, Reason.BUDGET_UNKNOWN}
)  # fmt: skip


def make_conditions(
    finding: Finding,
    *,
    sentence: str,
    serving: bool,
    available: bool,
    generation: int,
    previous: Iterable[Condition],
    now: datetime,
) -> list[Condition]:
    """All five conditions. A transition time changes only when a status does."""
    facts = {
        ConditionType.READY: serving,
        ConditionType.AVAILABLE: available,
        ConditionType.PROGRESSING: finding.outlook is Outlook.PROGRESS,
        ConditionType.DEGRADED: finding.outlook in {Outlook.FAULT, Outlook.STALLED},
        ConditionType.STALLED: finding.outlook is Outlook.STALLED,
    }
    before = {condition.type: condition for condition in previous}
    return [
        Condition(
            type=kind,
            status="True" if holds else "False",
            reason=_choose_reason(kind, finding, serving=serving),
            message=sentence,
            last_transition_time=_find_transition(before.get(kind), holds=holds, now=now),
            observed_generation=generation,
        )
        for kind, holds in facts.items()
    ]


def find_reason(previous: Iterable[Condition]) -> str | None:
    """The reason of the finding that these conditions were made of; None when there are none."""
    return next((item.reason for item in previous if item.type == ConditionType.DEGRADED), None)


def _choose_reason(kind: ConditionType, finding: Finding, *, serving: bool) -> Reason:
    if kind is ConditionType.READY and serving and finding.reason not in READY_REASONS:
        return Reason.SERVING
    return finding.reason


def _find_transition(before: Condition | None, *, holds: bool, now: datetime) -> str:
    if before is not None and before.status == ("True" if holds else "False"):
        return before.last_transition_time
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
