"""Operators of one namespace come, are upgraded and go, by kustomize, Helm 3 and Helm 4, while a model serves.

The operator that the other tests use rests meanwhile, so that the one under test is alone. That of the whole cluster is
in test_whole_cluster.py, the resource type's own upgrade and removal in tests/apiserver/test_install.py.
"""

import json
import os
from pathlib import Path

import pytest

import deploy
from llmi_api import labels
from llmi_testing.helm import MAJORS, Helm
from llmi_testing.live_cluster import eventually

ROOT = Path(__file__).parents[2]
BODY = {"inputs": "The capital of France is [MASK]."}
OPERATOR = "deployment/llminference-operator"
KINDS = (
    "deployments,replicasets,pods,services,serviceaccounts,configmaps,persistentvolumeclaims,horizontalpodautoscalers,"
    "poddisruptionbudgets,networkpolicies,roles,rolebindings,llminferences"
)


@pytest.fixture(scope="module")
def operator_image(kubectl, audit):
    """The image of the operator of all tests, which rests while these run."""
    system = ("-n", deploy.NAMESPACE)
    body = json.loads(kubectl(*system, "get", OPERATOR, "-o", "json"))
    kubectl(*system, "scale", OPERATOR, "--replicas=0")
    eventually(lambda: not kubectl(*system, "get", "pods", "-o", "name"), "it rests")
    with audit.excused():
        yield body["spec"]["template"]["spec"]["containers"][0]["image"]
        kubectl(*system, "scale", OPERATOR, "--replicas=2")
        kubectl(*system, "rollout", "status", OPERATOR, "--timeout=180s")


@pytest.fixture(scope="module")
def team(operator_image, shared):
    """A namespace of a team; the first operator that comes finds a model to serve."""
    shared.apply("tiny")
    return shared


class ByKustomize:
    """An overlay of deploy/namespaced, as docs/install.md shows it."""

    def __init__(self, cluster, operator_image, folder):
        self._cluster, self._image, self._folder = cluster, operator_image, folder

    def install(self, log_level):
        name, _, tag = self._image.rpartition(":")
        variables = {"LLMI_OPERATOR_SERVER_IMAGE": self._cluster.server_image, "LLMI_OPERATOR_LOG_LEVEL": log_level}
        container = {"name": "operator", "env": [{"name": n, "value": v} for n, v in variables.items()]}
        patch = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "llminference-operator"},
            "spec": {"template": {"spec": {"containers": [container]}}},
        }
        overlay = {
            "namespace": self._cluster.namespace,
            "resources": [os.path.relpath(ROOT / "deploy" / "namespaced", self._folder)],
            "images": [{"name": "llminference/operator", "newName": name, "newTag": tag}],
            "patches": [{"patch": json.dumps(patch), "target": {"kind": "Deployment"}}],
        }
        (self._folder / "kustomization.yaml").write_text(json.dumps(overlay))
        self._cluster.kubectl("apply", "-k", str(self._folder))

    def remove(self):
        self._cluster.kubectl("delete", "-k", str(self._folder))


class ByHelm:
    """The chart, for the namespace of the release."""

    def __init__(self, cluster, operator_image, major):
        self._cluster, self._image = cluster, operator_image
        self._helm = Helm(major, cluster.kubectl.kubeconfig)

    def install(self, log_level):
        values = {"watchNamespaces": [self._cluster.namespace], "crds.install": False, "settings.logLevel": log_level}
        for value, image in (("image", self._image), ("serverImage", self._cluster.server_image)):
            name, _, tag = image.rpartition(":")
            values |= {f"{value}.repository": name, f"{value}.tag": tag}
        self._helm.install(self._cluster.namespace, **values)

    def remove(self):
        self._helm.uninstall(self._cluster.namespace)


@pytest.fixture(params=["kustomize", *(f"helm{major}" for major in MAJORS)])
def installer(request, team, operator_image, tmp_path):
    if request.param == "kustomize":
        return ByKustomize(team, operator_image, tmp_path)
    return ByHelm(team, operator_image, int(request.param.removeprefix("helm")))


def model_pods(cluster):
    return {pod["metadata"]["uid"] for pod in cluster.objects("pods", "tiny")}


def operators_objects(cluster):
    return cluster("get", KINDS, "-l", "app.kubernetes.io/name=llminference-operator", "-o", "name").split()


def test_a_model_serves_while_its_operator_comes_is_upgraded_and_goes(team, installer):
    installer.install("info")
    team("rollout", "status", OPERATOR, "--timeout=180s")
    url = team.wait_ready("tiny")["url"]
    pods = model_pods(team)
    assert len(pods) == 1
    with team.load(url, rate=2, body=BODY) as load:
        installer.install("debug")
        team("rollout", "status", OPERATOR, "--timeout=180s")
        team.wait_until_obeyed("tiny")
        installer.remove()
        eventually(lambda: operators_objects(team) == [], "the operator is gone", seconds=60)
    assert load.result["failed"] == 0, load.result
    assert model_pods(team) == pods


def test_without_an_operator_deleting_the_resource_leaves_nothing_behind(team):
    assert operators_objects(team) == []
    assert team.objects("pods", "tiny")
    team("delete", "llmi", "tiny", "--wait=false")
    ours = f"{labels.MANAGED_BY_LABEL}={labels.MANAGED_BY}"
    eventually(lambda: not team("get", KINDS, "-l", ours, "-o", "name"), "all children are gone", seconds=90)
    assert team("get", KINDS, "-l", f"{labels.PART_OF_LABEL}=llminference", "-o", "name") == ""
