"""Each situation has its reason and words; each reason has a situation; the docs quote what is really said."""

import pytest

from llmi_api.v1alpha1 import LLMInferenceStatus, Reason
from llmi_api.v1alpha1.reasons import EXPLANATIONS
from llmi_operator.parse import Resource
from llmi_operator.status import compute_status
from llmi_operator.status.pods import Situation
from llmi_operator.status.rules import compute_finding
from llmi_testing.inference import DEFAULTS, make_resource
from llmi_testing.observations import NOW
from llmi_testing.situations import SITUATIONS

# Said before there is anything to judge.
PREVIOUS = LLMInferenceStatus()
ELSEWHERE = {Reason.PENDING, Reason.INVALID_SPEC, Reason.OPERATOR_FAULT}


def judge(case):
    return compute_finding(case.seen, Situation(make_resource(**case.spec), DEFAULTS, NOW, pin=case.pin))


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.name)
def test_the_reason_and_its_words(case):
    finding = judge(case)
    assert finding.reason == case.reason, finding
    for words in case.words:
        assert words in finding.sentence
    assert len(finding.sentence) < 600


def test_there_is_a_situation_for_every_reason():
    assert {Reason(case.reason) for case in SITUATIONS} | ELSEWHERE == set(Reason)
    assert len(SITUATIONS) >= 30


def test_every_reason_is_explained():
    assert set(EXPLANATIONS) == set(Reason)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in ELSEWHERE])
def test_the_example_of_a_reason_is_what_the_operator_says_word_for_word(reason):
    said = {judge(case).sentence for case in SITUATIONS if case.reason == reason}
    assert EXPLANATIONS[reason].example in said


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.name)
def test_what_is_not_ready_says_why(case):
    resource: Resource = make_resource(**case.spec)
    status = compute_status(resource, case.seen, PREVIOUS, DEFAULTS).status
    ready = next(item for item in status.conditions if item.type == "Ready")
    assert ready.status == "True" or status.why
    assert ready.message == status.why
