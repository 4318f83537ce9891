"""Stored objects → Observed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from llmi_api.metric_names import IN_FLIGHT_METRIC
from llmi_operator.cluster.ownership import is_controlled_by
from llmi_operator.kinds import AUTOSCALER, DEPLOYMENT, MOUNT_EVENT, POD, SCALED_OBJECT, SERVICE
from llmi_operator.observed import (
    AutoscalerState,
    ConditionState,
    ContainerState,
    DeploymentState,
    NodeState,
    Observed,
    PodState,
    Reading,
    Refusal,
    ServiceState,
    Taint,
    Termination,
)
from llmi_operator.plan.model import identify_files
from llmi_operator.plan.names import FETCH_CONTAINER, SERVER_CONTAINER
from llmi_operator.plan.quantity import parse_quantity
from llmi_operator.status.capacity import read_needs
from llmi_operator.store import Key, Store

_Body = Mapping[str, Any]


def read_observed(
    store: Store, key: Key, uid: str, *, now: datetime, refusals: tuple[Refusal, ...] = (), pin: str | None = None
) -> Observed:
    """Everything about one resource's children and pods that status depends on."""
    deployment, service, scaled = (_owned(store.get(kind, key), uid) for kind in (DEPLOYMENT, SERVICE, SCALED_OBJECT))
    autoscaler = _find_autoscaler(store, key, uid, scaled)
    mount_failures = _read_mount_failures(store.children(MOUNT_EVENT, key))
    return Observed(
        now=now,
        deployment=read_deployment(deployment) if deployment else None,
        service=_read_service(service) if service else None,
        autoscaler=_read_autoscaler(autoscaler) if autoscaler else None,
        scaled_object=_read_scaled_object(scaled) if scaled else None,
        pods=tuple(_read_pod(body, mount_failures) for body in store.children(POD, key)),
        refusals=refusals,
        pin=pin,
    )


def _owned(body: _Body | None, uid: str) -> _Body | None:
    return body if body is not None and is_controlled_by(body, uid) else None


def _find_autoscaler(store: Store, key: Key, uid: str, scaled_object: _Body | None) -> _Body | None:
    """Ours, or the one that KEDA has made of the ScaledObject: it bears the ScaledObject's labels, and so is known."""
    if scaled_object is None:
        return _owned(store.get(AUTOSCALER, key), uid)
    owner = scaled_object["metadata"]["uid"]
    return next((body for body in store.children(AUTOSCALER, key) if is_controlled_by(body, owner)), None)


def _read_scaled_object(body: _Body) -> ConditionState:
    """Its condition Ready, of which KEDA does not say since when; the object's own age will do."""
    ready = _read_conditions(body).get("Ready") or ConditionState("Unknown", "", "", None)
    return replace(ready, since=_read_time(body["metadata"].get("creationTimestamp")))


def read_deployment(body: _Body) -> DeploymentState:
    """The Deployment: what was asked and how far it is."""
    status = body.get("status") or {}
    return DeploymentState(
        generation=body["metadata"].get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        wanted=body["spec"].get("replicas", 1),
        total=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        ready=status.get("readyReplicas", 0),
        conditions=_read_conditions(body),
    )


def _read_service(body: _Body) -> ServiceState:
    ports = body["spec"].get("ports") or [{}]
    ingress = ((body.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return ServiceState(
        type=body["spec"].get("type", "ClusterIP"),
        addresses=tuple(filter(None, (entry.get("hostname") or entry.get("ip") for entry in ingress))),
        node_port=ports[0].get("nodePort"),
    )


def _read_autoscaler(body: _Body) -> AutoscalerState:
    status = body.get("status") or {}
    return AutoscalerState(
        conditions=_read_conditions(body),
        current=status.get("currentReplicas") or 0,
        desired=status.get("desiredReplicas") or 0,
        readings=tuple(filter(None, (_read_metric(item) for item in status.get("currentMetrics") or ()))),
    )


def _read_metric(item: _Body) -> Reading | None:
    """One of the autoscaler's measurements; None for one that it could not make, of which the type is empty."""
    resource, counted = item.get("containerResource") or {}, item.get("pods") or item.get("external") or {}
    percent, average = resource.get("current", {}).get("averageUtilization"), counted.get("current", {})
    if percent is not None:
        return Reading(resource["name"], Decimal(percent))
    amount = parse_quantity(average.get("averageValue"))
    return Reading(_read_metric_name(counted["metric"]["name"]), amount) if amount is not None else None


def _read_metric_name(name: str) -> str:
    """KEDA puts the number and the kind of the trigger before it."""
    return IN_FLIGHT_METRIC if name.endswith(IN_FLIGHT_METRIC) else name


def _read_mount_failures(events: list[dict[str, Any]]) -> dict[str, str]:
    """The latest words per pod uid."""
    ordered = sorted(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return {event["involvedObject"].get("uid", ""): event.get("message") or "" for event in ordered}


def _read_pod(body: _Body, mount_failures: dict[str, str]) -> PodState:
    metadata, status = body["metadata"], body.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    states = {item["name"]: _read_container(item) for item in containers}
    return PodState(
        name=metadata["name"],
        uid=metadata["uid"],
        revision=(metadata.get("labels") or {}).get("pod-template-hash", ""),
        created_at=_read_time(metadata.get("creationTimestamp")),
        deleting="deletionTimestamp" in metadata,
        phase=status.get("phase", ""),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        conditions=_read_conditions(body),
        fetch=states.get(FETCH_CONTAINER),
        server=states.get(SERVER_CONTAINER),
        mount_failure=mount_failures.get(metadata["uid"], ""),
        node=body["spec"].get("nodeName", ""),
        address=status.get("podIP", ""),
        needs=read_needs(body["spec"]),
        model=identify_files(body["spec"]),
    )


def read_node(body: _Body) -> NodeState:
    """A node, as far as it matters for finding room and for reaching it."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    ready = _read_conditions(body).get("Ready")
    taints = spec.get("taints") or ()
    by_type = {item["type"]: item["address"] for item in reversed(status.get("addresses") or ())}
    return NodeState(
        name=body["metadata"]["name"],
        ready=ready is not None and ready.status == "True",
        cordoned=bool(spec.get("unschedulable")),
        labels=body["metadata"].get("labels") or {},
        taints=tuple(Taint(item["key"], item.get("value", ""), item["effect"]) for item in taints),
        allocatable=_read_amounts(status.get("allocatable")),
        devices={name: amount for name, amount in _read_amounts(status.get("capacity")).items() if "/" in name},
        addresses=tuple(by_type[kind] for kind in ("ExternalIP", "InternalIP", "ExternalDNS") if kind in by_type),
    )


def _read_amounts(amounts: _Body | None) -> dict[str, Decimal]:
    read = {name: parse_quantity(amount) for name, amount in (amounts or {}).items()}
    return {name: amount for name, amount in read.items() if amount is not None}


def _read_container(item: _Body) -> ContainerState:
    state, last = item.get("state") or {}, item.get("lastState") or {}
    waiting, running = state.get("waiting") or {}, state.get("running") or {}
    return ContainerState(
        name=item["name"],
        image=item.get("image", ""),
        ready=item.get("ready", False),
        started=bool(item.get("started")) and item["name"] != FETCH_CONTAINER,
        restarts=item.get("restartCount", 0),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        running_since=_read_time(running.get("startedAt")),
        terminated=_read_termination(state.get("terminated")),
        last=_read_termination(last.get("terminated")),
    )


def _read_termination(item: _Body | None) -> Termination | None:
    if item is None:
        return None
    return Termination(
        exit_code=item.get("exitCode", 0),
        reason=item.get("reason", ""),
        message=item.get("message", ""),
        started_at=_read_time(item.get("startedAt")),
        finished_at=_read_time(item.get("finishedAt")),
    )


def _read_conditions(body: _Body) -> dict[str, ConditionState]:
    conditions = (body.get("status") or {}).get("conditions") or ()
    return {
        item["type"]: ConditionState(
            status=item.get("status", "Unknown"),
            reason=item.get("reason", ""),
            message=item.get("message", ""),
            since=_read_time(item.get("lastTransitionTime")),
        )
        for item in conditions
    }


def _read_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
