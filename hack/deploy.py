"""Puts images and operator on the cluster: ``python hack/deploy.py``.

The images get a tag made from their contents, so that a rebuilt one is rolled out and an unchanged one is not.
With ``CLUSTER=current`` the cluster must be able to pull them: name them in ``LLMI_OPERATOR_IMAGE``,
``LLMI_SERVER_IMAGE`` and, for ``engine.name: triton``, ``LLMI_TRITON_IMAGE``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import current
import kind_cluster
import models
from bringing_up import bring_up
from docker_engine import name_by_contents
from images import BUILT, OPERATOR_IMAGE, SERVER_IMAGE, TRITON_IMAGE
from images import steps as image_steps
from kubectl import Kubectl
from loading import load
from mode import Mode
from problems import Refused
from steps import Step, run_steps, say, sh, tell_and_exit

ROOT = Path(__file__).resolve().parent.parent
OVERLAY = ROOT / "build" / "deploy"
NAMESPACE = "llminference-system"
OPERATOR = "deployment/llminference-operator"
ROLLOUT_SECONDS = 120


def kubectl() -> Kubectl:
    """Find a kubectl for the cluster in use."""
    return current.kubectl() if current.is_chosen() else kind_cluster.kubectl()


def up(mode: Mode, workers: int | None) -> bool:
    """Bring up the cluster with our images built beside it, and the operator on it.

    Returns:
        Whether the models must come from this machine: then those of hack/models.py are on the nodes.
    """
    if current.is_chosen():
        current.check()
        run_steps(steps())
        return False
    bring_up(mode, workers, beside=_beside)
    offline = kind_cluster.mode_of(kind_cluster.nodes()) is Mode.BUILD
    loads = [Step("models onto the nodes", models.put_on_nodes)] if offline else []
    run_steps([*loads, *steps(after=tuple(step.name for step in loads))])
    return offline


def _beside(mode: Mode, after: tuple[str, ...]) -> list[Step]:
    made = [Step("models", models.make)] if mode is Mode.BUILD else []
    return [*made, *image_steps(mode, after)]


def steps(after: tuple[str, ...] = ()) -> list[Step]:
    """Give the steps from built images to a running operator."""
    loads = [] if current.is_chosen() else [Step("images onto the nodes", _load, after=after)]
    return [
        *loads,
        Step(
            "operator onto the cluster",
            _apply,
            after=tuple(step.name for step in loads) or after,
            remedy=f"look at `kubectl -n {NAMESPACE} get pods` and at the pods' logs",
        ),
    ]


def _tagged() -> dict[str, str]:
    """Our images under the names that the cluster shall use."""
    if current.is_chosen():
        names = {OPERATOR_IMAGE: "LLMI_OPERATOR_IMAGE", SERVER_IMAGE: "LLMI_SERVER_IMAGE"}
        if missing := [variable for variable in names.values() if not os.environ.get(variable)]:
            raise Refused(
                f"CLUSTER=current needs images that the cluster can pull; {' and '.join(missing)} not set.",
                "push the images that `make images` builds to your registry, and name them there",
            )
        names[TRITON_IMAGE] = "LLMI_TRITON_IMAGE"
        return {image: os.environ[variable] for image, variable in names.items() if variable in os.environ}
    return {image: name_by_contents(image) for image in BUILT}


def _load(log: Path) -> None:
    for image, tagged in _tagged().items():
        sh(["docker", "tag", image, tagged], log)
    load(list(_tagged().values()), kind_cluster.workers())


def _apply(log: Path) -> None:
    tagged = _tagged()
    name, _, tag = tagged[OPERATOR_IMAGE].rpartition(":")
    settings = {"LLMI_OPERATOR_SERVER_IMAGE": SERVER_IMAGE, "LLMI_OPERATOR_TRITON_IMAGE": TRITON_IMAGE}
    variables = [{"name": name, "value": tagged[image]} for name, image in settings.items() if image in tagged]
    container = {"name": "operator", "env": variables}
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": OPERATOR.partition("/")[2]},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../deploy"],
        "images": [{"name": OPERATOR_IMAGE.partition(":")[0], "newName": name, "newTag": tag}],
        "patches": [{"patch": json.dumps(patch), "target": {"kind": "Deployment"}}],
    }
    OVERLAY.mkdir(parents=True, exist_ok=True)
    (OVERLAY / "kustomization.yaml").write_text(json.dumps(overlay, indent=2))
    cluster = kubectl()
    sh([cluster.program, "apply", "-k", OVERLAY], log, environment(cluster))
    wait = ["rollout", "status", OPERATOR, "-n", NAMESPACE, f"--timeout={ROLLOUT_SECONDS}s"]
    sh([cluster.program, *wait], log, environment(cluster))


def environment(cluster: Kubectl) -> dict[str, str]:
    """Tell a program which cluster is meant."""
    return {"KUBECONFIG": str(cluster.kubeconfig)} if cluster.kubeconfig else {}


def main() -> None:
    """Entry point of ``make deploy``."""
    offline = up(Mode(os.environ.get("CLUSTER_MODE", "auto")), workers=None)
    example = "local/" if offline else "bert-large-uncased.yaml"
    with_kubeconfig = "" if current.is_chosen() else f" --kubeconfig {kind_cluster.KUBECONFIG}"
    say(f"The operator runs. Next: kubectl{with_kubeconfig} apply -f examples/{example}")


if __name__ == "__main__":
    tell_and_exit(main)
