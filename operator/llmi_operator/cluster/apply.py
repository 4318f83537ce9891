"""Makes the cluster what the plan says: hand over, prune, apply; asks the API server only where something differs."""

import asyncio
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from llmi_api import labels
from llmi_operator.cluster.client import HANDOVER_MANAGER, Cluster
from llmi_operator.cluster.read import is_controlled_by
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import BY_NAME, CHILDREN, DEPLOYMENT, Kind
from llmi_operator.observed import Refusal
from llmi_operator.parse import Resource
from llmi_operator.plan import Manifest, Plan
from llmi_operator.plan.drift import covers
from llmi_operator.store import Key, Store

logger = logging.getLogger(__name__)


@dataclass
class Result:
    """What came of applying a plan.

    Attributes:
        refusals: What the owner must know: foreign objects and final refusals.
        errors: What is worth another try soon.
    """

    refusals: list[Refusal] = field(default_factory=list)
    errors: list[ClusterError] = field(default_factory=list)


async def apply_plan(cluster: Cluster, store: Store, resource: Resource, plan: Plan) -> Result:
    """Bring the children in line with the plan; every answer goes into the store at once."""
    result = Result()
    # First, or an autoscaler that has just been switched off could still change the replicas we are about to set.
    await _prune(cluster, store, resource, plan, result)
    try:
        await _hand_over(cluster, store, resource, plan.hand_over)
    except ClusterError as error:
        # Without the hand-over, applying the Deployment would drop the replicas to 1.
        _note(result, error)
        return result
    await asyncio.gather(*(_apply_child(cluster, store, resource, child, result) for child in plan.children))
    return result


async def _apply_child(cluster: Cluster, store: Store, resource: Resource, manifest: Manifest, result: Result) -> None:
    kind = BY_NAME[manifest["kind"]]
    key = Key(resource.namespace, resource.name)
    try:
        live = store.get(kind, key) or await cluster.get(kind, *key)
        if live is not None:
            if _is_leftover(live, resource):
                raise _make_leftover_error(kind, key)
            foreign = _find_foreign(live, resource)
            if foreign is not None:
                result.refusals.append(foreign)
                return
            if covers(live, manifest):
                store.put(kind, live)
                return
            # The uid makes sure that it still is the object that was looked at.
            manifest = {**manifest, "metadata": {**manifest["metadata"], "uid": live["metadata"]["uid"]}}
        applied = await cluster.apply(kind, manifest)
    except ClusterError as error:
        _note(result, error)
        return
    store.put(kind, applied)
    logger.info("Applied child", extra={"kind": kind.name, **_fields(key)})


async def _prune(cluster: Cluster, store: Store, resource: Resource, plan: Plan, result: Result) -> None:
    key = Key(resource.namespace, resource.name)
    wanted = {child["kind"] for child in plan.children}
    for kind in CHILDREN:
        for body in store.children(kind, key):
            if not is_controlled_by(body, resource.uid) or "deletionTimestamp" in body["metadata"]:
                continue
            if kind.name in wanted and body["metadata"]["name"] == resource.name:
                continue
            await _delete(cluster, store, kind, body, result)


async def _delete(cluster: Cluster, store: Store, kind: Kind, body: dict[str, Any], result: Result) -> None:
    metadata = body["metadata"]
    try:
        await cluster.delete(kind, metadata["namespace"], metadata["name"], metadata["uid"])
    except ClusterError as error:
        _note(result, error)
        return
    store.drop(kind, body)
    logger.info("Deleted child", extra={"kind": kind.name, **_fields(Key(metadata["namespace"], metadata["name"]))})


async def _hand_over(cluster: Cluster, store: Store, resource: Resource, replicas: int | None) -> None:
    key = Key(resource.namespace, resource.name)
    live = store.get(DEPLOYMENT, key)
    if replicas is None or live is None or not is_controlled_by(live, resource.uid):
        return
    manifest = {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.name,
        "metadata": {"name": key.name, "namespace": key.namespace, "uid": live["metadata"]["uid"]},
        "spec": {"replicas": replicas},
    }
    store.put(DEPLOYMENT, await cluster.apply(DEPLOYMENT, manifest, manager=HANDOVER_MANAGER))
    logger.info("Handed the number of replicas to the autoscaler", extra={"replicas": replicas, **_fields(key)})


def _is_leftover(live: dict[str, Any], resource: Resource) -> bool:
    """Whether it belongs to an earlier resource of the same name, so that the garbage collector will take it."""
    return any(
        item.get("controller")
        and item["kind"] == labels.KIND
        and item["name"] == resource.name
        and item["uid"] != resource.uid
        for item in live["metadata"].get("ownerReferences") or ()
    )


def _make_leftover_error(kind: Kind, key: Key) -> ClusterError:
    return ClusterError(
        verb="apply",
        kind=kind.name,
        namespace=key.namespace,
        name=key.name,
        status=HTTPStatus.CONFLICT,
        reason="Leftover",
        message="the one of the resource before is still being deleted",
    )


def _find_foreign(live: dict[str, Any], resource: Resource) -> Refusal | None:
    """Say whose object has the name, unless it is ours or an orphan of ours that may be adopted."""
    metadata = live["metadata"]
    if is_controlled_by(live, resource.uid):
        return None
    controllers = [item for item in metadata.get("ownerReferences") or () if item.get("controller")]
    found = metadata.get("labels") or {}
    ours = found.get(labels.OWNER_LABEL) == resource.name and found.get(labels.MANAGED_BY_LABEL) == labels.MANAGED_BY
    if ours and not controllers:
        return None
    owner = f"{controllers[0]['kind']} {controllers[0]['name']}" if controllers else ""
    return Refusal(kind=live["kind"], name=metadata["name"], message=owner, foreign=True)


def _note(result: Result, error: ClusterError) -> None:
    if error.is_final:
        result.refusals.append(
            Refusal(kind=error.kind, name=error.name, verb=error.verb, status=error.status, message=error.message)
        )
    else:
        result.errors.append(error)


def _fields(key: Key) -> dict[str, str]:
    # "name" is the logger's own field in a log record.
    return {"namespace": key.namespace, "inference": key.name}
