"""The PodMonitor: an API that a cluster may not have, and may get later."""

import json

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.pod_monitors import make_pod_monitor_type

pytestmark = pytest.mark.apiserver
MONITORED = {"observability": {"metrics": {"podMonitor": True, "labels": {"release": "prometheus"}}}}
TYPE = make_pod_monitor_type()


@pytest.fixture
def served(control_plane):
    """The type, for the length of a test."""
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(TYPE))
    control_plane.kubectl("wait", "--for=condition=Established", "crd", TYPE["metadata"]["name"], "--timeout=30s")
    yield
    control_plane.kubectl("delete", "crd", TYPE["metadata"]["name"])


def monitors(space):
    return json.loads(space.kubectl("get", "podmonitors.monitoring.coreos.com", "-o", "json"))["items"]


def test_without_the_api_everything_else_is_made(space, account, tmp_path):
    with OperatorProcess(account, tmp_path / "log") as process:
        space.apply(make_body(**MONITORED))
        space.wait_for_pods(1)
        assert space.condition("bert", "Stalled")["status"] == "False"
        assert not [line for line in process.lines() if line["level"] == "error"]


def test_with_the_api_it_is_made_and_comes_back_and_goes(space, served, account, tmp_path):
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body(**MONITORED))
        (monitor,) = eventually(lambda: monitors(space))
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        assert monitor["spec"]["podMetricsEndpoints"] == [{"path": "/metrics", "port": "http"}]
        space.delete("podmonitors.monitoring.coreos.com", "bert")
        eventually(lambda: {item["metadata"]["uid"] for item in monitors(space)} - {monitor["metadata"]["uid"]})
        space.patch("llmi", "bert", {"spec": {"observability": None}})
        eventually(lambda: monitors(space) == [])


def test_an_api_that_comes_later_is_used(control_plane, space, account, tmp_path):
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body(**MONITORED))
        space.wait_for_pods(1)
        control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(TYPE))
        try:
            # A missing API is asked for again every 30 s, or with the next change.
            eventually(lambda: "podmonitors" in space.kubectl("api-resources", "-o", "name"))
            space.patch("llmi", "bert", {"spec": {"replicas": 2}})
            eventually(lambda: monitors(space))
        finally:
            control_plane.kubectl("delete", "crd", TYPE["metadata"]["name"])
