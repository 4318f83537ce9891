"""The operator uses every right that it has, and misses none: its requests in the audit log against its roles."""

import json
import os
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmi_api import labels
from llmi_testing.apiserver import ApiServer
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.json_lines import read_json_lines
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.space import Space, container_status, ready_status

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]
# Every field of the spec is in one of them; a contract test sees to that.
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
ACCOUNT = "llminference-operator"
CLUSTER_READER = "clusterrole/llminference-cluster-reader"
COMMIT = "0" * 40
NOW = "2026-01-01T00:00:00Z"
CACHED = {"id": "google-bert/bert-large-uncased", "cache": {"size": "1Gi", "retention": "Delete"}}
CHECKED_ELSEWHERE = {(labels.GROUP, f"{labels.PLURAL}/finalizers", "update")}
"""No request: the plug-in OwnerReferencesPermissionEnforcement asks for it when a child names its owner."""


def make_type(group: str, version: str, plural: str, kind: str) -> dict[str, Any]:
    """Make a type of objects that may look like anything."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


OPTIONAL_TYPES = (
    make_type("monitoring.coreos.com", "v1", "podmonitors", "PodMonitor"),
    make_type("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject"),
)

Right = tuple[str, str, str]


@dataclass(frozen=True)
class Mode:
    """One way to install the operator."""

    space: Space
    """Where the operator and its resources are."""
    settings: dict[str, str]
    roles: tuple[str, ...]


@pytest.fixture(scope="module")
def server():
    """A control plane where owners need a right of their own, and where PodMonitors and ScaledObjects are known."""
    plugins = ("OwnerReferencesPermissionEnforcement",)
    with ApiServer(controllers=True, scheduler=True, audit=True, plugins=plugins) as server:
        server.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(body) for body in OPTIONAL_TYPES))
        server.kubectl("apply", "-k", str(ROOT / "deploy" / "crd"))
        server.wait_until_types_are_served()
        yield server


@pytest.fixture(params=["cluster-wide", "namespaced"])
def mode(request, server, tmp_path):
    if request.param == "cluster-wide":
        server.kubectl("apply", "-k", str(ROOT / "deploy"))
        server.kubectl("apply", "-k", str(ROOT / "deploy" / "cluster-reader"))
        space = Space(server, "llminference-system")
        roles = ("clusterrole/llminference-operator", CLUSTER_READER)
        settings = {"lease_namespace": space.namespace}
    else:
        space = Space(server, "team-a")
        server.kubectl("create", "namespace", space.namespace)
        base = os.path.relpath(ROOT / "deploy" / "namespaced", tmp_path)
        (tmp_path / "kustomization.yaml").write_text(json.dumps({"namespace": "team-a", "resources": [base]}))
        server.kubectl("apply", "-k", str(tmp_path))
        roles = ("role/llminference-operator",)
        settings = {"lease_namespace": space.namespace, "namespaces": space.namespace}
    space.kubectl("delete", "deployment", "--all")
    return Mode(space, settings, (*roles, "role/llminference-operator-lease"))


def granted(mode: Mode) -> set[Right]:
    rights: set[Right] = set()
    for role in mode.roles:
        for rule in json.loads(mode.space.kubectl("get", role, "-o", "json"))["rules"]:
            groups, resources, verbs = rule["apiGroups"], rule["resources"], rule["verbs"]
            rights |= {(group, resource, verb) for group in groups for resource in resources for verb in verbs}
    return rights


def asked(server: ApiServer, namespace: str) -> tuple[set[Right], set[Right]]:
    """What the operator was allowed, and what it was denied."""
    user, rights, denied = f"system:serviceaccount:{namespace}:{ACCOUNT}", set[Right](), set[Right]()
    for entry in read_json_lines(server.audit_log):
        place = entry.get("objectRef")
        if entry["user"]["username"] != user or place is None:
            continue
        resource = "/".join(filter(None, (place["resource"], place.get("subresource"))))
        group, allowed = place.get("apiGroup", ""), entry["annotations"]["authorization.k8s.io/decision"] == "allow"
        (rights if allowed else denied).add((group, resource, entry["verb"]))
        if entry["verb"] == "patch" and entry["responseStatus"]["code"] == HTTPStatus.CREATED:
            # An apply that makes an object is allowed only to those who may also create it.
            rights.add((group, resource, "create"))
    return rights, denied


def report_fetched(space: Space) -> None:
    """Say in the kubelet's place which commit the pods have fetched."""
    report = json.dumps({"revision": COMMIT, "bytes": 1, "seconds": 1})
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "message": report, "finishedAt": NOW}}
    status = {"initContainerStatuses": [container_status("fetch", ended)], "phase": "Pending"}
    for pod in space.list("pods"):
        if "initContainers" in pod["spec"]:
            space.set_pod_status(pod["metadata"]["name"], status)


def finish_rollout(space: Space, name: str) -> None:
    """Let the pods of the next version answer: what those before may need is kept until then."""

    def find_pods() -> list[Any]:
        pods = space.list("pods")
        return [pod for pod in pods if pod["metadata"]["labels"].get(labels.OWNER_LABEL) == name]

    for pod in eventually(lambda: pods if len(pods := find_pods()) > 1 else [], seconds=60):
        space.set_pod_status(pod["metadata"]["name"], ready_status(pod))


def wait_for_opinion(space: Space, name: str) -> None:
    """Wait until the operator has seen the latest spec and has said something about it."""

    def look() -> bool:
        body = space.need("llmi", name)
        return bool(body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"])

    eventually(look, f"the operator has an opinion of {name}", seconds=60)


def test_every_right_is_used_and_none_is_missing(server, mode, tmp_path):
    space = mode.space

    def all_rights_used():
        unused = granted(mode) - CHECKED_ELSEWHERE - asked(server, space.namespace)[0]
        assert not unused, "never used: " + ", ".join(f"{verb} {kind} {group}" for group, kind, verb in sorted(unused))
        return True

    account = server.kubeconfig_for_service_account(ACCOUNT, space.namespace)
    with OperatorProcess(account, tmp_path / "log", **mode.settings):
        bodies = [*(yaml.safe_load(path.read_text()) for path in EXAMPLES), make_body("short-lived", model=CACHED)]
        for body in bodies:
            space.apply(body)
        for body in bodies:
            wait_for_opinion(space, body["metadata"]["name"])
        report_fetched(space)
        eventually(
            lambda: space.kubectl("get", "configmaps", "-l", labels.OWNER_LABEL, "-o", "name"),
            "a pin is there",
            seconds=60,
        )
        # Everything that can be taken away, is.
        for body in bodies:
            small = make_body(body["metadata"]["name"], model={"claim": {"name": "models"}})
            space.kubectl("replace", "-f", "-", stdin=json.dumps(small))
        finish_rollout(space, "bert-claim")
        # A cache is kept while replicas of an older version are left.
        space.patch("llmi", "short-lived", {"spec": {"replicas": 0}})
        eventually(all_rights_used, seconds=60)
    # The optional reader is tried and done without.
    registrations = ("apiregistration.k8s.io", "apiservices", "get")
    optional = {("", "nodes", "list"), ("", "pods", "list"), registrations}
    assert asked(server, space.namespace)[1] <= (set() if CLUSTER_READER in mode.roles else optional)
