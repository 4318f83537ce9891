"""Makes sure that what a pass writes follows from what the cluster is, not from what it was.

Watches and listings may lag behind, and a replica may have slept while another one led: a write that follows from an
old copy would undo what somebody has done since. So before its first write a pass reads its resource anew, and every
write says which version of the object it means.
"""

import asyncio
from http import HTTPStatus

from llmi_api import labels
from llmi_operator.cluster.client import Cluster, Object
from llmi_operator.errors import STALE, ClusterError
from llmi_operator.kinds import INFERENCE, Kind
from llmi_operator.parse import Resource
from llmi_operator.store import Key, Store


class ConfirmedWrites:
    """The cluster as one pass may change it.

    Attributes:
        get: Reading needs no confirmation.
    """

    def __init__(self, cluster: Cluster, store: Store, resource: Resource) -> None:
        self._cluster = cluster
        self._store = store
        self._resource = resource
        self._lock = asyncio.Lock()
        self._confirmed = False
        self._refusal: ClusterError | None = None
        self.get = cluster.get

    async def apply(self, kind: Kind, manifest: Object, *, manager: str = labels.FIELD_MANAGER) -> Object:
        """Server-side apply, once the resource is known to be what the plan was made from."""
        await self._confirm()
        try:
            return await self._cluster.apply(kind, manifest, manager=manager)
        except ClusterError as error:
            await self._look_again(kind, manifest, error)
            raise

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str, version: str) -> None:
        """Delete an object, once the resource is known to be what the plan was made from."""
        await self._confirm()
        await self._cluster.delete(kind, namespace, name, uid=uid, version=version)

    async def _confirm(self) -> None:
        async with self._lock:
            if self._refusal is not None:
                # Children are applied side by side: one answer is for all of them.
                raise self._refusal
            if not self._confirmed:
                try:
                    await self._read_resource()
                except ClusterError as error:
                    self._refusal = error
                    raise
                self._confirmed = True

    async def _read_resource(self) -> None:
        resource = self._resource
        key = Key(resource.namespace, resource.name)
        live = await self._cluster.get(INFERENCE, *key)
        if live is None:
            known = self._store.get(INFERENCE, key)
            if known is not None and known["metadata"]["uid"] == resource.uid:
                self._store.drop(INFERENCE, known)
            raise _make_error(key, "it is gone")
        self._store.put(INFERENCE, live)
        metadata = live["metadata"]
        if metadata["uid"] != resource.uid:
            raise _make_error(key, "it was made anew")
        if "deletionTimestamp" in metadata or metadata.get("generation", 0) != resource.generation:
            raise _make_error(key, "it has changed")

    async def _look_again(self, kind: Kind, body: Object, error: ClusterError) -> None:
        """After a conflict, learn what the object is now: no watch may be there to tell."""
        if not error.is_conflict:
            return
        metadata = body["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        live = await self._cluster.get(kind, *key)
        known = self._store.get(kind, key)
        if live is not None:
            self._store.put(kind, live)
        elif known is not None:
            self._store.drop(kind, known)


def _make_error(key: Key, message: str) -> ClusterError:
    return ClusterError(
        verb="get",
        kind=INFERENCE.name,
        namespace=key.namespace,
        name=key.name,
        status=HTTPStatus.CONFLICT,
        reason=STALE,
        message=f"what is known of it is old: {message}",
    )
