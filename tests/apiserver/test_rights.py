"""What the operator does with fewer rights: in its own namespace only, or without one that it needs."""

import json
import os
from pathlib import Path

import pytest

from llmi_testing.apiserver import ApiServer
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess

pytestmark = pytest.mark.apiserver
ROOT = Path(__file__).parents[2]


@pytest.fixture
def namespaced(control_plane, space, tmp_path):
    """The operator as deploy/namespaced gives it to a team, in the test's namespace."""
    overlay = {"namespace": space.namespace, "resources": [os.path.relpath(ROOT / "deploy" / "namespaced", tmp_path)]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(overlay))
    control_plane.kubectl("apply", "-k", str(tmp_path))
    space.kubectl("delete", "deployment", "--all", "--wait=false")
    account = control_plane.kubeconfig_for_service_account("llminference-operator", space.namespace)
    settings = {"namespaces": space.namespace, "lease_namespace": space.namespace}
    with OperatorProcess(account, tmp_path / "log", **settings) as process:
        eventually(process.is_leader)
        yield process


def test_a_namespaced_operator_needs_no_cluster_role(space, namespaced):
    space.apply(make_body(autoscaling={"maxReplicas": 2}))
    space.wait_for_reason("bert", "Starting")
    assert eventually(lambda: space.get("hpa", "bert"))
    eventually(lambda: {item["reason"] for item in space.list("events")} >= {"Starting"})
    errors = [line for line in namespaced.lines() if line["level"] in {"error", "warning"}]
    assert errors == []


def test_a_namespaced_operator_leaves_other_namespaces_alone(control_plane, space, namespaced):
    control_plane.kubectl("-n", "default", "apply", "-f", "-", stdin=json.dumps(make_body("elsewhere")))
    space.apply(make_body())
    space.wait_for_reason("bert", "Starting")
    assert control_plane.kubectl("-n", "default", "get", "deployments", "-o", "name") == ""
    control_plane.kubectl("-n", "default", "delete", "llmi", "elsewhere")


def test_a_missing_right_is_named_and_tried_again(control_plane, space, account, tmp_path):
    role = json.loads(control_plane.kubectl("get", "clusterrole", "llminference-operator", "-o", "json"))
    rules = [
        {**rule, "resources": [item for item in rule["resources"] if item != "services"]} for rule in role["rules"]
    ]
    weaker = [*rules, {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}]

    def grant(rules):
        control_plane.kubectl("patch", "clusterrole", role["metadata"]["name"], "--type=merge", "-p", json.dumps(rules))

    grant({"rules": weaker})
    try:
        with OperatorProcess(account, tmp_path / "log"):
            space.apply(make_body())
            why = space.wait_for_reason("bert", "Forbidden")
            assert why.startswith("The operator may not apply Service bert: grant it that in its Role")
            assert space.need("deployment", "bert")
            grant({"rules": role["rules"]})
            space.patch("llmi", "bert", {"spec": {"service": {"port": 81}}})
            space.wait_for_reason("bert", "Starting")
    finally:
        grant({"rules": role["rules"]})


@pytest.fixture
def bare():
    """An API server that has never heard of us."""
    with ApiServer() as server:
        server.kubectl("create", "namespace", "llminference-system")
        yield server


def test_without_its_resource_type_it_waits_and_says_so(bare, tmp_path):
    with OperatorProcess(bare.kubeconfig, tmp_path / "log", wait=False) as process:
        eventually(lambda: is_waiting(process))
        assert process.ask("/livez") == "ok"
        bare.kubectl("apply", "-f", str(ROOT / "crds" / "llminferences.yaml"))
        eventually(process.is_ready)
        assert process.stop() == 0


def test_it_can_be_stopped_while_it_waits_for_its_resource_type(bare, tmp_path):
    with OperatorProcess(bare.kubeconfig, tmp_path / "log", wait=False) as process:
        eventually(lambda: is_waiting(process))
        assert process.stop() == 0


def is_waiting(process):
    return any("Waiting for the resource" in line["message"] for line in process.lines())
