"""What must be looked at more closely before it can be judged."""

from llmi_operator.observed import Observed, PodState

PULL_PATIENCE_SECONDS = 5
"""Most containers start within this time; only for those that do not, somebody looks for a pull."""
_WAITING = frozenset({"ContainerCreating", "PodInitializing"})


def has_no_room(observed: Observed) -> bool:
    """Whether the scheduler finds no node for a replica, so that the nodes are worth a look."""
    return any(
        condition.status == "False" and condition.reason == "Unschedulable" and "olume" not in condition.message
        for pod in observed.newest_pods
        if (condition := pod.conditions.get("PodScheduled"))
    )


def wait_for_images(observed: Observed) -> list[PodState]:
    """Replicas that have a node and no container yet, for longer than usual."""
    return [
        pod
        for pod in observed.newest_pods
        if is_waiting(pod)
        and (since := pod.conditions["PodScheduled"].since)
        and (observed.now - since).total_seconds() >= PULL_PATIENCE_SECONDS
    ]


def is_waiting(pod: PodState) -> bool:
    """Whether a replica has a node, and its first container has neither run nor failed."""
    scheduled = pod.conditions.get("PodScheduled")
    return (
        scheduled is not None
        and scheduled.status == "True"
        and not pod.has_begun
        and bool(pod.containers)
        and all(container.waiting_reason in _WAITING for container in pod.containers)
    )
