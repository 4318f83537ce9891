"""What the pretended node has, and what scheduler and kubelet would say of pods that do not fit it.

It has every image but those of ``registry.invalid``, one kind of GPU, and labels and memory of its own: a spec can be
right or wrong in ways that a status must tell.
"""

from __future__ import annotations

from typing import Any

from llmi_operator.observed import Needs
from llmi_operator.plan.quantity import parse_quantity
from llmi_operator.status.capacity import read_places
from llmi_testing.api import Api, Body, path
from llmi_testing.pretend_kubelet import NODE, PretendKubelet
from llmi_testing.space import container_status, ready_status

MISSING = "registry.invalid/"
LABELS = {"disk": "fast", "pool": "a", "zone.example/x": "", "p": "x" * 63, "nvidia.com/gpu.product": "NVIDIA-L4"}
TARGET = {"kind": "Node", "name": NODE}
ROOM = {"cpu": 1000, "memory": 2**40, "ephemeral-storage": 2**40, "nvidia.com/gpu": 64}


class PretendNode(PretendKubelet):
    """Cares for pods as `PretendKubelet` does, but not all fit."""

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self._told: set[str] = set()

    def _care_for(self, pod: Body) -> None:
        metadata = pod["metadata"]
        place = path("pods", metadata["namespace"], metadata["name"])
        if "deletionTimestamp" in metadata:
            self._api.ask("DELETE", place, {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}})
            return
        if metadata["uid"] in self._told:
            return
        status = judge(pod)
        if is_scheduled(status):
            self._api.ask("POST", f"{place}/binding", {"metadata": {"name": metadata["name"]}, "target": TARGET})
        if status["phase"] == "Running":
            address = self._next_address()
            status |= {"podIP": address, "podIPs": [{"ip": address}]}
        self._api.patch("pods", metadata["namespace"], metadata["name"], {"status": status}, "status")
        self._told.add(metadata["uid"])

    def _next_address(self) -> str:
        number = next(self._addresses)
        return f"10.{100 + number // 60000 % 50}.{number // 250 % 240}.{number % 250 + 1}"


def judge(pod: Body) -> Body:
    """The status that a pod gets here."""
    spec = pod["spec"]
    obstacle = _find_obstacle(spec)
    if obstacle:
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": f"0/1 nodes are available: 1 {obstacle}.",
            "lastTransitionTime": pod["metadata"]["creationTimestamp"],
        }
        return {"phase": "Pending", "conditions": [condition]}
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        if container["image"].startswith(MISSING):
            return _refuse_image(pod, container)
    return ready_status(pod)


def is_scheduled(status: Body) -> bool:
    """Whether a node was found for a pod of this status."""
    return all(item["status"] == "True" for item in status["conditions"] if item["type"] == "PodScheduled")


def _find_obstacle(spec: Body) -> str:
    fits = Needs(places=read_places(spec)).accepts(LABELS)
    if spec.get("nodeSelector", {}).items() - LABELS.items() or not fits:
        return "node(s) didn't match Pod's node affinity/selector"
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        for name, amount in container.get("resources", {}).get("requests", {}).items():
            if (parse_quantity(amount) or 0) > ROOM.get(name, 0):
                return f"Insufficient {name}"
    return ""


def _refuse_image(pod: Body, container: dict[str, Any]) -> Body:
    waiting = {"reason": "ErrImagePull", "message": f"failed to resolve {container['image']}: not found"}
    first = container in pod["spec"].get("initContainers", ())
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": pod["metadata"]["creationTimestamp"]}
    return {
        "phase": "Pending",
        "conditions": [scheduled],
        "initContainerStatuses" if first else "containerStatuses": [
            container_status(container["name"], {"waiting": waiting})
        ],
    }
