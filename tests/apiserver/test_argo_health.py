"""Argo CD's health script over every state that the operator can report, run as Argo CD runs it."""

import itertools
from datetime import UTC, datetime

import pytest

from llmi_api.v1alpha1 import LLMInferenceStatus, Reason
from llmi_api.v1alpha1.status import UNSEEN_STATUS
from llmi_operator.status.conditions import make_conditions
from llmi_operator.status.finding import Finding, Outlook
from llmi_testing.inference import make_stored_body
from llmi_testing.judge import argo, kstatus

pytestmark = pytest.mark.apiserver
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def stored(reason, outlook, *, serving=False, sentence="What, and what to do.", generation=1, observed=1, **spec):
    conditions = make_conditions(
        Finding(reason, sentence, outlook),
        sentence=sentence,
        serving=serving,
        available=serving,
        generation=observed,
        previous=[],
        now=NOW,
    )
    status = LLMInferenceStatus(observed_generation=observed, conditions=conditions, why=sentence)
    return make_stored_body(generation=generation, **spec) | {"status": status.to_manifest()}


def expected(reason, outlook, serving):
    if outlook is Outlook.STALLED:
        return "Degraded"
    if serving or reason is Reason.SCALED_TO_ZERO:
        return "Healthy"
    return "Degraded" if outlook is Outlook.FAULT and reason is not Reason.UNSCHEDULABLE else "Progressing"


def test_every_reason_under_every_outlook_has_a_health_and_the_operators_sentence():
    cases = list(itertools.product(Reason, Outlook, (True, False)))
    found = argo(*(stored(reason, outlook, serving=serving) for reason, outlook, serving in cases))
    wrong = [
        (case, health)
        for case, health in zip(cases, found, strict=True)
        if health != (expected(*case), "What, and what to do.")
    ]
    assert wrong == []


def test_stalled_is_degraded_although_no_node_fits():
    assert argo(stored(Reason.UNSCHEDULABLE, Outlook.STALLED))[0].status == "Degraded"


def test_waiting_for_a_node_is_progress_because_one_may_be_on_its_way():
    assert argo(stored(Reason.UNSCHEDULABLE, Outlook.FAULT))[0].status == "Progressing"


@pytest.mark.parametrize("outlook", Outlook)
def test_words_about_an_older_generation_do_not_count(outlook):
    health = argo(stored(Reason.SERVING, outlook, serving=True, generation=3, observed=2))[0]
    assert health == ("Progressing", "Waiting for the operator to see this version.")


@pytest.mark.parametrize("outlook", Outlook)
def test_paused_is_suspended_whatever_the_state_and_the_generation(outlook):
    health = argo(stored(Reason.SERVING, outlook, serving=True, generation=3, observed=2, paused=True))[0]
    assert health.status == "Suspended"
    assert "until spec.paused is false" in health.message


def test_a_resource_that_no_operator_has_seen_is_progressing():
    for status in ({}, {"status": {}}, {"status": UNSEEN_STATUS.to_manifest()}):
        assert argo(make_stored_body() | status)[0].status == "Progressing"


def test_kstatus_waits_gives_up_and_is_content_by_the_same_conditions():
    bodies = [
        make_stored_body() | {"status": UNSEEN_STATUS.to_manifest()},
        stored(Reason.STARTING, Outlook.PROGRESS),
        stored(Reason.UNSCHEDULABLE, Outlook.FAULT),
        stored(Reason.FETCH_FAILED, Outlook.STALLED),
        stored(Reason.SERVING, Outlook.FINE, serving=True, sentence=""),
        stored(Reason.SERVING, Outlook.FINE, serving=True, generation=2, observed=1),
    ]
    assert [item.status for item in kstatus(*bodies)] == [
        "InProgress", "InProgress", "InProgress", "Failed", "Current", "InProgress",
    ]  # fmt: skip
