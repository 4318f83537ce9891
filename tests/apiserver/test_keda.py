"""Scaling by KEDA, against KEDA's real type; KEDA's own part is played where none runs."""

import json
from pathlib import Path

import pytest
import yaml

from llmi_testing.eventually import eventually, throughout
from llmi_testing.inference import make_body
from llmi_testing.keda import NAME, make_autoscaler, read_scaled_object_type
from llmi_testing.operator_process import OperatorProcess

pytestmark = pytest.mark.apiserver
GOLDEN = Path(__file__).parents[1] / "golden"
CASES = ("autoscaled_by_keda", "asleep_until_a_request", "asleep_until_a_query")
KEDA = {"backend": "keda", "minReplicas": 2, "maxReplicas": 6, "targets": {"inFlightPerReplica": 10}}
ONE = {**KEDA, "minReplicas": 1}
ASLEEP = {**KEDA, "minReplicas": 0, "wakeUp": {"httpAddOn": {"interceptorRoute": "bert"}}}


@pytest.fixture(scope="module")
def served(control_plane, tmp_path_factory):
    """KEDA's type, for the length of the module."""
    file = tmp_path_factory.mktemp("type") / "type.json"
    file.write_text(json.dumps(read_scaled_object_type()))
    with control_plane.with_type(file, NAME):
        yield


# Tests that run an operator of their own come before those that share this one: only one can lead.
@pytest.fixture(scope="module")
def keda_operator(served, account, tmp_path_factory):
    """An operator that has found KEDA's type at its start, and so watches it."""
    with OperatorProcess(account, tmp_path_factory.mktemp("operator") / "log") as process:
        eventually(process.is_leader)
        yield process


def replicas(space):
    return space.need("deployment", "bert")["spec"]["replicas"]


def owners_of_replicas(space):
    entries = space.need("deployment", "bert")["metadata"]["managedFields"]
    return {item["manager"] for item in entries if "f:replicas" in item.get("fieldsV1", {}).get("f:spec", {})}


def scaled_object(space):
    return space.get(NAME, "bert")


def scale(space, number):
    """In KEDA's or the autoscaler's place, through the same subresource."""
    space.kubectl("scale", "deployment", "bert", f"--replicas={number}")


def make_serving(space, number):
    space.wait_for_pods(number)
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")


def set_status(space, **status):
    space.patch("hpa", "keda-hpa-bert", {"status": status}, "--subresource=status")


def test_without_keda_it_says_what_to_install(space, account, tmp_path):
    assert NAME not in space.kubectl("get", "crd", "-o", "name")
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body(autoscaling=ONE))
        space.wait_for_pods(1)
        space.make_pods_ready()
        why = space.wait_for_reason("bert", "ApiMissing", seconds=40)
        assert why.startswith("This cluster has no ScaledObject: install KEDA, or set spec.autoscaling.backend to hpa")


@pytest.mark.parametrize("case", CASES)
def test_keda_takes_what_is_made(space, served, case):
    children = yaml.safe_load_all((GOLDEN / case / "expected.yaml").read_text())
    (body,) = (child for child in children if child["kind"] == "ScaledObject")
    body["metadata"]["namespace"] = space.namespace
    words = ["--server-side", "--dry-run=server", "--validate=strict"]
    assert "serverside-applied" in space.kubectl("apply", *words, "-f", "-", stdin=json.dumps(body))


def test_a_keda_that_does_nothing_is_told(space, served, account, tmp_path, monkeypatch):
    # Its clock is some minutes ahead: so old does everything look to it.
    monkeypatch.setattr(OperatorProcess, "module", "llmi_testing.skewed_operator")
    monkeypatch.setenv("LLMI_TEST_CLOCK_SKEW", "300")
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body(autoscaling=ONE))
        space.wait_for_pods(1)
        space.make_pods_ready()
        why = space.wait_for_reason("bert", "AutoscalerBlind", seconds=60)
        assert "KEDA has made no autoscaler of the ScaledObject bert" in why
        assert "(it has not looked at it)" in why
        assert space.condition("bert")["status"] == "True"


def test_it_is_made_and_comes_back_and_another_backend_takes_its_place_without_dropping_a_replica(space, keda_operator):
    space.apply(make_body(autoscaling=KEDA))
    first = eventually(lambda: scaled_object(space))
    assert first["spec"]["scaleTargetRef"]["name"] == "bert"
    assert space.get("hpa", "bert") is None
    eventually(lambda: replicas(space) == 2 and "llminference-operator" not in owners_of_replicas(space))
    scale(space, 5)
    space.delete(NAME, "bert")
    eventually(lambda: (body := scaled_object(space)) and body["metadata"]["uid"] != first["metadata"]["uid"])
    space.patch("llmi", "bert", {"spec": {"autoscaling": {"backend": "hpa"}}})
    eventually(lambda: space.get("hpa", "bert") and scaled_object(space) is None)
    space.patch("llmi", "bert", {"spec": {"autoscaling": {"backend": "keda"}}})
    eventually(lambda: scaled_object(space) and space.get("hpa", "bert") is None)
    throughout(lambda: replicas(space) == 5, seconds=1.5)
    space.patch("llmi", "bert", {"spec": {"replicas": 4, "autoscaling": None}})
    eventually(lambda: replicas(space) == 4 and scaled_object(space) is None)


def test_the_autoscaler_that_keda_makes_is_read(space, keda_operator):
    space.apply(make_body(autoscaling=ONE))
    made = make_autoscaler(eventually(lambda: scaled_object(space)))
    space.kubectl("create", "-f", "-", stdin=json.dumps(made))
    make_serving(space, 1)
    name = {"name": "s0-metric-api-llmi_requests_in_flight"}
    metrics = [{"type": "External", "external": {"metric": name, "current": {"averageValue": "37"}}}]

    set_status(space, currentReplicas=1, desiredReplicas=4, currentMetrics=metrics)
    eventually(lambda: space.status("bert").get("scaling", {}).get("because") == "4: 37 in flight, target 10 each")
    assert "KEDA" in space.status("bert")["scaling"]["source"]


def test_a_model_that_keda_has_put_to_sleep_says_so(space, keda_operator):
    space.apply(make_body(autoscaling=ASLEEP))
    eventually(lambda: scaled_object(space))
    make_serving(space, 1)
    scale(space, 0)
    why = space.wait_for_reason("bert", "ScaledToZero")
    assert why == (
        "No replica runs, because nothing asks for one: KEDA starts one when a request comes by the InterceptorRoute "
        "bert."
    )
    assert space.status("bert")["ready"] == "0/0"
    assert space.condition("bert", "Degraded")["status"] == "False"
    throughout(lambda: replicas(space) == 0, seconds=1.5)
    scale(space, 1)
    make_serving(space, 1)


def test_a_keda_that_does_not_reach_the_replicas_is_told(space, keda_operator):
    space.apply(make_body(autoscaling=ONE))
    made = make_autoscaler(eventually(lambda: scaled_object(space)))
    space.kubectl("create", "-f", "-", stdin=json.dumps(made))
    make_serving(space, 1)
    active = {
        "type": "ScalingActive",
        "status": "False",
        "reason": "FailedGetExternalMetric",
        "message": "unable to get external metric",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }

    set_status(space, conditions=[active])
    assert "see kubectl describe scaledobject bert" in space.wait_for_reason("bert", "AutoscalerBlind")
