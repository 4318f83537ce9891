"""The cluster tier: a kind cluster with the operator on it. ``make test-cluster`` brings both up."""

import json
import os
import secrets
from pathlib import Path

import pytest

import current
import deploy
import kind_cluster
import models
from llmi_testing.auditing import Audit
from llmi_testing.hub_pod import start_hub
from llmi_testing.live_cluster import LiveCluster, eventually
from problems import Problem

ROOT = Path(__file__).parents[2]
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
PRICES = "currency: USD\nsource: made up\nnodes: {kind-node: {perHour: 2}}\n"
READER = str(ROOT / "deploy" / "cluster-reader")
ADAPTER = ROOT / "deploy" / "metrics-adapter"
REGISTRATION = "apiservice/v1beta2.custom.metrics.k8s.io"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.cluster)
        item.add_marker(pytest.mark.timeout(420))


@pytest.fixture(scope="session")
def kubectl():
    if current.is_chosen():
        pytest.skip("CLUSTER=current: these tests load model images into the nodes of a kind cluster")
    try:
        kubectl = kind_cluster.kubectl()
        kubectl("-n", deploy.NAMESPACE, "rollout", "status", deploy.OPERATOR, "--timeout=180s")
    except Problem as problem:
        pytest.fail(f"The operator does not run on a kind cluster; run `make test-cluster`. {problem}")
    models.make_and_load()
    return kubectl


@pytest.fixture(scope="session")
def server_image(kubectl):
    text = kubectl("-n", deploy.NAMESPACE, "get", deploy.OPERATOR, "-o", "json")
    variables = json.loads(text)["spec"]["template"]["spec"]["containers"][0]["env"]
    return next(variable["value"] for variable in variables if variable["name"] == "LLMI_OPERATOR_SERVER_IMAGE")


@pytest.fixture(scope="session", autouse=True)
def audit(kubectl, tmp_path_factory):
    """Watches over all tests, on real pods; what it finds fails the run at its end."""
    folder = tmp_path_factory.mktemp("audit")
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    with Audit(kubeconfig, folder) as audit:
        yield audit
        findings = audit.findings()
        assert not findings, "\n".join(map(str, findings))


def make_namespace(kubectl, name, labels):
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    kubectl("apply", "-f", "-", stdin=json.dumps(body))
    # Pods may only be made once the namespace's default account is there.
    eventually(
        lambda: kubectl("-n", name, "get", "serviceaccount", "default", "--ignore-not-found"), "account", seconds=90
    )


@pytest.fixture(scope="session")
def hub(kubectl, server_image):
    """A model hub in a pod; gives its address. Its namespace is not restricted: it reads a folder of the node."""
    cluster = LiveCluster(kubectl, server_image, f"hub-{secrets.token_hex(3)}")
    make_namespace(kubectl, cluster.namespace, {})
    yield start_hub(cluster)
    kubectl("delete", "namespace", cluster.namespace, "--wait=false")


@pytest.fixture
def cluster(kubectl, server_image, request):
    """A namespace of the test's own, which enforces Pod Security `restricted`."""
    cluster = LiveCluster(kubectl, server_image, f"test-{secrets.token_hex(3)}")
    make_namespace(kubectl, cluster.namespace, RESTRICTED)
    yield cluster
    kubectl("delete", "namespace", cluster.namespace, "--wait=false")


@pytest.fixture(scope="module")
def shared(kubectl, server_image):
    """A namespace that the tests of one module share."""
    cluster = LiveCluster(kubectl, server_image, f"test-{secrets.token_hex(3)}")
    make_namespace(kubectl, cluster.namespace, RESTRICTED)
    yield cluster
    kubectl("delete", "namespace", cluster.namespace, "--wait=false")


@pytest.fixture
def priced(kubectl, audit):
    """Prices for all nodes, and an operator that has them at once: the kubelet takes a minute or so by itself."""
    metadata = {"name": "llminference-prices", "namespace": deploy.NAMESPACE}
    prices = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"prices.yaml": PRICES}}
    try:
        kubectl("apply", "-k", READER)
        kubectl("label", "nodes", "--all", "--overwrite", f"{INSTANCE_TYPE}=kind-node")
        kubectl("apply", "-f", "-", stdin=json.dumps(prices))
        with audit.excused():
            kubectl("-n", deploy.NAMESPACE, "rollout", "restart", deploy.OPERATOR)
            kubectl("-n", deploy.NAMESPACE, "rollout", "status", deploy.OPERATOR, "--timeout=180s")
        yield
    finally:
        kubectl("-n", deploy.NAMESPACE, "delete", "configmap", metadata["name"], "--ignore-not-found")
        kubectl("label", "nodes", "--all", f"{INSTANCE_TYPE}-")
        kubectl("delete", "-k", READER, "--ignore-not-found")


@pytest.fixture
def metrics_adapter(kubectl, tmp_path):
    """The adapter, from the operator's image, until the end of the test."""
    text = kubectl("-n", deploy.NAMESPACE, "get", deploy.OPERATOR, "-o", "json")
    image = json.loads(text)["spec"]["template"]["spec"]["containers"][0]["image"]
    name, _, tag = image.rpartition(":")
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(ADAPTER, tmp_path)],
        "images": [{"name": "llminference/operator", "newName": name, "newTag": tag}],
    }
    (tmp_path / "kustomization.yaml").write_text(json.dumps(overlay))
    try:
        kubectl("apply", "-k", str(tmp_path))
        eventually(lambda: kubectl("get", REGISTRATION, "--ignore-not-found"), "it has registered", seconds=90)
        kubectl("wait", "--for=condition=Available", REGISTRATION, "--timeout=180s")
        yield
    finally:
        kubectl("delete", "-k", str(tmp_path), "--wait=false", "--ignore-not-found")
        eventually(lambda: not kubectl("get", REGISTRATION, "--ignore-not-found"), "it is gone", seconds=60)
