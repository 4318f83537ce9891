"""APIServices → who serves autoscalers with numbers."""

import pytest

from llmi_operator.metric_sources import CUSTOM, RESOURCE, MetricSource, read_metric_sources

AVAILABLE = {"type": "Available", "status": "True", "reason": "Passed", "message": "all checks passed"}
SILENT = {"type": "Available", "status": "False", "reason": "MissingEndpoints", "message": "no endpoints"}


def registration(name, namespace, *conditions):
    return {"spec": {"service": {"name": name, "namespace": namespace}}, "status": {"conditions": list(conditions)}}


def test_each_group_has_the_program_behind_its_service():
    found = read_metric_sources(
        {
            "v1beta1.custom.metrics.k8s.io": registration("prometheus-adapter", "monitoring", AVAILABLE),
            "v1beta2.custom.metrics.k8s.io": None,
            "v1beta1.metrics.k8s.io": registration("metrics-server", "kube-system", AVAILABLE),
        }
    )
    assert found == {
        CUSTOM: MetricSource("prometheus-adapter", "monitoring"),
        RESOURCE: MetricSource("metrics-server", "kube-system"),
    }


def test_of_two_versions_the_one_counts_that_autoscalers_prefer():
    found = read_metric_sources(
        {
            "v1beta1.custom.metrics.k8s.io": registration("old", "a", AVAILABLE),
            "v1beta2.custom.metrics.k8s.io": registration("new", "b", AVAILABLE),
        }
    )
    assert found == {CUSTOM: MetricSource("new", "b")}


@pytest.mark.parametrize(
    ("conditions", "fault"), [((SILENT,), "no endpoints"), ((), "the API server has not reached it")]
)
def test_a_program_that_does_not_answer_has_a_fault(conditions, fault):
    found = read_metric_sources({"v1beta1.metrics.k8s.io": registration("m", "n", *conditions)})
    assert found[RESOURCE].fault == fault


def test_where_nobody_serves_anything_there_is_nothing():
    assert read_metric_sources({}) == {}
