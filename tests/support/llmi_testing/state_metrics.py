"""The real kube-state-metrics as a process, with the configuration and the rights of deploy/observability."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

import gobuild
from llmi_testing.apiserver import ROOT, ApiServer
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port

OVERLAY = ROOT / "deploy" / "observability" / "kube-state-metrics"
SYSTEM, NAME = "llminference-system", "kube-state-metrics"
FILE = "custom-resource-state.yaml"
OF_ITS_OWN = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": NAME},
    "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}],
}
"""What its own manifests give it for the pods; what our type needs comes from the overlay."""


@dataclass(frozen=True)
class StateMetrics:
    """It runs, and can be asked."""

    port: int
    log: Path

    def series(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Labels and values by the name of the metric."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=60).text
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
        return found

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the only series with a name and labels; None when there is none."""
        values = [value for found, value in self.series().get(name, []) if labels.items() <= found.items()]
        assert len(values) < 2, f"{len(values)} series of {name}{labels}"
        return values[0] if values else None


@contextmanager
def running_state_metrics(server: ApiServer, folder: Path) -> Iterator[StateMetrics]:
    """Run it against a control plane with our types while the block runs, as the docs say that it is to be run."""
    kubeconfig, ports = _install(server), (free_port(), free_port())
    data = json.loads(server.kubectl("-n", SYSTEM, "get", "configmap", "llminference-state-metrics", "-o", "json"))
    (folder / FILE).write_text(data["data"][FILE])
    flags = {
        "kubeconfig": kubeconfig,
        "resources": "pods",
        "custom-resource-state-config-file": folder / FILE,
        "host": "127.0.0.1",
        "port": ports[0],
        "telemetry-host": "127.0.0.1",
        "telemetry-port": ports[1],
    }
    found = StateMetrics(ports[0], folder / "kube-state-metrics.log")
    argv = [str(gobuild.state_metrics().path(NAME)), *(f"--{name}={value}" for name, value in flags.items())]
    with found.log.open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    try:
        eventually(lambda: _answers(process, found), "kube-state-metrics answers", seconds=120)
        yield found
    finally:
        process.kill()
        process.wait()


def _install(server: ApiServer) -> Path:
    """Apply the overlay and bind its role as it asks for; give the account's kubeconfig."""
    server.kubectl("apply", "-k", str(OVERLAY))
    server.kubectl("-n", SYSTEM, "create", "serviceaccount", NAME)
    server.kubectl("create", "-f", "-", stdin=json.dumps(OF_ITS_OWN))
    for role in (NAME, "llminference-state-metrics"):
        words = [f"--clusterrole={role}", f"--serviceaccount={SYSTEM}:{NAME}"]
        server.kubectl("create", "clusterrolebinding", f"{NAME}-{role}", *words)
    return server.kubeconfig_for_service_account(NAME, SYSTEM)


def _answers(process: subprocess.Popen[bytes], found: StateMetrics) -> bool:
    assert process.poll() is None, found.log.read_text()[-4000:]
    try:
        return "llminference_info" in httpx.get(f"http://127.0.0.1:{found.port}/metrics", timeout=10).text
    except httpx.TransportError:
        return False
