"""``CLUSTER=current``: a cluster that is not ours. It is looked at, after asking, and never changed from here."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import gobuild
from kubectl import Kubectl, whats_missing
from problems import CommandFailed, MissingTool, Refused, Unhealthy
from steps import say


def is_chosen() -> bool:
    """Tell whether the cluster is the person's own, which is only used and never made or filled."""
    return os.environ.get("CLUSTER") == "current"


def kubeconfig() -> Path:
    """Tell which kubeconfig kubectl would use."""
    first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(first) if first else Path.home() / ".kube" / "config"


def kubectl() -> Kubectl:
    """Give a kubectl that follows its own rules to the current cluster."""
    return Kubectl(_program(), None)


def check() -> None:
    """Ask whether the current cluster is meant, then tell whether it can be used."""
    kubectl = Kubectl(_program(), None)
    try:
        context = kubectl("config", "current-context").strip()
        server = kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
    except CommandFailed as error:
        raise Unhealthy(
            f"CLUSTER=current, but there is no current context in {kubeconfig()}.",
            "choose one with `kubectl config use-context`, or set KUBECONFIG",
        ) from error
    _ask(f"{context} ({server})")
    missing = whats_missing(kubectl)
    if any(text.startswith("the API server") for text in missing):
        raise Unhealthy(f"The cluster {context} does not answer: {missing[0]}.", "check the kubeconfig and the network")
    say(f"Using the cluster {context} as it is.")
    for text in missing:
        say(f"note: {text}")


def _program() -> Path:
    if found := shutil.which("kubectl"):
        return Path(found)
    if (ours := gobuild.kubernetes().path("kubectl")).exists():
        return ours
    raise MissingTool(
        "CLUSTER=current needs kubectl, which is not on PATH.",
        "install it, or run `python hack/cluster.py bin kubectl`",
    )


def _ask(which: str) -> None:
    if os.environ.get("CLUSTER_YES") == "1":
        return
    if not sys.stdin.isatty():
        raise Refused(
            f"CLUSTER=current would use {which}, and there is no terminal to ask on.", "say yes with CLUSTER_YES=1"
        )
    if input(f"Use the cluster {which}? Namespaces and workloads will be made in it. [y/N] ").lower() not in {
        "y",
        "yes",
    }:
        raise Refused("Not confirmed; nothing was done.", "use CLUSTER=kind for a cluster of our own")
