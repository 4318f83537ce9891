"""A newer operator takes over from an older one, and the older one again, and no pod notices.

The older one is the commit in the file upgrade_baseline, taken out of the repository's own history: with its CRD, its
roles and its golden inputs.
"""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from llmi_testing.api import Api
from llmi_testing.apiserver import ROOT, ApiServer
from llmi_testing.control_plane import SYSTEM, make_account
from llmi_testing.eventually import eventually
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.passes import wait_for_passes, wait_until_idle
from llmi_testing.pretend_node import PretendNode

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
BASELINE = Path(__file__).with_name("upgrade_baseline").read_text().split()[0]
NAMESPACE = "generated-upgrade"


@pytest.fixture
def older(tmp_path):
    """The tree of the older version."""
    archive = subprocess.run(["git", "archive", BASELINE], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        pytest.skip(f"the history ends before {BASELINE[:12]}: git fetch --unshallow brings it")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(tmp_path / "older", filter="data")
    return tmp_path / "older"


@pytest.fixture
def own_server():
    """A control plane of this test alone, because the CRD changes in it."""
    with ApiServer(controllers=True) as server:
        yield server


def install(server, tree):
    server.kubectl("apply", "-k", str(tree / "deploy"))
    server.kubectl("-n", SYSTEM, "delete", "deployment", "--all", "--wait=false")
    server.wait_until_types_are_served()


def pods_of(api):
    """What a restart or a rollout would change."""
    return sorted(
        (pod["metadata"]["name"], pod["metadata"]["uid"], pod["metadata"]["labels"]["pod-template-hash"])
        for pod in api.list("pods", NAMESPACE)
    )


def all_pods_are_made(api):
    """Whether no ReplicaSet lacks a pod that it has not been refused."""
    sets = api.list("replicasets", NAMESPACE)
    behind = [
        body["metadata"]["name"]
        for body in sets
        if body["status"].get("observedGeneration", 0) != body["metadata"]["generation"]
        or (body["status"]["replicas"] != body["spec"]["replicas"] and not body["status"].get("conditions"))
    ]
    assert not behind, behind
    return bool(sets)


def templates_of(api):
    """The generation counts every change of a Deployment's spec, the template is in it."""
    return {body["metadata"]["name"]: body["spec"]["template"] for body in api.list("deployments", NAMESPACE)}


def run_until_settled(server, tree, log, resources):
    """Run the operator of a tree until it has looked at everything twice and has nothing more to do."""
    install(server, tree)
    with OperatorProcess(make_account(server), log, source=tree, resync_seconds="1") as process:
        eventually(process.is_leader)
        wait_for_passes(process, 2 * resources, seconds=120)
        wait_until_idle(process)


def test_no_pod_restarts_when_the_operator_is_upgraded_and_rolled_back(own_server, older, tmp_path):
    inputs = {path.parent.name.replace("_", "-"): path for path in sorted(older.glob("tests/golden/*/input.yaml"))}
    assert inputs
    api = Api(own_server)
    with PretendNode(Api(own_server)):
        api.create("namespaces", "", {"metadata": {"name": NAMESPACE}})
        install(own_server, older)
        for name, path in inputs.items():
            body = yaml.safe_load(path.read_text())
            body["metadata"] = {**body["metadata"], "name": name, "namespace": NAMESPACE}
            eventually(lambda body=body: api.create("llminferences", NAMESPACE, body))
        run_until_settled(own_server, older, tmp_path / "before", len(inputs))
        eventually(lambda: len(templates_of(api)) == len(inputs) and all_pods_are_made(api), seconds=90)
        pods, templates = pods_of(api), templates_of(api)
        run_until_settled(own_server, ROOT, tmp_path / "newer", len(inputs))
        assert pods_of(api) == pods, "the upgrade restarts pods"
        assert templates_of(api) == templates
        run_until_settled(own_server, older, tmp_path / "after", len(inputs))
        assert pods_of(api) == pods, "the way back restarts pods"
        assert templates_of(api) == templates
    api.close()
