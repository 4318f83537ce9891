"""New conditions out of old ones and a finding, keeping transition times."""

from collections.abc import Iterable
from datetime import datetime

from llmi_api.meta import Condition
from llmi_api.v1alpha1 import ConditionType, Reason
from llmi_operator.status.finding import Finding, Outlook

# Reasons under which all replicas answer, so that Ready holds in spite of the sentence.
READY_REASONS = frozenset({Reason.SERVING, Reason.AUTOSCALER_BLIND, Reason.ADDRESS_PENDING})


def make_conditions(
    finding: Finding, *, sentence: str, available: bool, generation: int, previous: Iterable[Condition], now: datetime
) -> list[Condition]:
    """All five conditions. A transition time changes only when a status does."""
    facts = {
        ConditionType.READY: finding.reason in READY_REASONS,
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
            reason=finding.reason,
            message=sentence,
            last_transition_time=_find_transition(before.get(kind), holds=holds, now=now),
            observed_generation=generation,
        )
        for kind, holds in facts.items()
    ]


def _find_transition(before: Condition | None, *, holds: bool, now: datetime) -> str:
    if before is not None and before.status == ("True" if holds else "False"):
        return before.last_transition_time
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
