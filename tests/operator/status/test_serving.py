"""Ready with and without an autoscaler."""

import pytest

from llmi_operator.observed import Refusal
from llmi_operator.status.serving import bridge, is_serving
from llmi_testing.inference import make_resource
from llmi_testing.observations import deployment, observed

AUTO = {"autoscaling": {"minReplicas": 2, "maxReplicas": 6}}


def serves(spec, *, was=False, state=None, **changes):
    return is_serving(observed(deployment=state, **changes), make_resource(**spec).spec, was=was)


def test_fixed_replicas_must_all_answer():
    assert serves({"replicas": 2}, state=deployment(2, ready=2))
    assert not serves({"replicas": 2}, state=deployment(2, ready=1))
    assert not serves({"replicas": 0}, state=deployment(0, ready=0))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (deployment(2, ready=2), True),
        (deployment(5, ready=2, total=3, updated=3), True),
        (deployment(2, ready=4, total=5, updated=5), True),
        (deployment(2, ready=1), False),
        (deployment(2, ready=3, total=3, updated=1), False),
    ],
    ids=["at rest", "scaling out", "scaling in", "fewer than the minimum", "old ones are still there"],
)
def test_with_an_autoscaler_its_minimum_must_answer_and_be_of_this_version(state, expected):
    assert serves(AUTO, state=state) is expected


def test_a_number_that_the_autoscaler_has_just_changed_takes_nothing_from_ready():
    just_changed = deployment(5, ready=2, total=2, updated=2, generation=2)
    assert serves(AUTO, state=just_changed, was=True)
    assert not serves(AUTO, state=just_changed, was=False)


def test_a_deployment_that_has_just_been_set_back_is_taken_for_seen_where_it_served():
    just_changed = observed(deployment=deployment(2, ready=2, generation=9))
    assert bridge(just_changed, was=True).deployment.complete
    assert bridge(just_changed, was=False) == just_changed


@pytest.mark.parametrize("changes", [{"ready": 1}, {"total": 3}, {"updated": 1}])
def test_a_deployment_that_lacks_pods_is_not_taken_for_seen(changes):
    lacking = observed(deployment=deployment(2, **{"ready": 2, "generation": 9} | changes))
    assert bridge(lacking, was=True) == lacking


@pytest.mark.parametrize("changes", [{"deleting": True}, {"behind": True}, {"refusals": (Refusal("Service", "a"),)}])
def test_what_is_going_away_behind_or_refused_does_not_serve(changes):
    assert not serves({}, state=deployment(1, ready=1), **changes)
    assert not serves(AUTO, state=deployment(2, ready=2), was=True, **changes)


def test_a_missing_kind_holds_nothing_back():
    missing = (Refusal("PodMonitor", "a", missing_api=True),)
    assert serves({}, state=deployment(1, ready=1), refusals=missing)
