"""Makes the cluster what the plan says: prune, surround, apply; asks the API server only where something differs."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from llmi_api import labels
from llmi_operator.cluster.client import HANDOVER_MANAGER, Cluster
from llmi_operator.cluster.confirm import ConfirmedWrites
from llmi_operator.cluster.ownership import find_foreign, is_controlled_by, is_leftover
from llmi_operator.cluster.prune import prune
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import (
    BY_NAME,
    CLAIM,
    CLAIM_TEMPLATE,
    CONFIG_MAP,
    DEPLOYMENT,
    NETWORK_POLICY,
    SCALED_OBJECT,
    SERVICE_ACCOUNT,
    Kind,
)
from llmi_operator.observed import Refusal
from llmi_operator.parse import Resource
from llmi_operator.plan import Manifest, Plan
from llmi_operator.plan.drift import covers, find_differences
from llmi_operator.plan.hand_edit import HandEdit, find_hand_edit, read_plan_hash, write_path
from llmi_operator.store import Key, Object, Rewrite, Store

logger = logging.getLogger(__name__)
OWN_MANAGERS = frozenset({labels.FIELD_MANAGER, HANDOVER_MANAGER})
GUARDS = frozenset({SERVICE_ACCOUNT.name, NETWORK_POLICY.name, CLAIM.name, CLAIM_TEMPLATE.name})
"""Without one of these no pod may start: it would run under a stranger's account, without walls, disk or devices."""
SURROUNDINGS = GUARDS | {CONFIG_MAP.name}


@dataclass
class Result:
    """What came of applying a plan.

    Attributes:
        refusals: What the owner must know: foreign objects, final refusals, and breakdowns behind the API server.
        errors: What is worth another try soon.
        hand_edits: Changes by others that were set back.
    """

    refusals: list[Refusal] = field(default_factory=list)
    errors: list[ClusterError] = field(default_factory=list)
    hand_edits: list[HandEdit] = field(default_factory=list)

    def note(self, error: ClusterError) -> None:
        """Sort a refusal by whether its owner must know, and whether trying again helps."""
        if error.is_final or error.is_breakdown:
            refusal = Refusal(
                kind=error.kind, name=error.name, verb=error.verb, status=error.status, message=error.message
            )
            self.refusals.append(refusal)
        if not error.is_final:
            self.errors.append(error)


async def apply_plan(cluster: Cluster, store: Store, resource: Resource, plan: Plan, *, hold: bool = False) -> Result:
    """Bring the children in line with the plan; every answer goes into the store at once.

    Args:
        cluster: The API server.
        store: The live objects.
        resource: Whose children they are.
        plan: What shall exist.
        hold: Leave the Deployment as it is.
    """
    confirmed = ConfirmedWrites(cluster, store, resource)
    applying = _Applying(confirmed, store, resource, Result())
    # First, or an autoscaler that has just been switched off could still change the replicas we are about to set.
    for error in await prune(confirmed, store, resource, plan):
        applying.result.note(error)
    guarded = await applying.apply_all(child for child in plan.children if child["kind"] in SURROUNDINGS)
    others = [child for child in plan.children if child["kind"] not in SURROUNDINGS]
    if hold or not guarded:
        await applying.apply_all(child for child in others if child["kind"] != DEPLOYMENT.name)
        return applying.result
    try:
        await applying.hand_over(plan.hand_over)
    except ClusterError as error:
        # Without the hand-over, applying the Deployment would drop the replicas to 1.
        applying.result.note(error)
        return applying.result
    await applying.apply_all(child for child in others if child["kind"] != SCALED_OBJECT.name)
    # KEDA's webhook looks at what the Deployment requests, and refuses the other order.
    await applying.apply_all(child for child in others if child["kind"] == SCALED_OBJECT.name)
    return applying.result


@dataclass(frozen=True)
class _Applying:
    """One plan on its way into the cluster."""

    cluster: ConfirmedWrites
    store: Store
    resource: Resource
    result: Result

    async def apply_all(self, children: Iterable[Manifest]) -> bool:
        """Apply side by side.

        Returns:
            Whether everything is there that a pod must not start without.
        """
        manifests = list(children)
        done = await asyncio.gather(*(self._apply(manifest) for manifest in manifests))
        return all(there for manifest, there in zip(manifests, done, strict=True) if manifest["kind"] in GUARDS)

    async def hand_over(self, replicas: int | None) -> None:
        """Let another manager take over the number of replicas, where the plan says so."""
        key = Key(self.resource.namespace, self.resource.name)
        live = self.store.get(DEPLOYMENT, key)
        if replicas is None or live is None or not is_controlled_by(live, self.resource.uid):
            return
        manifest = {
            "apiVersion": DEPLOYMENT.api_version,
            "kind": DEPLOYMENT.name,
            "metadata": {"name": key.name, "namespace": key.namespace, **_same(live)},
            "spec": {"replicas": replicas},
        }
        self.store.put(DEPLOYMENT, await self.cluster.apply(DEPLOYMENT, manifest, manager=HANDOVER_MANAGER))
        logger.info(
            "Handed the number of replicas to the autoscaler", extra={"replicas": replicas, **self._describe(key)}
        )

    async def _apply(self, manifest: Manifest) -> bool:
        kind, key = BY_NAME[manifest["kind"]], Key(self.resource.namespace, manifest["metadata"]["name"])
        try:
            live = self.store.get(kind, key) or await self.cluster.get(kind, *key)
            if live is not None and read_plan_hash(live) == read_plan_hash(manifest) and not covers(live, manifest):
                # Somebody changed it, and only the API server knows who.
                live = await self.cluster.get(kind, *key)
            return await self._write(kind, key, live, manifest)
        except ClusterError as error:
            if kind.optional and error.is_absent:
                self.result.refusals.append(Refusal(kind=kind.name, name=key.name, missing_api=True))
            else:
                self.result.note(error)
            return False

    async def _write(self, kind: Kind, key: Key, live: Object | None, manifest: Manifest) -> bool:
        if live is not None:
            if is_leftover(live, self.resource):
                raise _make_leftover_error(kind, key)
            foreign = find_foreign(live, self.resource)
            if foreign is not None:
                self.result.refusals.append(foreign)
                return False
            if covers(live, manifest) or self.store.get_rewrite(kind, key) == _describe_rewrite(live, manifest):
                self.store.put(kind, live)
                return True
            edit = find_hand_edit(live, manifest, OWN_MANAGERS)
            if edit is not None:
                self.result.hand_edits.append(edit)
        applied = await self.cluster.apply(kind, manifest if live is None else _make_exact(manifest, live))
        self.store.put(kind, applied)
        self._remember_rewrite(kind, key, applied, manifest)
        logger.info("Applied child", extra={"kind": kind.name, **self._describe(key)})
        return True

    def _remember_rewrite(self, kind: Kind, key: Key, applied: Object, manifest: Manifest) -> None:
        """A webhook that rewrites what we write would do so again: it has the last word, and is not fought."""
        rewrite = _describe_rewrite(applied, manifest)
        self.store.set_rewrite(kind, key, rewrite)
        if rewrite is not None:
            extra = {"kind": kind.name, "fields": ", ".join(rewrite.paths), **self._describe(key)}
            logger.warning("The cluster's admission rewrites a child", extra=extra)

    def _describe(self, key: Key) -> dict[str, str]:
        # "name" is the logger's own field in a log record.
        return {"namespace": key.namespace, "inference": self.resource.name, "child": key.name}


def _make_exact(manifest: Manifest, live: Object) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], **_same(live)}}


def _same(live: Object) -> dict[str, str]:
    """What makes sure that it still is the object that was looked at, and as it was."""
    return {key: live["metadata"][key] for key in ("uid", "resourceVersion")}


def _describe_rewrite(live: Object, manifest: Manifest) -> Rewrite | None:
    paths = tuple(write_path(path) for path in find_differences(live, manifest))
    return Rewrite(read_plan_hash(manifest), paths) if paths else None


def _make_leftover_error(kind: Kind, key: Key) -> ClusterError:
    return ClusterError(
        verb="apply",
        kind=kind.name,
        namespace=key.namespace,
        name=key.name,
        status=HTTPStatus.CONFLICT,
        reason="Leftover",
        message="the one before is still being deleted",
    )
