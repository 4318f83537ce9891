from datetime import UTC, datetime

import pytest

from llmi_operator.metrics_api.documents import Question, list_resources, list_values, parse_path, refuse
from llmi_operator.metrics_api.pods import Target, choose_targets

ROOT = "/apis/custom.metrics.k8s.io/v1beta2"


def pod(name, **status):
    return {"metadata": {"name": name}, "status": {"phase": "Running", "podIP": "10.0.0.1", **status}}


def test_a_path_asks_for_one_pod_or_for_all():
    assert parse_path(f"{ROOT}/namespaces/models/pods/*/m") == Question("models", "*", "m")
    assert parse_path(f"{ROOT}/namespaces/models/pods/bert-1/m") == Question("models", "bert-1", "m")


@pytest.mark.parametrize(
    "path", [ROOT, "/", f"{ROOT}/namespaces/models/services/*/m", f"{ROOT}/namespaces/metrics/m", f"{ROOT}/nodes/*/m",
             f"{ROOT}/namespaces/a/pods/b/c/d"]
)  # fmt: skip
def test_other_paths_ask_for_nothing_that_there_is(path):
    assert parse_path(path) is None


def test_values_are_in_the_shape_that_autoscalers_read():
    (item,) = list_values("models", [("bert-1", 37)], datetime(2026, 1, 2, tzinfo=UTC))["items"]
    assert item == {
        "describedObject": {"apiVersion": "/v1", "kind": "Pod", "namespace": "models", "name": "bert-1"},
        "metric": {"name": "llmi_requests_in_flight", "selector": None},
        "timestamp": "2026-01-02T00:00:00Z",
        "value": "37",
    }


def test_discovery_names_the_one_metric():
    assert [item["name"] for item in list_resources()["resources"]] == ["pods/llmi_requests_in_flight"]


def test_a_refusal_is_a_status_of_the_api():
    assert refuse(404, "no") == {
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "NotFound", "code": 404,
    }  # fmt: skip
    assert refuse(599, "no")["reason"] == "InternalError"


def test_only_pods_that_run_and_have_an_address_are_asked():
    pods = [
        pod("a"),
        pod("b", phase="Pending"),
        pod("c", podIP=""),
        pod("d", podIP="fd00::1"),
        {"metadata": {"name": "e"}},
    ]
    assert choose_targets(pods, 8080) == [
        Target("a", "http://10.0.0.1:8080/metrics"),
        Target("d", "http://[fd00::1]:8080/metrics"),
    ]
    assert [target.pod for target in choose_targets(pods, 8080, "d")] == ["d"]
