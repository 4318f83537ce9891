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
    errors = [line for line in namespaced.lines() if line["log.level"] in {"error", "warning"}]
    assert errors == []


def test_a_namespaced_operator_leaves_other_namespaces_alone(control_plane, space, namespaced):
    control_plane.kubectl("-n", "default", "apply", "-f", "-", stdin=json.dumps(make_body("elsewhere")))
    try:
        space.apply(make_body())
        space.wait_for_reason("bert", "Starting")
        assert control_plane.kubectl("-n", "default", "get", "deployments", "-o", "name") == ""
    finally:
        control_plane.kubectl("-n", "default", "delete", "llmi", "elsewhere")


@pytest.fixture
def grant(control_plane):
    """A function that replaces the operator's rights on a resource for the length of the test; no verbs: as it was."""
    words = ("patch", "clusterrole", "llminference-operator", "--type=merge", "-p")
    whole = json.loads(control_plane.kubectl("get", "clusterrole", "llminference-operator", "-o", "json"))["rules"]

    def narrow(resource, verbs=None):
        rules = [{**rule, "resources": [item for item in rule["resources"] if item != resource]} for rule in whole]
        weaker = [*(rule for rule in rules if rule["resources"]), {"apiGroups": [""], "resources": [resource]}]
        weaker[-1]["verbs"] = verbs
        control_plane.kubectl(*words, json.dumps({"rules": weaker if verbs else whole}))

    yield narrow
    narrow("")


def test_a_missing_right_is_named_and_tried_again(space, account, tmp_path, grant):
    grant("services", ["get", "list", "watch"])
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body())
        why = space.wait_for_reason("bert", "Forbidden")
        assert why.startswith("The operator may not apply Service bert: grant it that in its Role")
        assert space.need("deployment", "bert")
        grant("services")
        space.patch("llmi", "bert", {"spec": {"service": {"port": 81}}})
        space.wait_for_reason("bert", "Starting")


def test_a_missing_right_to_list_is_named_and_tried_again(space, account, tmp_path, grant):
    grant("services", ["get", "create", "patch"])
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body())
        why = space.wait_for_reason("bert", "Forbidden", seconds=90)
        assert why.startswith("The operator may not list Services: grant it that in its Role")
        assert space.get("deployment", "bert") is None
        grant("services")
        space.wait_for_reason("bert", "Starting", seconds=90)


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
