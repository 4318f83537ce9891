"""Alerts by real faults: they reach a receiver through a real Prometheus and Alertmanager, and resolve."""

import pytest

from llmi_testing.eventually import eventually
from observability.alerts import ALERTS

pytestmark = [pytest.mark.observability, pytest.mark.timeout(600)]
ROOM = 240
BY_MODEL = {
    "LLMInferenceDown": "real",
    "LLMInferenceErrors": "failing",
    "LLMInferenceRefusing": "overloaded",
    "LLMInferenceSlow": "overloaded",
    "LLMInferenceQueueLong": "overloaded",
    "LLMInferenceFirstTokenSlow": "chat",
    "LLMInferenceKVCacheFull": "chat",
    "LLMInferenceStartSlow": "starting",
    "LLMInferenceNotReady": "unschedulable",
    "LLMInferenceScaledToMax": "busy",
    "LLMInferenceScalingBlind": "blind",
    "LLMInferenceCrashLoop": "crashing",
    "LLMInferenceOutOfMemory": "failing",
    "LLMInferenceRolloutStuck": "stuck",
    "LLMInferenceTokenRefused": "gated",
    "LLMInferenceGPUIdle": "chat",
}
OTHERS = ("LLMInferenceGPUError", "LLMInferenceGPULost", "LLMInferenceOperatorDown", "LLMInferenceCertificateExpiring")
# They take a real operator: tests/apiserver/test_alerts.py has one.
NOT_HERE = {"LLMInferenceOperatorErrors", "LLMInferenceOperatorBehind"}
EVERY = [*BY_MODEL, *OTHERS]


def labels(name):
    return {"namespace": "models", "llminference": BY_MODEL[name]} if name in BY_MODEL else {}


@pytest.fixture(scope="module")
def broken(watched):
    """All is well for a while, then every fault begins."""
    known = 'count_over_time(llminference:replicas_answering:sum{llminference="real"}[1m]) > 25'
    eventually(lambda: watched.stack.query(known), "the rules have seen the healthy models for a while", seconds=ROOM)
    watched.models.break_all()
    return watched


@pytest.fixture(scope="module")
def mended(broken):
    """Every fault is over."""
    broken.models.mend_all()
    return broken


def test_each_alert_has_its_fault_here_or_a_reason_why_not():
    assert {alert.name for alert in ALERTS} == {*EVERY, *NOT_HERE}


@pytest.mark.parametrize("name", EVERY)
def test_the_receiver_is_told_of_the_fault_with_the_numbers_filled_in(name, broken):
    find = lambda: broken.stack.receiver.of(name, "firing", **labels(name))  # noqa: E731
    first = eventually(find, f"{name} fires", seconds=ROOM)[0]
    texts = first["annotations"]
    assert "{{" not in "".join(texts.values())
    assert "<no value>" not in "".join(texts.values())
    assert texts["runbook"] == f"docs/alerts.md#{name.lower()}"


@pytest.mark.parametrize("name", EVERY)
def test_the_receiver_is_told_that_it_is_over(name, mended):
    find = lambda: mended.stack.receiver.of(name, "resolved", **labels(name))  # noqa: E731
    eventually(find, f"{name} resolves", seconds=ROOM)


def test_the_model_that_was_well_all_the_time_fired_nothing(mended):
    assert mended.stack.query('llminference:requests:rate5m{llminference="well"} > 0')
    assert [one for one in mended.stack.receiver.alerts if one["labels"].get("llminference") == "well"] == []
