"""KEDA's own operator as a process, against a bare API server: its real types, its real roles."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gobuild
from llmi_testing.apiserver import ApiServer
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port
from llmi_testing.module_files import find_module_file

_CONFIG = ("general/namespace.yaml", "service_account/service_account.yaml", "rbac/role.yaml", "rbac/role_binding.yaml")
_NAMESPACE = "keda"


def is_built() -> bool:
    """Whether it is there: building it takes longer than a test may."""
    return gobuild.keda().artifact.is_built()


@contextmanager
def running_keda(server: ApiServer, folder: Path) -> Iterator[Path]:
    """Install and run it while the block runs; gives its log. It asks no API server for external metrics of its own."""
    config = find_module_file("keda", gobuild.KEDA_MODULE, "config")
    server.kubectl("create", "-f", str(config / "crd" / "bases"))
    server.wait_until_types_are_served()
    for file in _CONFIG:
        server.kubectl("apply", "-f", str(config / file))
    for own, theirs in (("server.crt", "tls.crt"), ("server.key", "tls.key"), ("ca.crt", "ca.crt")):
        shutil.copy(server.folder / own, folder / theirs)
    argv = [
        str(gobuild.keda().path("operator")),
        f"--kubeconfig={server.kubeconfig_for_service_account('keda-operator', _NAMESPACE)}",
        f"--cert-dir={folder}",
        "--metrics-bind-address=127.0.0.1:0",
        f"--metrics-service-bind-address=127.0.0.1:{free_port()}",
        "--health-probe-bind-address=127.0.0.1:0",
    ]
    environment = {
        **os.environ,
        "POD_NAMESPACE": _NAMESPACE,
        "WATCH_NAMESPACE": "",
        "KEDA_CLUSTER_OBJECT_NAMESPACE": _NAMESPACE,
    }
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(argv, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        eventually(lambda: "Starting workers" in _read(process, log), "KEDA works", seconds=90)
        yield log
    except BaseException:
        print(f"--- {log}\n{log.read_text()[-8000:]}")
        raise
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _read(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.poll() is None, log.read_text()[-4000:]
    return log.read_text()
