"""Stored objects → where the rollout of a Deployment stands."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from llmi_operator.cluster.read import read_deployment
from llmi_operator.kinds import POD
from llmi_operator.observed import DeploymentState
from llmi_operator.plan.hand_edit import read_plan_hash
from llmi_operator.plan.rollout import LiveRollout
from llmi_operator.status.capacity import compute_requests, read_tolerations
from llmi_operator.store import Key, Store

_Body = Mapping[str, Any]
PATIENCE = timedelta(seconds=15)
"""What finds no room is tried again by the scheduler within 10 s of another one's end."""
_UNPLACED = frozenset({"Unschedulable", "SchedulingGated"})
"""A queue for quota, such as Kueue's, holds pods back by gates."""
_NODE_TAINTS = "node.kubernetes.io/"
_UNMADE = "a replica that the quota of the namespace does not allow"


def read_rollout(store: Store, key: Key, body: _Body, now: datetime | None) -> LiveRollout:
    """Where the rollout of an LLMInference's Deployment stands."""
    state = read_deployment(body)
    waiting = frozenset() if state.complete else _find_waiting(body, state, store.children(POD, key))
    # Of this very Deployment: what is changed about it gets its time to help.
    subject = waiting and waiting | {f"generation {state.generation}"}
    waited = now - store.waits_since(key, subject, now) if now else timedelta()
    return LiveRollout(
        strategy=body["spec"].get("strategy") or {},
        template=body["spec"].get("template") or {},
        plan_hash=read_plan_hash(body),
        over=state.complete,
        waiting=len(waiting),
        stuck=bool(waiting) and waited >= PATIENCE,
    )


def _find_waiting(deployment: _Body, state: DeploymentState, pods: Sequence[_Body]) -> frozenset[str]:
    """The replicas for which stopping an older one would make room, while none is being stopped."""
    alive = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}]
    if not alive or any("deletionTimestamp" in pod["metadata"] for pod in alive):
        return frozenset()
    newest = state.named_revision or _get_version(
        max(alive, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    )
    older = [pod["spec"] for pod in alive if _get_version(pod) != newest and pod["spec"].get("nodeName")]
    if not any(fits_in_place(deployment["spec"]["template"]["spec"], spec) for spec in older):
        return frozenset()
    waiting = frozenset(pod["metadata"]["uid"] for pod in alive if _is_unplaced(pod))
    return waiting or (frozenset({_UNMADE}) if state.lacks_quota else frozenset())


def _get_version(pod: _Body) -> str:
    return str((pod["metadata"].get("labels") or {}).get("pod-template-hash", ""))


def _get_birth(pod: _Body) -> str:
    return str(pod["metadata"].get("creationTimestamp"))


def _is_unplaced(pod: _Body) -> bool:
    return any(
        item["type"] == "PodScheduled" and item["status"] == "False" and item.get("reason") in _UNPLACED
        for item in (pod.get("status") or {}).get("conditions") or ()
    )


def fits_in_place(new: _Body, old: _Body) -> bool:
    """Whether a pod could run where another one does, once that has gone: it asks for no more, and is no choosier."""
    had, accepted = compute_requests(old), read_tolerations(new)
    asks_more = any(amount > had.get(name, 0) for name, amount in compute_requests(new).items())
    selects_more = (new.get("nodeSelector") or {}).items() - (old.get("nodeSelector") or {}).items()
    # The API server adds some to every pod, not to a template.
    dropped = [item for item in read_tolerations(old) if not item.key.startswith(_NODE_TAINTS)]
    tolerates_less = any(item not in accepted for item in dropped)
    moves = bool(new.get("affinity")) and new["affinity"] != old.get("affinity")
    return not (asks_more or selects_more or tolerates_less or moves or _list_claims(new) - _list_claims(old))


def _list_claims(spec: _Body) -> set[str]:
    volumes = spec.get("volumes") or ()
    stored = {item["persistentVolumeClaim"]["claimName"] for item in volumes if "persistentVolumeClaim" in item}
    # A template's name has a hash of the devices that it asks for, so another name is another wish.
    devices = {
        str(item.get("resourceClaimTemplateName") or item.get("resourceClaimName"))
        for item in spec.get("resourceClaims") or ()
    }
    return stored | devices
