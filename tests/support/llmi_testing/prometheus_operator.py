"""The real Prometheus operator as a process, against a bare API server: its real types, its real role."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gobuild
from llmi_testing.apiserver import ApiServer
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port
from llmi_testing.module_files import find_module_file

USER = "prometheus-operator"
ROLE = "example/rbac/prometheus-operator/prometheus-operator-cluster-role.yaml"
RULES_FOLDER = "/etc/prometheus/rules"


@dataclass(frozen=True)
class Generated:
    """What it makes for a Prometheus: its configuration, and files of rules by their names."""

    configuration: str
    rules: dict[str, str]

    def write(self, folder: Path) -> Path:
        """Write it down for a Prometheus on this machine; gives the configuration's file."""
        place = folder / "rules" / "0"
        place.mkdir(parents=True)
        for name, text in self.rules.items():
            (place / name).write_text(text)
        file = folder / "prometheus.yaml"
        found = [line for line in self.configuration.splitlines() if RULES_FOLDER in line]
        assert len(found) == 1, self.configuration
        text = self.configuration.replace(found[0], f"- {place}/*.yaml")
        # What its config-reloader fills in, in the pod.
        file.write_text(text.replace("$(SHARD)", "0").replace("$(POD_NAME)", "prometheus-all-0"))
        return file


def install_types(server: ApiServer) -> None:
    """Bring its types, all of them."""
    types = find_module_file(USER, gobuild.PROMETHEUS_OPERATOR_MODULE, "example/prometheus-operator-crd")
    server.kubectl("create", "-f", str(types))
    server.wait_until_types_are_served()


@contextmanager
def running_prometheus_operator(server: ApiServer, folder: Path) -> Iterator[Path]:
    """Run it while the block runs, its types being there; gives its log."""
    server.kubectl("apply", "-f", str(find_module_file(USER, gobuild.PROMETHEUS_OPERATOR_MODULE, ROLE)))
    server.kubectl("create", "clusterrolebinding", USER, f"--clusterrole={USER}", f"--user={USER}")
    certificate = folder / "operator.crt"
    server.sign(certificate, f"/CN={USER}")
    flags = {
        "apiserver": server.url,
        "ca-file": server.folder / "ca.crt",
        "cert-file": certificate,
        "key-file": certificate.with_suffix(".key"),
        "web.listen-address": f"127.0.0.1:{free_port()}",
        "kubelet-endpoints": "false",
    }
    argv = [
        str(gobuild.prometheus_operator().path("operator")),
        *(f"--{name}={value}" for name, value in flags.items()),
    ]
    log = folder / "operator.log"
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, start_new_session=True)
    try:
        yield log
        assert process.poll() is None, log.read_text()[-4000:]
    except BaseException:
        print(f"--- {log}\n{log.read_text()[-8000:]}")
        raise
    finally:
        process.terminate()
        process.wait(30)


def make_prometheus(server: ApiServer, namespace: str, token_file: Path) -> dict[str, Any]:
    """A Prometheus that takes every monitor and rule there is, and finds pods at a server outside of the cluster."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": "all", "namespace": namespace},
        "spec": {
            "version": f"v{gobuild.PROMETHEUS_VERSION}",
            "podMonitorSelector": {},
            "podMonitorNamespaceSelector": {},
            "ruleSelector": {},
            "ruleNamespaceSelector": {},
            "apiserverConfig": {
                "host": server.url,
                "tlsConfig": {"caFile": str(server.folder / "ca.crt")},
                "authorization": {"credentialsFile": str(token_file)},
            },
        },
    }


def read_generated(server: ApiServer, namespace: str) -> Generated:
    """Wait until there is a configuration for the Prometheus that was made, and read it."""

    def read(kind: str, name: str) -> dict[str, str]:
        text = server.kubectl("-n", namespace, "get", kind, name, "--ignore-not-found", "-o", "json")
        found: dict[str, str] = json.loads(text)["data"] if text.strip() else {}
        return found

    packed = eventually(lambda: read("secret", "prometheus-all"), "a configuration is made", seconds=90)
    rules = eventually(lambda: read("configmap", "prometheus-all-rulefiles-0"), "rules are written down", seconds=90)
    return Generated(gzip.decompress(base64.b64decode(packed["prometheus.yaml.gz"])).decode(), rules)
