"""Kubernetes' own example of a DRA driver on a node: devices that do not exist, and everything else for real.

It publishes ResourceSlices, the scheduler allocates from them, the kubelet asks it over its socket to prepare a claim,
and containerd reads what it wrote (CDI) and gives the container the device's variables.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gobuild
import kind_cluster
from images import program_image
from llmi_testing.live_cluster import LiveCluster, eventually
from loading import load

IMAGE = f"llminference/dra-example-driver:v{gobuild.DRA_DRIVER_VERSION}"
DRIVER = "gpu.example.com"
_NAME = "llmi-test-dra-driver"
_KUBELET = "/var/lib/kubelet"
_CDI = "/var/run/cdi"


def is_built() -> bool:
    """Whether it is there: building it takes longer than a test may."""
    return gobuild.dra_driver().artifact.is_built()


@contextmanager
def running_dra_driver(equipment: LiveCluster, devices: int, log: Path) -> Iterator[str]:
    """Run it while the block runs; gives the node whose devices it has."""
    program_image(IMAGE, gobuild.dra_driver().path("dra-example-kubeletplugin"), log)
    worker = kind_cluster.workers()[0]
    load([IMAGE], [worker])
    namespace = equipment.namespace
    cluster_wide = _make_rights(namespace)
    try:
        equipment("apply", "-f", "-", stdin=_as_list(*cluster_wide, _make_pod(worker.name, devices)))
        eventually(lambda: _count_devices(equipment) == devices, "its devices are published", seconds=90)
        yield worker.name
    finally:
        # Before its rights: it takes its slices away when it ends, and the kubelet does when it is gone for long.
        equipment("delete", "pod", _NAME, "--wait=true", "--timeout=60s")
        equipment("delete", "-f", "-", "--wait=false", stdin=_as_list(*cluster_wide))
        equipment("delete", "resourceslices", f"--field-selector=spec.driver={DRIVER}", "--ignore-not-found")


def _count_devices(equipment: LiveCluster) -> int:
    slices = equipment.objects("resourceslices")
    return sum(len(item["spec"].get("devices") or ()) for item in slices if item["spec"]["driver"] == DRIVER)


def _make_rights(namespace: str) -> list[dict[str, Any]]:
    """The driver's account and rights, as its own chart gives them, and the class of its devices."""
    resources = "resource.k8s.io"
    rules = [
        {"apiGroups": [resources], "resources": ["resourceclaims"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [resources], "resources": ["resourceclaims/status"], "verbs": ["update"]},
        {
            "apiGroups": [resources],
            "resources": ["resourceclaims/driver"],
            "verbs": ["associated-node:update", "associated-node:patch"],
            "resourceNames": [DRIVER],
        },
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
        {
            "apiGroups": [resources],
            "resources": ["resourceslices"],
            "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
        },
    ]
    rbac, role = "rbac.authorization.k8s.io/v1", {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole"}
    account = {"kind": "ServiceAccount", "name": _NAME, "namespace": namespace}
    chosen = {"selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _NAME, "namespace": namespace}},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": _NAME}, "rules": rules},
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": _NAME},
            "roleRef": {**role, "name": _NAME},
            "subjects": [account],
        },
        {"apiVersion": f"{resources}/v1", "kind": "DeviceClass", "metadata": {"name": DRIVER}, "spec": chosen},
    ]


def _make_pod(node: str, devices: int) -> dict[str, Any]:
    paths = {"plugins": f"{_KUBELET}/plugins", "registry": f"{_KUBELET}/plugins_registry", "cdi": _CDI}
    variables = {"DRIVER_NAME": DRIVER, "NODE_NAME": node, "NUM_DEVICES": str(devices), "CDI_ROOT": _CDI}
    container = {
        "name": "driver",
        "image": IMAGE,
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in paths.items()],
    }
    spec = {
        "nodeName": node,
        "serviceAccountName": _NAME,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [
            {"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}} for name, path in paths.items()
        ],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": _NAME}, "spec": spec}


def _as_list(*items: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
