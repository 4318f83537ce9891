"""An API server in memory, as far as the operator needs one: applying, ownership of replicas, refusals on demand."""

import copy
import itertools
from collections.abc import Callable
from typing import Any

from llmi_api import labels
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import DEPLOYMENT, INFERENCE, LEASE, Kind

Object = dict[str, Any]
Place = tuple[str, str, str]
Writes = list[tuple[str, str, str]]


class FakeCluster:
    """Remembers objects and every request. Without defaults and validation: tests/apiserver has those.

    Attributes:
        requests: All writes, as (verb, kind, name).
        refusals: A ClusterError for (verb, kind): raised instead of an answer.
        rewrite: What admission does to everything that is applied.
    """

    def __init__(self) -> None:
        self.objects: dict[Place, Object] = {}
        self.requests: Writes = []
        self.events: list[Object] = []
        self.refusals: dict[tuple[str, str], ClusterError] = {}
        self.rewrite: Callable[[Object], object] = lambda body: body
        self._versions = itertools.count(100)
        self._uids = itertools.count(1)

    def refuse(self, verb: str, kind: Kind, status: int, message: str = "no") -> None:
        """Refuse a verb on a kind from now on."""
        self.refusals[verb, kind.name] = ClusterError(
            verb=verb, kind=kind.name, namespace="models", name="bert", status=status, reason="", message=message
        )

    def find(self, kind: Kind, name: str = "bert", namespace: str = "models") -> Object:
        """Give an object that must exist, to look at or to change."""
        return self.objects[kind.name, namespace, name]

    def put(self, kind: Kind, body: Object) -> Object:
        """Store an object as somebody else would."""
        metadata = body["metadata"]
        metadata.setdefault("uid", f"uid-{next(self._uids)}")
        metadata["resourceVersion"] = str(next(self._versions))
        self.objects[kind.name, metadata["namespace"], metadata["name"]] = body
        return copy.deepcopy(body)

    async def is_served(self, kind: Kind) -> bool:
        """Everything is served."""
        return bool(kind)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Read one object."""
        self._check("get", kind)
        return copy.deepcopy(self.objects.get((kind.name, namespace, name)))

    async def list(self, kind: Kind, namespace: str = "") -> tuple[list[Object], str]:
        """Read all objects of a kind; like the real one, without saying what they are."""
        self._check("list", kind)
        found = [
            body for (name, space, _), body in self.objects.items() if name == kind.name and namespace in {"", space}
        ]
        bare = [{key: value for key, value in body.items() if key not in {"apiVersion", "kind"}} for body in found]
        return copy.deepcopy(bare), str(next(self._versions))

    async def apply(self, kind: Kind, manifest: Object, *, manager: str = labels.FIELD_MANAGER) -> Object:
        """Create or change; drops replicas to 1 when their only owner stops sending them, as the real one does."""
        self._check("apply", kind)
        metadata = manifest["metadata"]
        self.requests.append(("apply", kind.name, metadata["name"]))
        known = self.objects.get((kind.name, metadata["namespace"], metadata["name"]))
        if known is not None and _is_changed(known, metadata):
            raise _conflict("apply", kind)
        whole = manager == labels.FIELD_MANAGER
        body = (
            copy.deepcopy(manifest)
            if whole or known is None
            else {**known, "spec": {**known["spec"], **manifest["spec"]}}
        )
        if known is not None:
            body["metadata"] = {**known["metadata"], **body["metadata"]}
            body["status"] = known.get("status", {})
        if kind == DEPLOYMENT:
            self._settle_replicas(body, known, manifest, manager)
        self.rewrite(body)
        return self.put(kind, body)

    async def apply_status(self, manifest: Object) -> Object:
        """Replace the status."""
        self._check("status", INFERENCE)
        metadata = manifest["metadata"]
        self.requests.append(("status", INFERENCE.name, metadata["name"]))
        known = self.objects[INFERENCE.name, metadata["namespace"], metadata["name"]]
        if _is_changed(known, metadata):
            raise _conflict("status", INFERENCE)
        return self.put(INFERENCE, {**known, "status": copy.deepcopy(manifest["status"])})

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str, version: str) -> None:
        """Delete an object if it has the uid and the version."""
        self._check("delete", kind)
        self.requests.append(("delete", kind.name, name))
        known = self.objects.get((kind.name, namespace, name))
        if known is None:
            return
        if (known["metadata"]["uid"], known["metadata"]["resourceVersion"]) != (uid, version):
            raise _conflict("delete")
        del self.objects[kind.name, namespace, name]

    async def post_event(self, event: Object) -> None:
        """Remember an event."""
        self._check("create", Kind("", "v1", "events", "Event"))
        self.events.append(event)

    async def create_lease(self, lease: Object) -> Object:
        """Create the lease unless it exists."""
        self._check("create", LEASE)
        if (LEASE.name, lease["metadata"]["namespace"], lease["metadata"]["name"]) in self.objects:
            raise _conflict("create")
        return self.put(LEASE, copy.deepcopy(lease))

    async def replace_lease(self, lease: Object) -> Object:
        """Replace the lease unless somebody changed it."""
        self._check("update", LEASE)
        metadata = lease["metadata"]
        known = self.objects[LEASE.name, metadata["namespace"], metadata["name"]]
        if known["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise _conflict("update")
        return self.put(LEASE, copy.deepcopy(lease))

    def writes(self) -> Writes:
        """Give all writes since the last call."""
        done, self.requests = self.requests, []
        return done

    def _check(self, verb: str, kind: Kind) -> None:
        error = self.refusals.get((verb, kind.name))
        if error is not None:
            raise error

    def _settle_replicas(self, body: Object, known: Object | None, manifest: Object, manager: str) -> None:
        owners = owners_of_replicas(known) if known else set()
        if "replicas" in manifest["spec"]:
            same = known is not None and known["spec"].get("replicas") == manifest["spec"]["replicas"]
            owners = (owners if same else set()) | {manager}
        else:
            owners -= {manager}
            kept = known["spec"]["replicas"] if known and (owners or manager not in owners_of_replicas(known)) else 1
            body["spec"]["replicas"] = kept
        body["metadata"]["managedFields"] = [
            {"manager": name, "fieldsV1": {"f:spec": {"f:replicas": {}}}} for name in sorted(owners)
        ]


def owners_of_replicas(body: Object) -> set[str]:
    """Which managers own the number of replicas."""
    return {entry["manager"] for entry in body["metadata"].get("managedFields", ())}


def _is_changed(known: Object, metadata: Object) -> bool:
    return known["metadata"]["resourceVersion"] != metadata.get("resourceVersion", known["metadata"]["resourceVersion"])


def _conflict(verb: str, kind: Kind = LEASE) -> ClusterError:
    return ClusterError(
        verb=verb, kind=kind.name, namespace="", name="", status=409, reason="Conflict", message="it was changed"
    )
