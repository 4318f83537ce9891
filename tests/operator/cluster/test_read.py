from decimal import Decimal

import pytest

from llmi_operator.cluster.read import read_observed
from llmi_operator.kinds import AUTOSCALER
from llmi_operator.observed import Reading
from llmi_operator.store import Key, Store
from llmi_testing.observations import NOW

OWNER = {"kind": "LLMInference", "name": "bert", "uid": "u", "controller": True}
CPU = {
    "type": "ContainerResource",
    "containerResource": {
        "name": "cpu",
        "container": "server",
        "current": {"averageUtilization": 95, "averageValue": "1"},
    },
}
QUEUE = {
    "type": "Pods",
    "pods": {"metric": {"name": "llmi_requests_in_flight"}, "current": {"averageValue": "12334m"}},
}


def read(status):
    metadata = {"namespace": "models", "name": "bert", "uid": "a", "resourceVersion": "1", "ownerReferences": [OWNER]}
    store = Store()
    store.put(AUTOSCALER, {"metadata": metadata, "spec": {}, **status})
    return read_observed(store, Key("models", "bert"), "u", now=NOW).autoscaler


def test_what_an_autoscaler_measured_and_decided():
    state = read({"status": {"currentReplicas": 3, "desiredReplicas": 4, "currentMetrics": [CPU, QUEUE]}})
    assert (state.current, state.desired) == (3, 4)
    assert state.readings == (Reading("cpu", Decimal(95)), Reading("llmi_requests_in_flight", Decimal("12.334")))


@pytest.mark.parametrize(
    "metrics",
    [None, [], [{"type": ""}], [{"type": "ContainerResource", "containerResource": {"name": "cpu", "current": {}}}],
     [{"type": "Pods", "pods": {"metric": {"name": "m"}, "current": {}}}]],
)  # fmt: skip
def test_what_it_could_not_measure_is_left_out(metrics):
    assert read({"status": {"currentReplicas": 1, "desiredReplicas": 1, "currentMetrics": metrics}}).readings == ()


def test_what_keda_measures_is_known_by_the_end_of_its_name():
    current = {"averageValue": "7"}
    name = {"name": "s1-metric-api-llmi_requests_in_flight"}
    other = {"type": "External", "external": {"metric": {"name": "s2-prometheus"}, "current": {"averageValue": "0"}}}
    found = {"type": "External", "external": {"metric": name, "current": current}}
    state = read({"status": {"currentReplicas": 3, "desiredReplicas": 4, "currentMetrics": [found, other]}})
    assert state.readings == (Reading("llmi_requests_in_flight", Decimal(7)), Reading("s2-prometheus", Decimal(0)))


def test_an_autoscaler_that_has_not_begun():
    state = read({})
    assert (state.current, state.desired, state.readings) == (0, 0, ())
