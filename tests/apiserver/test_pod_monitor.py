"""The PodMonitor: an API that a cluster may not have, and may get later."""

import json

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.pod_monitors import read_pod_monitor_type

pytestmark = pytest.mark.apiserver
MONITORED = {"observability": {"metrics": {"podMonitor": True, "labels": {"release": "prometheus"}}}}
NAME = "podmonitors.monitoring.coreos.com"


@pytest.fixture(scope="module")
def pod_monitor_type(tmp_path_factory):
    """A file with the real type."""
    file = tmp_path_factory.mktemp("type") / "type.json"
    file.write_text(json.dumps(read_pod_monitor_type()))
    return file


@pytest.fixture
def served(control_plane, pod_monitor_type):
    """The type, for the length of a test."""
    with control_plane.with_type(pod_monitor_type, NAME):
        yield


def monitors(space):
    return json.loads(space.kubectl("get", NAME, "-o", "json"))["items"]


def test_without_the_api_everything_else_is_made(space, account, tmp_path):
    with OperatorProcess(account, tmp_path / "log") as process:
        space.apply(make_body(**MONITORED))
        space.wait_for_pods(1)
        # Its pods come before the words about it.
        eventually(lambda: space.condition("bert", "Stalled").get("status") == "False")
        assert not [line for line in process.lines() if line["log.level"] == "error"]


def test_with_the_api_it_is_made_and_comes_back_and_goes(space, served, account, tmp_path):
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body(**MONITORED))
        (monitor,) = eventually(lambda: monitors(space))
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert (endpoint["path"], endpoint["port"]) == ("/metrics", "http")
        (relabeling,) = endpoint["relabelings"]
        assert relabeling["sourceLabels"] == ["__meta_kubernetes_pod_label_llminference_dev_llminference"]
        assert relabeling["targetLabel"] == "llminference"
        space.delete(NAME, "bert")
        eventually(lambda: {item["metadata"]["uid"] for item in monitors(space)} - {monitor["metadata"]["uid"]})
        space.patch("llmi", "bert", {"spec": {"observability": None}})
        eventually(lambda: monitors(space) == [])


def test_an_api_that_comes_later_is_used(control_plane, space, pod_monitor_type, account, tmp_path):
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body(**MONITORED))
        space.wait_for_pods(1)
        with control_plane.with_type(pod_monitor_type, NAME):
            # A missing API is asked for again every 30 s, or with the next change.
            eventually(lambda: "podmonitors" in space.kubectl("api-resources", "-o", "name"))
            space.patch("llmi", "bert", {"spec": {"replicas": 2}})
            eventually(lambda: monitors(space))
