"""Stored objects → the facts that a plan depends on."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from llmi_api import labels
from llmi_api.failure import FetchReport
from llmi_operator.cluster.client import HANDOVER_MANAGER
from llmi_operator.cluster.ownership import find_foreign
from llmi_operator.cluster.rollout import read_rollout
from llmi_operator.kinds import CLAIM, CONFIG_MAP, DEPLOYMENT, POD
from llmi_operator.parse import Resource
from llmi_operator.plan import Live
from llmi_operator.plan.names import FETCH_CONTAINER, make_cache_name, make_pin_name
from llmi_operator.plan.pin import make_pin_key
from llmi_operator.plan.pod import PIN_VARIABLE
from llmi_operator.plan.replicas import ReplicasOwner
from llmi_operator.status.reports import read_report
from llmi_operator.store import REPLICAS_OWNERS, Key, Store

_Body = Mapping[str, Any]
# KEDA has the controller of HorizontalPodAutoscalers scale, which runs in kube-controller-manager; but from and to zero
# it scales itself.
_AUTOSCALERS = frozenset({HANDOVER_MANAGER, "kube-controller-manager/scale", "kube-controller-manager", "keda/scale"})
_COMMIT = re.compile(r"[0-9a-f]{40}")


def read_live(store: Store, resource: Resource, now: datetime | None = None) -> Live:
    """The facts about one resource's live objects that its plan depends on.

    Args:
        store: The live objects.
        resource: Whose they are.
        now: The moment; without it nobody counts as waiting for long.
    """
    key = Key(resource.namespace, resource.name)
    deployment = store.get(DEPLOYMENT, key) or {}
    claim = store.get(CLAIM, Key(key.namespace, make_cache_name(resource))) or {}
    return Live(
        replicas=deployment.get("spec", {}).get("replicas", 1) if deployment else None,
        replicas_owner=_find_replicas_owner(deployment.get(REPLICAS_OWNERS, [])),
        pins=_read_pins(store, resource),
        fetched=_find_fetched(store.children(POD, key), make_pin_key(resource.spec.model)),
        cache_size=claim.get("spec", {}).get("resources", {}).get("requests", {}).get("storage"),
        rollout=read_rollout(store, key, deployment, now) if deployment else None,
    )


def _find_replicas_owner(managers: list[str]) -> ReplicasOwner:
    if labels.FIELD_MANAGER in managers:
        return ReplicasOwner.OPERATOR
    return ReplicasOwner.AUTOSCALER if managers and _AUTOSCALERS.issuperset(managers) else ReplicasOwner.OTHER


def _read_pins(store: Store, resource: Resource) -> dict[str, str]:
    body = store.get(CONFIG_MAP, Key(resource.namespace, make_pin_name(resource)))
    if body is None or find_foreign(body, resource) is not None:
        return {}
    return {key: value for key, value in (body.get("data") or {}).items() if _COMMIT.fullmatch(value)}


def _find_fetched(pods: list[dict[str, Any]], pin_key: str) -> str | None:
    """The commit that was fetched first, of the pods that asked the present question."""
    found = [report for pod in pods if _read_pin_key(pod) == pin_key and (report := _read_fetched(pod))]
    return min(found)[1] if found else None


def _read_fetched(pod: _Body) -> tuple[str, str] | None:
    """When a pod's download ended, and its commit; None when it has not ended well."""
    for item in (pod.get("status") or {}).get("initContainerStatuses") or ():
        end = (item.get("state") or {}).get("terminated") or {}
        if item["name"] != FETCH_CONTAINER or not end or end.get("exitCode") != 0:
            continue
        report = read_report(end.get("message", ""), FetchReport)
        if report is not None:
            return end.get("finishedAt") or "", report.revision
    return None


def _read_pin_key(pod: _Body) -> str | None:
    for container in pod["spec"].get("initContainers") or ():
        for variable in container.get("env") or ():
            if variable["name"] == PIN_VARIABLE:
                key = variable.get("valueFrom", {}).get("configMapKeyRef", {}).get("key")
                return str(key) if key else None
    return None
