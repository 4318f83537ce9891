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
        _make_condition(kind, holds, finding.reason, sentence, generation, before.get(kind), now)
        for kind, holds in facts.items()
    ]


def _make_condition(  # noqa: PLR0913 - one argument for each field
    kind: ConditionType,
    holds: bool,  # noqa: FBT001 - the status itself
    reason: Reason,
    sentence: str,
    generation: int,
    before: Condition | None,
    now: datetime,
) -> Condition:
    status = "True" if holds else "False"
    unchanged = before is not None and before.status == status
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=sentence,
        last_transition_time=before.last_transition_time if before and unchanged else now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        observed_generation=generation,
    )
