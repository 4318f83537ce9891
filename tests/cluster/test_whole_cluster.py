"""The operator of the whole cluster is upgraded, removed, and brought back by Helm, while a model serves.

The last of the cluster's tests: meanwhile nothing else is looked after. kubectl puts the operator back at the end.
"""

import json
import shutil
from pathlib import Path

import pytest

import deploy
from llmi_testing.helm import Helm
from llmi_testing.live_cluster import eventually

ROOT = Path(__file__).parents[2]
BODY = {"inputs": "The capital of France is [MASK]."}


@pytest.fixture
def system(kubectl, audit):
    """Ask kubectl about the operator's namespace; afterwards the operator is as it was."""

    def ask(*words):
        return kubectl("-n", deploy.NAMESPACE, *words)

    with audit.excused():
        yield ask
        kubectl("apply", "-k", str(deploy.OVERLAY))
        rolled_out(ask)


def rolled_out(system):
    system("rollout", "status", deploy.OPERATOR, "--timeout=180s")


def upgrade(kubectl, folder):
    """Apply the same overlay with another setting, as docs/install.md says."""
    overlay = json.loads((deploy.OVERLAY / "kustomization.yaml").read_text())
    patch = json.loads(overlay["patches"][0]["patch"])
    patch["spec"]["template"]["spec"]["containers"][0]["env"].append(
        {"name": "LLMI_OPERATOR_LOG_LEVEL", "value": "debug"}
    )
    overlay["patches"][0]["patch"] = json.dumps(patch)
    # Kustomize takes no resources from above an absolute path.
    shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("chart"))
    shutil.copytree(ROOT / "crds", folder / "crds")
    place = folder / "build" / "deploy"
    place.mkdir(parents=True)
    (place / "kustomization.yaml").write_text(json.dumps(overlay))
    kubectl("apply", "-k", str(place))


def helm_values(system_deployment, log_level):
    container = system_deployment["spec"]["template"]["spec"]["containers"][0]
    variables = {item["name"]: item.get("value", "") for item in container["env"]}
    values = {"crds.install": False, "settings.logLevel": log_level}
    images = {"image": container["image"], "serverImage": variables["LLMI_OPERATOR_SERVER_IMAGE"]}
    for value, image in images.items():
        name, _, tag = image.rpartition(":")
        values |= {f"{value}.repository": name, f"{value}.tag": tag}
    return values


def test_a_model_serves_while_the_operator_of_the_cluster_changes_goes_and_comes_back(
    cluster, kubectl, system, tmp_path
):
    cluster.apply("tiny")
    url = cluster.wait_ready("tiny")["url"]
    pods = {pod["metadata"]["uid"] for pod in cluster.objects("pods", "tiny")}
    before = json.loads(system("get", deploy.OPERATOR, "-o", "json"))
    helm = Helm(4, kubectl.kubeconfig)
    with cluster.load(url, rate=10, body=BODY) as load:
        upgrade(kubectl, tmp_path)
        rolled_out(system)
        cluster.wait_until_obeyed("tiny")
        kubectl("delete", "-k", str(ROOT / "deploy" / "cluster-wide"))
        eventually(lambda: not kubectl("get", "namespace", deploy.NAMESPACE, "--ignore-not-found"), "gone", seconds=90)
        for log_level in ("info", "debug"):
            helm.install(deploy.NAMESPACE, "--create-namespace", **helm_values(before, log_level))
            rolled_out(system)
            cluster.wait_until_obeyed("tiny")
        helm.uninstall(deploy.NAMESPACE)
        eventually(lambda: not system("get", "pods", "-o", "name"), "the operator is gone", seconds=60)
    assert load.result["failed"] == 0, load.result
    assert {pod["metadata"]["uid"] for pod in cluster.objects("pods", "tiny")} == pods
