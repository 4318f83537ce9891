"""Which program measures what an autoscaler goes by: told by name where the operator may read who serves what."""

import json
from pathlib import Path

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess

pytestmark = pytest.mark.apiserver
READER = str(Path(__file__).parents[2] / "deploy" / "cluster-reader")
QUEUE = {"maxReplicas": 4, "targets": {"inFlightPerReplica": 10}}
NAME = "v1beta1.custom.metrics.k8s.io"
PROMETHEUS_ADAPTER = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": NAME},
    "spec": {
        "group": "custom.metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"namespace": "monitoring", "name": "prometheus-adapter", "port": 443},
    },
}


@pytest.fixture
def reading(control_plane):
    """The right to read who serves what, and a program that serves custom metrics, to the end of a test."""
    try:
        control_plane.kubectl("apply", "-k", READER)
        control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(PROMETHEUS_ADAPTER))
        yield
    finally:
        # An API that does not answer would keep namespaces from being deleted.
        control_plane.kubectl("delete", "apiservice", NAME, "--ignore-not-found")
        control_plane.kubectl("delete", "-k", READER, "--ignore-not-found")


def measure(space):
    """In the place of the autoscaler's controller, which does not run here."""
    average = {"metric": {"name": "llmi_requests_in_flight"}, "current": {"averageValue": "3"}}
    metrics = [{"type": "Pods", "pods": average}]
    status = {"currentReplicas": 1, "desiredReplicas": 1, "currentMetrics": metrics}
    space.patch("hpa", "bert", {"status": status}, "--subresource=status")


def wait_for_source(space, words):
    eventually(lambda: space.get("hpa", "bert"))
    measure(space)
    eventually(lambda: words in space.status("bert").get("scaling", {}).get("source", ""), seconds=60)


def test_with_the_right_the_program_is_named(space, reading, account, tmp_path):
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body(autoscaling=QUEUE))
        wait_for_source(space, "requests in flight: prometheus-adapter in monitoring")


def test_without_the_right_the_grant_is_named(space, account, tmp_path):
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body(autoscaling=QUEUE))
        wait_for_source(space, "whatever serves custom.metrics.k8s.io (the role in deploy/cluster-reader")


def test_an_autoscaler_by_the_queue_where_another_program_serves_custom_metrics(space, reading, account, tmp_path):
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body(autoscaling=QUEUE))
        space.wait_for_pods(1)
        space.make_pods_ready()
        eventually(lambda: space.get("hpa", "bert"))
        active = {
            "type": "ScalingActive",
            "status": "False",
            "reason": "FailedGetPodsMetric",
            "message": "unable to get metric llmi_requests_in_flight",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        space.patch("hpa", "bert", {"status": {"conditions": [active]}}, "--subresource=status")
        why = space.wait_for_reason("bert", "AutoscalerBlind")
        assert "see to prometheus-adapter in monitoring, which is registered for custom.metrics.k8s.io" in why
