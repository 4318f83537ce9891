import pytest

from llmi_operator.plan.replicas import ReplicaDecision, ReplicasOwner, decide_replicas
from llmi_testing.inference import make_resource

AUTO = {"autoscaling": {"minReplicas": 2, "maxReplicas": 6}}
OURS, AUTOSCALERS, OTHERS = ReplicasOwner.OPERATOR, ReplicasOwner.AUTOSCALER, ReplicasOwner.OTHER
SLEEPING = {
    "autoscaling": {
        "minReplicas": 0,
        "maxReplicas": 6,
        "backend": "keda",
        "wakeUp": {"httpAddOn": {"interceptorRoute": "bert"}},
    }
}
ONE = {"autoscaling": {"maxReplicas": 6}}


@pytest.mark.parametrize(
    ("spec", "live", "owner", "decision"),
    [
        pytest.param({}, None, AUTOSCALERS, ReplicaDecision(1), id="one by default"),
        pytest.param({"replicas": 0}, 3, OURS, ReplicaDecision(0), id="zero is a number"),
        pytest.param({"replicas": 4}, 9, AUTOSCALERS, ReplicaDecision(4), id="switched off: the user's number"),
        pytest.param({}, 4, AUTOSCALERS, ReplicaDecision(None), id="switched off without a number: what is left stays"),
        pytest.param({}, 4, OTHERS, ReplicaDecision(1), id="by hand: set back to the default"),
        pytest.param({}, 0, AUTOSCALERS, ReplicaDecision(1), id="switched off at zero: serve again"),
        pytest.param(ONE, None, AUTOSCALERS, ReplicaDecision(None), id="new, minimum 1 is the API server's default"),
        pytest.param(AUTO, None, AUTOSCALERS, ReplicaDecision(2), id="new: begin with the minimum"),
        pytest.param(AUTO, 4, OURS, ReplicaDecision(None, hand_over=4), id="switched on: hand the live number over"),
        pytest.param(AUTO, 4, AUTOSCALERS, ReplicaDecision(None), id="the autoscaler has it"),
        pytest.param(AUTO, 0, AUTOSCALERS, ReplicaDecision(None, hand_over=2), id="an autoscaler never wakes zero"),
        pytest.param(AUTO, 1, OURS, ReplicaDecision(None, hand_over=1), id="switched on below the minimum"),
        pytest.param(SLEEPING, None, AUTOSCALERS, ReplicaDecision(None), id="new, to zero: one shows that it works"),
        pytest.param(SLEEPING, 0, AUTOSCALERS, ReplicaDecision(None), id="asleep: KEDA wakes it"),
        pytest.param(SLEEPING, 3, OURS, ReplicaDecision(None, hand_over=3), id="to zero: hand the live number over"),
        pytest.param(ONE, 0, AUTOSCALERS, ReplicaDecision(None, hand_over=1), id="asleep no more: the minimum"),
        pytest.param(AUTO, 0, OURS, ReplicaDecision(None, hand_over=0), id="switched on at zero: no pod of before"),
    ],
)
def test_who_decides_about_replicas(spec, live, owner, decision):
    assert decide_replicas(make_resource(**spec).spec, live=live, owner=owner) == decision
