from datetime import timedelta

import pytest

from llmi_api.v1alpha1 import LLMInferenceStatus
from llmi_operator.observed import ServiceState
from llmi_operator.status import compute_invalid_status, compute_status
from llmi_testing.inference import DEFAULTS, make_resource
from llmi_testing.observations import NOW, container, deployment, end, observed, pod, ready_pod

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOTHING = LLMInferenceStatus()


def judge(*pods, previous=NOTHING, spec=None, **changes):
    resource = make_resource(generation=7, **(spec or {}))
    return compute_status(resource, observed(*pods, **changes), previous, DEFAULTS).status


def conditions(status):
    return {item.type: item.status for item in status.conditions}


def test_serving_is_ready_without_words():
    status = judge(ready_pod(), deployment=deployment(1, ready=1))
    assert conditions(status) == {
        "Ready": "True", "Available": "True", "Progressing": "False", "Degraded": "False", "Stalled": "False",
    }  # fmt: skip
    assert status.why == ""
    assert status.ready == "1/1"
    assert status.url == "http://bert.models.svc"


def test_a_failing_rollout_stays_available_and_keeps_its_url():
    broken = pod("new", created_at=NOW, revision="2", server=container(waiting_reason="InvalidImageName"))
    status = judge(ready_pod(), broken, deployment=deployment(1, ready=1, total=2))
    assert conditions(status) == {
        "Ready": "False", "Available": "True", "Progressing": "False", "Degraded": "True", "Stalled": "False",
    }  # fmt: skip
    assert status.why.endswith("Until then 1 replica goes on answering.")
    assert status.url


def test_every_condition_speaks_of_the_generation_that_was_judged():
    status = judge()
    assert status.observed_generation == 7
    assert {item.observed_generation for item in status.conditions} == {7}


def test_a_deployment_that_is_changed_again_and_again_does_not_make_ready_come_and_go():
    first = judge(ready_pod(), deployment=deployment(1, ready=1))
    second = judge(ready_pod(), previous=first, deployment=deployment(1, ready=1, generation=5))
    assert second == first


def test_an_edit_is_not_ready_until_the_deployment_has_been_seen():
    before = judge(ready_pod(), deployment=deployment(1, ready=1))
    edited = make_resource(generation=8)
    state = observed(ready_pod(), deployment=deployment(1, ready=1, generation=5))
    assert conditions(compute_status(edited, state, before, DEFAULTS).status)["Ready"] == "False"


def test_a_transition_time_changes_only_with_its_status():
    first = judge()
    later = NOW + timedelta(seconds=90)
    second = judge(ready_pod(), previous=first, deployment=deployment(1, ready=1), now=later)
    times = {item.type: item.last_transition_time for item in second.conditions}
    assert times["Ready"] == "2026-05-01T12:01:30Z"
    assert times["Stalled"] == "2026-05-01T12:00:00Z"


def test_judging_again_changes_nothing():
    first = judge(ready_pod(), deployment=deployment(1, ready=1))
    again = judge(ready_pod(), previous=first, deployment=deployment(1, ready=1), now=NOW + timedelta(hours=1))
    assert again == first


def test_surge_never_shows_more_ready_than_wanted():
    assert judge(ready_pod(), deployment=deployment(2, ready=3, total=3)).ready == "2/2"


def test_the_revision_is_the_one_of_a_pod_that_answers():
    def fetched(letter):
        line = f'{{"revision": "{letter * 40}", "bytes": 5, "seconds": 1}}'
        return container("fetch", terminated=end(0, line, reason="Completed"))

    status = judge(ready_pod("a", fetch=fetched("a")), pod("b", created_at=NOW, fetch=fetched("b")))
    assert status.model.revision == "a" * 40
    assert status.model.bytes == 5


@pytest.mark.parametrize(
    ("service", "addresses", "url"),
    [
        ({}, (), "http://bert.models.svc"),
        ({"port": 8000}, (), "http://bert.models.svc:8000"),
        ({"type": "LoadBalancer"}, (), "http://bert.models.svc"),
        ({"type": "LoadBalancer"}, ("lb.example",), "http://lb.example"),
        ({"type": "LoadBalancer", "port": 81}, ("2001:db8::1",), "http://[2001:db8::1]:81"),
    ],
)
def test_the_url(service, addresses, url):
    state = ServiceState(service.get("type", "ClusterIP"), addresses)
    assert judge(ready_pod(), spec={"service": service}, deployment=deployment(1, ready=1), service=state).url == url


def test_an_invalid_spec_stalls_and_keeps_the_numbers_of_what_runs():
    before = judge(ready_pod(), deployment=deployment(1, ready=1))
    after = compute_invalid_status("spec.x is wrong", 8, before, NOW).status
    assert conditions(after)["Stalled"] == "True"
    assert conditions(after)["Ready"] == "False"
    assert conditions(after)["Available"] == "True"
    assert (after.why, after.ready, after.url) == ("spec.x is wrong", "1/1", "http://bert.models.svc")
