"""Takes away what is ours and no longer in the plan."""

import logging
from typing import Any

from llmi_operator.cluster.confirm import ConfirmedWrites
from llmi_operator.cluster.ownership import is_controlled_by
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import CHILDREN, CLAIM, CLAIM_TEMPLATE, CONFIG_MAP, DEPLOYMENT, LASTING, Kind
from llmi_operator.parse import Resource
from llmi_operator.plan import Plan
from llmi_operator.store import Key, Object, Store

logger = logging.getLogger(__name__)
ATTEMPTS = 5
NEEDED_BY_PODS = frozenset({CLAIM, CLAIM_TEMPLATE, CONFIG_MAP})
"""Without them pods of an older version cannot be made.

A claim that pods still use would only be marked as deleted, and stand in the way of whoever goes back to that version.
"""


async def prune(cluster: ConfirmedWrites, store: Store, resource: Resource, plan: Plan) -> list[ClusterError]:
    """Delete every child of ours that is not in the plan.

    Returns:
        What was refused.
    """
    wanted = {(child["kind"], child["metadata"]["name"]) for child in plan.children}
    errors: list[ClusterError] = []
    key = Key(resource.namespace, resource.name)
    for kind in CHILDREN:
        if kind in LASTING or (kind in NEEDED_BY_PODS and is_rolling_out(store.get(DEPLOYMENT, key))):
            continue
        for body in store.children(kind, key):
            name = body["metadata"]["name"]
            if (kind.name, name) in wanted or not _is_ours(body, resource):
                continue
            if kind in NEEDED_BY_PODS and name in _list_needs(store.get(DEPLOYMENT, key)):
                continue  # until the Deployment has the new one: a pod that is replaced meanwhile needs it
            try:
                await _delete(cluster, store, resource, kind, body)
            except ClusterError as error:
                errors.append(error)
    return errors


def is_rolling_out(deployment: Object | None) -> bool:
    """Whether pods of an older version may still be made."""
    if deployment is None:
        return False
    status = deployment.get("status") or {}
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return not seen or status.get("replicas", 0) != status.get("updatedReplicas", 0)


def list_claim_templates(deployment: Object | None) -> list[str]:
    """The ResourceClaimTemplates that a Deployment's pods are made with."""
    if deployment is None:
        return []
    claims = deployment["spec"]["template"]["spec"].get("resourceClaims") or ()
    return [claim.get("resourceClaimTemplateName", "") for claim in claims]


def _list_needs(deployment: Object | None) -> list[str]:
    """The objects of the kinds in `NEEDED_BY_PODS` that a Deployment's pods are made with."""
    volumes = deployment["spec"]["template"]["spec"].get("volumes") or () if deployment else ()
    files = [volume["configMap"]["name"] for volume in volumes if "configMap" in volume]
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
    return [*list_claim_templates(deployment), *files, *claims]


async def _delete(cluster: ConfirmedWrites, store: Store, resource: Resource, kind: Kind, body: dict[str, Any]) -> None:
    """Delete an object exactly as it was looked at; one that has changed is looked at again."""
    for attempt in range(1, ATTEMPTS + 1):
        metadata = body["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        try:
            await cluster.delete(kind, namespace, name, uid=metadata["uid"], version=metadata["resourceVersion"])
            break
        except ClusterError as error:
            if not error.is_conflict or attempt == ATTEMPTS:
                raise
        fresh = await cluster.get(kind, namespace, name)
        if fresh is None:
            break
        store.put(kind, fresh)
        if not _is_ours(fresh, resource):
            return
        body = fresh
    store.drop(kind, body)
    logger.info("Deleted child", extra={"kind": kind.name, "namespace": namespace, "child": name})


def _is_ours(body: dict[str, Any], resource: Resource) -> bool:
    return is_controlled_by(body, resource.uid) and "deletionTimestamp" not in body["metadata"]
