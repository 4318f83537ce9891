"""Two pools of GPU nodes, labelled and tainted as clouds do it; only kubelet and scheduler believe in the GPUs.

The kubelet remembers a device plugin that is gone: the nodes go on offering 0 of each resource.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

import kind_cluster
from llmi_testing.live_cluster import SUPPORT, LiveCluster, eventually

GPU, OTHER_GPU = "nvidia.com/gpu", "amd.com/gpu"
SLICE, SHARE = "nvidia.com/mig-1g.10gb", "nvidia.com/gpu.shared"
PRODUCT = "nvidia-l4"
OTHER_PRODUCT = "Radeon-R7-250"
"""What it has is known by a label alone: less than the weights of BERT large take in float32, more than in bfloat16."""

OTHER_LABELS = ("amd.com/gpu.product-name=" + OTHER_PRODUCT, "amd.com/gpu.vram=1G")
GPU_TAINT = f"{GPU}=present:NoSchedule"
NODE_FOLDER = "/var/lib/llmi-test/grpc"
SOCKETS = "/var/lib/kubelet/device-plugins"


@dataclass(frozen=True)
class Cloud:
    """How a cloud marks its nodes with GPUs: labels and taints, the latter without their effect."""

    label: str
    product: str
    spot: str
    taints: tuple[str, ...] = ()
    spot_taints: tuple[str, ...] = ()


CLOUDS = {
    "gke": Cloud(
        "cloud.google.com/gke-accelerator",
        PRODUCT,
        spot="cloud.google.com/gke-spot=true",
        spot_taints=("cloud.google.com/gke-spot=true",),
    ),
    "eks": Cloud("k8s.amazonaws.com/accelerator", "nvidia-l4", spot="eks.amazonaws.com/capacityType=SPOT"),
    "aks": Cloud(
        "node.kubernetes.io/instance-type",
        "Standard_NC24ads_A100_v4",
        spot="kubernetes.azure.com/scalesetpriority=spot",
        taints=("sku=gpu",),
        spot_taints=("kubernetes.azure.com/scalesetpriority=spot",),
    ),
    "karpenter": Cloud("karpenter.k8s.aws/instance-gpu-name", "l4", spot="karpenter.sh/capacity-type=spot"),
}


class GpuPools:
    """An ordinary node and a spot node, each with a GPU and a device plugin."""

    def __init__(self, equipment: LiveCluster) -> None:
        self._equipment = equipment
        self.ordinary, self.spot = (node.name for node in kind_cluster.workers()[:2])

    @contextmanager
    def made(self) -> Iterator["GpuPools"]:
        """Make the pools as GKE does, and ordinary nodes of them again afterwards."""
        kubectl, nodes = self._equipment.kubectl, (self.ordinary, self.spot)
        self._equipment("create", "configmap", "plugin", f"--from-file={SUPPORT / 'device_plugin.py'}")
        kubectl("label", "nodes", *nodes, "--overwrite", *OTHER_LABELS)
        kubectl("taint", "nodes", *nodes, "--overwrite", GPU_TAINT)
        try:
            self._mark(CLOUDS["gke"])
            _copy_grpc(self.ordinary)
            _copy_grpc(self.spot)
            self._start(self.ordinary, {GPU: 1, OTHER_GPU: 1, SLICE: 1, SHARE: 2})
            self._start(self.spot, {GPU: 1})
            yield self
        finally:
            self._equipment("delete", "pods", "--all", "--force", "--grace-period=0")
            self._unmark(CLOUDS["gke"])
            kubectl("label", "nodes", *nodes, *map(_removal, OTHER_LABELS))
            kubectl("taint", "nodes", *nodes, _removal(GPU_TAINT))

    @contextmanager
    def marked_as_by(self, cloud: Cloud) -> Iterator[None]:
        """Mark the nodes as another cloud does, in the place of GKE."""
        self._unmark(CLOUDS["gke"])
        self._mark(cloud)
        try:
            yield
        finally:
            self._unmark(cloud)
            self._mark(CLOUDS["gke"])

    def _mark(self, cloud: Cloud) -> None:
        kubectl, nodes = self._equipment.kubectl, (self.ordinary, self.spot)
        kubectl("label", "nodes", *nodes, "--overwrite", f"{cloud.label}={cloud.product}")
        kubectl("label", "node", self.spot, "--overwrite", cloud.spot)
        for names, taints in ((nodes, cloud.taints), ((self.spot,), cloud.spot_taints)):
            if taints:
                kubectl("taint", "nodes", *names, "--overwrite", *(f"{taint}:NoSchedule" for taint in taints))

    def _unmark(self, cloud: Cloud) -> None:
        kubectl, nodes = self._equipment.kubectl, (self.ordinary, self.spot)
        kubectl("label", "nodes", *nodes, f"{cloud.label}-")
        kubectl("label", "node", self.spot, _removal(cloud.spot))
        for names, taints in ((nodes, cloud.taints), ((self.spot,), cloud.spot_taints)):
            if taints:
                kubectl("taint", "nodes", *names, *map(_removal, taints))

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


def _removal(mark: str) -> str:
    """What takes a label or a taint away again."""
    return f"{mark.partition('=')[0]}-"


def _copy_grpc(node: str) -> None:
    """Bring to a node what the plugin needs beyond the server's image."""
    if subprocess.run(["docker", "exec", node, "test", "-e", f"{NODE_FOLDER}.complete"], check=False).returncode == 0:
        return
    subprocess.run(["docker", "exec", node, "mkdir", "-p", NODE_FOLDER], check=True)
    source = Path(grpc.__file__).parent
    subprocess.run(["docker", "cp", str(source), f"{node}:{NODE_FOLDER}/grpc"], check=True, capture_output=True)
    subprocess.run(["docker", "exec", node, "touch", f"{NODE_FOLDER}.complete"], check=True)
