import pytest

from llmi_operator.plan.replicas import ReplicaDecision, decide_replicas
from llmi_testing.inference import make_resource

AUTO = {"autoscaling": {"minReplicas": 2, "maxReplicas": 6}}
ONE = {"autoscaling": {"maxReplicas": 6}}


@pytest.mark.parametrize(
    ("spec", "live", "owned", "decision"),
    [
        pytest.param({}, None, False, ReplicaDecision(1), id="one by default"),
        pytest.param({"replicas": 0}, 3, True, ReplicaDecision(0), id="zero is a number"),
        pytest.param({"replicas": 4}, 9, False, ReplicaDecision(4), id="switched off: the user's number"),
        pytest.param(ONE, None, False, ReplicaDecision(None), id="new, minimum 1 is the API server's default"),
        pytest.param(AUTO, None, False, ReplicaDecision(2), id="new: begin with the minimum"),
        pytest.param(AUTO, 4, True, ReplicaDecision(None, hand_over=4), id="switched on: hand the live number over"),
        pytest.param(AUTO, 4, False, ReplicaDecision(None), id="the autoscaler has it"),
        pytest.param(AUTO, 0, False, ReplicaDecision(None, hand_over=2), id="an autoscaler never wakes zero"),
        pytest.param(AUTO, 1, True, ReplicaDecision(None, hand_over=2), id="switched on below the minimum"),
    ],
)
def test_who_decides_about_replicas(spec, live, owned, decision):
    assert decide_replicas(make_resource(**spec).spec, live=live, owned=owned) == decision
