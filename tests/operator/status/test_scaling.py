from decimal import Decimal

import pytest

from llmi_api.metric_names import IN_FLIGHT_METRIC
from llmi_api.v1alpha1 import LLMInferenceStatus
from llmi_operator.metric_sources import CUSTOM, EXTERNAL, METRICS_ADAPTER, RESOURCE, MetricSource
from llmi_operator.observed import AutoscalerState, Reading
from llmi_operator.status.scaling import compute_scaling
from llmi_testing.inference import make_resource
from llmi_testing.observations import deployment, observed

NOTHING = LLMInferenceStatus()
TARGETS = {"cpuPercent": 70, "memoryPercent": 80, "inFlightPerReplica": 10}
SERVER = MetricSource("metrics-server", "kube-system")
PROMETHEUS = MetricSource("prometheus-adapter", "monitoring")
METRICS = {"cpu": "cpu", "memory": "memory", "queue": IN_FLIGHT_METRIC}


def judge(current, desired, previous=NOTHING, *, generation=1, targets=TARGETS, sources=None, **averages):
    autoscaling = {"minReplicas": 1, "maxReplicas": 6, "targets": targets, "scaleDownDelaySeconds": 90}
    readings = tuple(Reading(METRICS[name], Decimal(str(average))) for name, average in averages.items())
    state = AutoscalerState({}, current, desired, readings)
    resource = make_resource(generation=generation, autoscaling=autoscaling)
    return compute_scaling(resource, observed(autoscaler=state, metric_sources=sources), previous)


def told(scaling, generation=1):
    return LLMInferenceStatus(observed_generation=generation, scaling=scaling)


@pytest.mark.parametrize(
    ("current", "desired", "averages", "because"),
    [
        (3, 4, {"queue": 12.333}, "4: 37 in flight, target 10 each"),
        (2, 3, {"cpu": 95, "memory": 40}, "3: CPU at 95 %, target 70 %"),
        (2, 3, {"cpu": 20, "memory": 110, "queue": 1}, "3: memory at 110 %, target 80 %"),
        (2, 6, {"queue": 40}, "6: 80 in flight, target 10 each; no more than maxReplicas"),
        (1, 1, {"queue": 0}, "1: 0 in flight, target 10 each; no fewer than minReplicas"),
        (4, 4, {"queue": 2}, "4: 8 in flight, target 10 each; fewer once that has lasted 90 s"),
        (4, 4, {"queue": 2, "cpu": 70}, "4: CPU at 70 %, target 70 %"),
    ],
)
def test_it_says_by_which_numbers_there_are_so_many(current, desired, averages, because):
    scaling = judge(current, desired, **averages)
    assert (scaling.desired, scaling.because) == (desired, because)


def test_a_load_that_changes_without_changing_the_number_changes_nothing():
    first = judge(3, 4, queue=12)
    assert judge(4, 4, told(first), queue=9.5) == first
    assert judge(4, 4, told(first)) == first
    assert judge(4, 3, told(first), queue=7) != first


def test_another_spec_is_explained_anew():
    first = judge(3, 4, queue=12)
    assert judge(4, 4, told(first), generation=2, queue=9).because == "4: 36 in flight, target 10 each"


def test_nothing_is_said_before_anything_was_measured():
    assert judge(1, 1) is None
    assert judge(1, 0, queue=5) is None
    assert judge(1, 1, targets={"cpuPercent": 70}, queue=5) is None


@pytest.mark.parametrize(
    ("targets", "sources", "words"),
    [
        ({"cpuPercent": 70}, {RESOURCE: SERVER}, "CPU: metrics-server in kube-system"),
        ({"cpuPercent": 70, "memoryPercent": 80}, {RESOURCE: SERVER}, "CPU and memory: metrics-server in kube-system"),
        (
            {"inFlightPerReplica": 10, "memoryPercent": 80},
            {RESOURCE: SERVER, CUSTOM: MetricSource(METRICS_ADAPTER, "llminference-system")},
            "requests in flight: our adapter (llminference-metrics-adapter in llminference-system); "
            "memory: metrics-server in kube-system",
        ),
        ({"inFlightPerReplica": 10}, {CUSTOM: PROMETHEUS}, "requests in flight: prometheus-adapter in monitoring"),
        (
            {"inFlightPerReplica": 10},
            {CUSTOM: MetricSource("prometheus-adapter", "monitoring", "no endpoints")},
            "requests in flight: prometheus-adapter in monitoring, which does not answer",
        ),
        ({"inFlightPerReplica": 10}, {}, "requests in flight: nobody serves custom.metrics.k8s.io"),
        (
            {"inFlightPerReplica": 10},
            None,
            "requests in flight: whatever serves custom.metrics.k8s.io "
            "(the role in deploy/cluster-reader lets the operator name it)",
        ),
    ],
)
def test_it_names_the_program_that_measures(targets, sources, words):
    assert judge(2, 2, targets=targets, sources=sources, cpu=70, memory=80, queue=10).source == words


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (None, "requests in flight: KEDA, which asks the replicas"),
        (
            {EXTERNAL: MetricSource("keda-operator-metrics-apiserver", "keda")},
            "requests in flight: KEDA (keda-operator-metrics-apiserver in keda), which asks the replicas",
        ),
        (
            {EXTERNAL: MetricSource("keda-operator-metrics-apiserver", "keda", "no endpoints")},
            "requests in flight: KEDA (keda-operator-metrics-apiserver in keda), which does not answer",
        ),
    ],
)
def test_keda_is_named_where_it_scales(sources, words):
    state = AutoscalerState({}, 3, 4, (Reading(IN_FLIGHT_METRIC, Decimal(12)),))
    autoscaling = {"backend": "keda", "maxReplicas": 6, "targets": {"inFlightPerReplica": 10}}
    seen = observed(autoscaler=state, metric_sources=sources)
    scaling = compute_scaling(make_resource(autoscaling=autoscaling), seen, NOTHING)
    assert (scaling.because, scaling.source) == ("4: 36 in flight, target 10 each", words)


def test_without_a_replica_nobody_has_asked_for_one():
    autoscaling = {
        "backend": "keda",
        "minReplicas": 0,
        "maxReplicas": 6,
        "scaleDownDelaySeconds": 90,
        "wakeUp": {"httpAddOn": {"interceptorRoute": "bert"}},
    }
    seen = observed(autoscaler=AutoscalerState({}, 0, 0), deployment=deployment(0))
    scaling = compute_scaling(make_resource(autoscaling=autoscaling), seen, told(judge(3, 4, queue=12)))
    assert (scaling.desired, scaling.because) == (0, "0: nothing has asked for a replica for 90 s")


def test_another_program_is_named_although_the_number_stays():
    first = judge(3, 4, queue=12)
    second = judge(4, 4, told(first), sources={CUSTOM: PROMETHEUS, RESOURCE: SERVER}, queue=9)
    assert (second.because, first.source == second.source) == (first.because, False)


def test_without_autoscaling_there_is_nothing_to_say():
    assert compute_scaling(make_resource(), observed(), told(judge(3, 4, queue=12))) is None
