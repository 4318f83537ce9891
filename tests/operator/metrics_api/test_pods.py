"""Which pods are asked for their metrics, and where."""

import pytest

from llmi_operator.metrics_api.pods import Target, choose_targets


def pod(**annotations):
    return {
        "metadata": {
            "name": "a",
            "annotations": {"prometheus.io/port": port} if (port := annotations.get("port")) else {},
        },
        "status": {"phase": "Running", "podIP": "10.0.0.7"},
    }


@pytest.mark.parametrize("port", [None, "8080", "none"])
def test_a_pod_is_asked_where_it_serves(port):
    assert choose_targets([pod(port=port)], 9999) == [Target("a", "http://10.0.0.7:9999/metrics")]


def test_an_engine_with_a_port_of_its_own_for_metrics_is_asked_there():
    assert choose_targets([pod(port="8002")], 8080) == [Target("a", "http://10.0.0.7:8002/metrics")]
