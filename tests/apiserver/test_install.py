"""The operator for the whole cluster: installed, upgraded, rolled back and removed, by kustomize, Helm 3 and Helm 4.

The operator runs as a process with the account that each of them makes, because there is no kubelet here;
tests/cluster/test_install.py runs the real pods, in namespaces of their own.
"""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from llmi_api import labels
from llmi_testing.apiserver import ApiServer
from llmi_testing.eventually import eventually
from llmi_testing.helm import CHART, MAJORS, RELEASE, Helm
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.space import Space

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]
SYSTEM = "llminference-system"
CRD = f"{labels.PLURAL}.{labels.GROUP}"
NEW_FIELD = "paused"
OPERATORS = ("deployment", "service", "serviceaccount", "role", "rolebinding", "pdb", "networkpolicy")
OURS = (f"{labels.PART_OF_LABEL}=llminference", f"{labels.MANAGED_BY_LABEL}={labels.MANAGED_BY}")


@pytest.fixture(scope="module")
def server():
    with ApiServer(controllers=True) as server:
        yield server


def older(text: str) -> str:
    """The resource type as it was before a field came."""
    body = yaml.safe_load(text)
    spec = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"][NEW_FIELD]
    return yaml.safe_dump(body)


class ByKustomize:
    """What docs/install.md says for kubectl."""

    def __init__(self, server: ApiServer, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def install_older(self) -> None:
        copy = self._folder / "older"
        shutil.copytree(ROOT / "deploy", copy / "deploy", ignore=shutil.ignore_patterns("chart"))
        shutil.copytree(ROOT / "crds", copy / "crds")
        path = copy / "crds" / f"{labels.PLURAL}.yaml"
        path.write_text(older(path.read_text()))
        self._server.kubectl("apply", "-k", str(copy / "deploy"))

    def upgrade(self) -> None:
        self._server.kubectl("apply", "-k", str(ROOT / "deploy"))

    def go_back(self) -> None:
        self._server.kubectl("apply", "-k", str(self._folder / "older" / "deploy"))

    def remove_operator(self) -> None:
        self._server.kubectl("delete", "-k", str(ROOT / "deploy" / "cluster-wide"))


class ByHelm:
    """What docs/install.md says for Helm."""

    def __init__(self, server: ApiServer, folder: Path, major: int) -> None:
        self._server = server
        self._folder = folder
        self._helm = Helm(major, server.kubeconfig)

    def install_older(self) -> None:
        copy = self._folder / "chart"
        shutil.copytree(CHART, copy)
        path = copy / "files" / f"{labels.PLURAL}.yaml"
        path.write_text(older(path.read_text()))
        self._helm.install(SYSTEM, "--create-namespace", chart=copy)

    def upgrade(self) -> None:
        self._helm.install(SYSTEM)

    def go_back(self) -> None:
        self._helm("rollback", RELEASE, "1", "--namespace", SYSTEM)

    def remove_operator(self) -> None:
        self._helm.uninstall(SYSTEM)
        self._server.kubectl("delete", "namespace", SYSTEM)


@pytest.fixture(params=["kustomize", *(f"helm{major}" for major in MAJORS)])
def installer(request, server, tmp_path):
    if request.param == "kustomize":
        return ByKustomize(server, tmp_path)
    return ByHelm(server, tmp_path, int(request.param.removeprefix("helm")))


def knows_the_field(server: ApiServer) -> bool:
    body = json.loads(server.kubectl("get", "crd", CRD, "-o", "json"))
    spec = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return NEW_FIELD in spec["properties"]


def children(space: Space) -> dict[str, str]:
    """All that belongs to the resource, and its pods, with their uids."""
    kinds = ",".join((*OPERATORS, "pods", "replicasets"))
    words = ["get", kinds, "-l", f"{labels.OWNER_LABEL}=bert", "-o", "json"]
    return {
        f"{i['kind']}/{i['metadata']['name']}": i["metadata"]["uid"] for i in json.loads(space.kubectl(*words))["items"]
    }


def left_behind(server: ApiServer) -> list[str]:
    """Everything in the cluster that carries a label of ours, of whatever kind."""
    kinds = server.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    names = ",".join(kind for kind in kinds if not kind.startswith(("events", "componentstatuses")))
    found: list[str] = []
    for selector in OURS:
        found += server.kubectl("get", names, "--all-namespaces", "-l", selector, "-o", "name").split()
    return found


def nothing_is_left(server: ApiServer) -> bool:
    left = left_behind(server)
    assert left == []
    return True


def test_install_upgrade_go_back_and_remove(server, installer, tmp_path):
    installer.install_older()
    server.wait_until_types_are_served()
    assert not knows_the_field(server)
    server.kubectl("create", "namespace", "models")
    space = Space(server, "models")
    account = server.kubeconfig_for_service_account("llminference-operator", SYSTEM)
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body())
        space.wait_for_pods(1)
        space.wait_for_reason("bert", "Starting")
        before = children(space)
        assert len(before) > 4
        installer.upgrade()
        eventually(lambda: knows_the_field(server), "the upgrade brings the new resource type")
        space.patch("llmi", "bert", {"metadata": {"labels": {"team": "search"}}})
        installer.go_back()
        eventually(lambda: not knows_the_field(server), "the old resource type is back")
        installer.upgrade()
        assert space.status("bert")["observedGeneration"] == 1
        assert children(space) == before
    installer.remove_operator()
    # Without its operator the model goes on, and so does the resource.
    assert space.get("llmi", "bert")
    assert children(space) == before
    assert json.loads(server.kubectl("get", "clusterrolebindings", "-l", OURS[0], "-o", "json"))["items"] == []
    server.kubectl("delete", "llminferences", "--all", "--all-namespaces", "--cascade=foreground")
    assert children(space) == {}
    server.kubectl("delete", "-k", str(ROOT / "deploy" / "crd"))
    eventually(lambda: nothing_is_left(server), seconds=60)
    server.kubectl("delete", "namespace", "models")


def test_two_releases_cannot_both_own_the_resource_type(server):
    helm = Helm(4, server.kubeconfig)
    helm.install("first", "--create-namespace", watchNamespaces=["first"])
    try:
        words = ["upgrade", "--install", "second", str(CHART), "-n", "second", "--create-namespace"]
        complaint = helm(*words, "--set-json", 'watchNamespaces=["second"]', fails=True)
        assert "invalid ownership metadata" in complaint or "conflict" in complaint, complaint
        helm("uninstall", "second", "-n", "second", "--ignore-not-found")
        helm(*words, "--set-json", 'watchNamespaces=["second"]', "--set", "crds.install=false")
        helm("uninstall", "second", "-n", "second")
    finally:
        helm.uninstall("first")
        server.kubectl("delete", "-k", str(ROOT / "deploy" / "crd"))
        server.kubectl("delete", "namespace", "first", "second", "--ignore-not-found")
    eventually(lambda: nothing_is_left(server), seconds=60)
