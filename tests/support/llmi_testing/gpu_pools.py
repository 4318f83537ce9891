"""Two pools of GPU nodes, labelled and tainted as GKE does it; only kubelet and scheduler believe in the GPUs.

The kubelet remembers a device plugin that is gone: the nodes go on offering 0 of each resource.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

import kind_cluster
from llmi_testing.live_cluster import SUPPORT, LiveCluster, eventually

GPU, OTHER_GPU = "nvidia.com/gpu", "amd.com/gpu"
PRODUCT = "nvidia-l4"
GPU_TAINT = f"{GPU}=present:NoSchedule"
SPOT = "cloud.google.com/gke-spot=true"
NODE_FOLDER = "/var/lib/llmi-test/grpc"
SOCKETS = "/var/lib/kubelet/device-plugins"


class GpuPools:
    """An ordinary node and a spot node, each with a GPU and a device plugin."""

    def __init__(self, equipment: LiveCluster) -> None:
        self._equipment = equipment
        self.ordinary, self.spot = (node.name for node in kind_cluster.workers()[:2])

    @contextmanager
    def made(self) -> Iterator["GpuPools"]:
        """Make the pools, and ordinary nodes of them again afterwards."""
        kubectl = self._equipment.kubectl
        labels = {"cloud.google.com/gke-accelerator": PRODUCT, "amd.com/gpu.product-name": "MI300X"}
        nodes = {self.ordinary: ([], [GPU_TAINT]), self.spot: ([SPOT], [GPU_TAINT, f"{SPOT}:NoSchedule"])}
        self._equipment("create", "configmap", "plugin", f"--from-file={SUPPORT / 'device_plugin.py'}")
        try:
            for node, (more, taints) in nodes.items():
                _copy_grpc(node)
                kubectl("label", "node", node, "--overwrite", *(f"{k}={v}" for k, v in labels.items()), *more)
                kubectl("taint", "node", node, "--overwrite", *taints)
                self._start(node, {GPU: 1, OTHER_GPU: 1} if node == self.ordinary else {GPU: 1})
            yield self
        finally:
            self._equipment("delete", "pods", "--all", "--force", "--grace-period=0")
            for node, (more, taints) in nodes.items():
                kubectl("label", "node", node, *(f"{key.partition('=')[0]}-" for key in [*labels, *more]))
                kubectl("taint", "node", node, *(f"{taint.rpartition(':')[0].partition('=')[0]}-" for taint in taints))

    def let_gpu_fall_off(self, node: str) -> None:
        """Let the node's GPUs be there and not work."""
        self._signal(node, "SIGUSR1")
        eventually(lambda: self.offered(node) == "0")

    def bring_gpu_back(self, node: str) -> None:
        """Let them work again."""
        self._signal(node, "SIGUSR2")
        eventually(lambda: self.offered(node) == "1")

    def offered(self, node: str, resource: str = GPU) -> str:
        """How many the kubelet offers to pods."""
        status = json.loads(self._equipment.kubectl("get", "node", node, "-o", "json"))["status"]
        return str(status["allocatable"].get(resource, "none"))

    def allocated(self, node: str) -> list[str]:
        """What the kubelet has asked the device plugin for, container by container."""
        lines = self._equipment("logs", _pod_of(node)).splitlines()
        return [line.removeprefix("allocated ") for line in lines if line.startswith("allocated ")]

    def _start(self, node: str, resources: dict[str, int]) -> None:
        paths = {"/support": {"configMap": {"name": "plugin"}}}
        paths |= {path: {"hostPath": {"path": path, "type": "Directory"}} for path in (SOCKETS, NODE_FOLDER)}
        container = {
            "name": "plugin",
            "image": self._equipment.server_image,
            "command": ["/opt/llmi/bin/python", "/support/device_plugin.py"],
            "args": [f"{name}={count}" for name, count in resources.items()],
            "env": [{"name": "PYTHONPATH", "value": NODE_FOLDER}],
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
            "volumeMounts": [{"name": f"volume-{i}", "mountPath": path} for i, path in enumerate(paths)],
        }
        spec: dict[str, Any] = {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [{"operator": "Exists"}],
            "automountServiceAccountToken": False,
            "securityContext": {"runAsUser": 0},
            "containers": [container],
            "volumes": [{"name": f"volume-{i}", **source} for i, source in enumerate(paths.values())],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": _pod_of(node)}, "spec": spec}
        self._equipment("apply", "-f", "-", stdin=json.dumps(pod))
        eventually(lambda: all(self.offered(node, name) == str(count) for name, count in resources.items()))

    def _signal(self, node: str, name: str) -> None:
        words = f"import os, signal; os.kill(1, signal.{name})"
        self._equipment("exec", _pod_of(node), "--", "/opt/llmi/bin/python", "-c", words)


def _pod_of(node: str) -> str:
    return f"plugin-{node}"


def _copy_grpc(node: str) -> None:
    """Bring to a node what the plugin needs beyond the server's image."""
    if subprocess.run(["docker", "exec", node, "test", "-e", f"{NODE_FOLDER}.complete"], check=False).returncode == 0:
        return
    subprocess.run(["docker", "exec", node, "mkdir", "-p", NODE_FOLDER], check=True)
    source = Path(grpc.__file__).parent
    subprocess.run(["docker", "cp", str(source), f"{node}:{NODE_FOLDER}/grpc"], check=True, capture_output=True)
    subprocess.run(["docker", "exec", node, "touch", f"{NODE_FOLDER}.complete"], check=True)
