"""What is made for every golden case is what Kubernetes' own schemas and its strictest pod standard accept."""

import json
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.apiserver
CASES = sorted(path.parent for path in (Path(__file__).parents[1] / "golden").glob("*/expected.yaml"))
NAMESPACE = "models"
PRIORITY = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "serving"},
    "value": 1000,
}
RUNTIME = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"}


def children(case):
    return list(yaml.safe_load_all((case / "expected.yaml").read_text()))


@pytest.fixture(scope="module")
def restricted(control_plane):
    """The namespace of the golden cases, which takes restricted pods only."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    # By name alone: the garbage collector takes what has an owner that does not exist.
    names = [child["metadata"]["name"] for case in CASES for child in children(case) if child["kind"] == "Deployment"]
    accounts = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}
        for name in names
    ]
    objects = [namespace, PRIORITY, RUNTIME, *accounts]
    try:
        control_plane.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(body) for body in objects))
        yield control_plane
    finally:
        control_plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false", "--ignore-not-found")
        # Other tests are about classes that do not exist.
        control_plane.kubectl("delete", "priorityclass/serving", "runtimeclass/nvidia", "--ignore-not-found")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_manifest_keeps_to_kubernetes_own_schema(restricted, case):
    # The schemas of these are not Kubernetes'; test_pod_monitor.py and test_keda.py have them.
    bodies = [child for child in children(case) if child["kind"] not in {"PodMonitor", "ScaledObject"}]
    text = "\n---\n".join(json.dumps(body) for body in bodies)
    words = ["--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts"]
    said = restricted.kubectl("apply", *words, "-f", "-", stdin=text)
    assert said.count("serverside-applied") == len(bodies)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_pod_passes_the_restricted_standard_where_it_is_enforced(restricted, case):
    template = next(child for child in children(case) if child["kind"] == "Deployment")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "golden"}}
    said = restricted.kubectl("-n", NAMESPACE, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert "pod/golden created" in said
