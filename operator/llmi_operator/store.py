"""What the cluster looks like as far as we know: fed by watches, listings and our own writes."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from llmi_api import labels
from llmi_operator.kinds import DEPLOYMENT, INFERENCE, MOUNT_EVENT, WATCHED, Kind
from llmi_operator.metrics import STORED_OBJECTS
from llmi_operator.observed import Refusal

Object = dict[str, Any]
TOLD_AGAIN = timedelta(minutes=1)
REPLICAS_OWNERS = "replicasOwners"
"""Key we add to a stored Deployment: the field managers that own ``spec.replicas``."""


class Key(NamedTuple):
    """Name of an LLMInference."""

    namespace: str
    name: str


class Rewrite(NamedTuple):
    """How the cluster's admission changed what we wrote.

    Attributes:
        plan_hash: Of the manifest that we wrote.
        paths: Where the answer differed from it.
    """

    plan_hash: str
    paths: tuple[str, ...]


class _Place(NamedTuple):
    kind: Kind
    namespace: str
    name: str


class Packed(NamedTuple):
    """A stored object as text: a tenth of what it takes as dicts, and thousands of them are at rest."""

    uid: str
    version: int
    text: bytes

    def unpack(self) -> Object:
        """The object itself, a copy of one's own each time."""
        body: Object = json.loads(self.text)
        return body


class Store:
    """Trimmed copies of all objects that concern us, by the LLMInference they belong to."""

    def __init__(self) -> None:
        self._objects: dict[_Place, Packed] = {}
        self._owners: dict[_Place, Key] = {}
        self._by_owner: defaultdict[Key, set[_Place]] = defaultdict(set)
        self._pod_owners: dict[str, Key] = {}
        self._rewrites: dict[_Place, Rewrite] = {}
        self._told: dict[Key, dict[str, datetime]] = {}
        self._waits: dict[Key, tuple[frozenset[str], datetime]] = {}
        self._blind: dict[tuple[Kind, str], Refusal] = {}
        self._newest: dict[Kind, int] = {}

    def newest(self, kind: Kind) -> int:
        """The newest version of any object of a kind that was ever seen: a listing that is older is stale."""
        return self._newest.get(kind, 0)

    def put(self, kind: Kind, body: Mapping[str, Any]) -> Key | None:
        """Remember an object unless a newer copy is known.

        Returns:
            The LLMInference that it concerns; None when the copy is old or it concerns none.
        """
        metadata = body["metadata"]
        self._newest[kind] = max(self.newest(kind), _version(body))
        place = _Place(kind, metadata.get("namespace", ""), metadata["name"])
        known = self._objects.get(place)
        if known and known.uid == metadata["uid"] and known.version >= _version(body):
            return None
        owner = self.find_owner(kind, body)
        self._forget(place)
        if owner is None:
            return None
        self._objects[place] = pack(kind, body)
        self._owners[place] = owner
        self._by_owner[owner].add(place)
        if kind.name == "Pod":
            self._pod_owners[metadata["uid"]] = owner
        return owner

    def drop(self, kind: Kind, body: Mapping[str, Any]) -> Key | None:
        """Forget an object that was deleted; one with another uid under the same name stays."""
        metadata = body["metadata"]
        place = _Place(kind, metadata.get("namespace", ""), metadata["name"])
        known = self._objects.get(place)
        if known and known.uid != metadata["uid"]:
            return None
        owner = self._owners.get(place) or self.find_owner(kind, body)
        self._forget(place)
        self._rewrites.pop(place, None)
        if kind == INFERENCE and owner is not None:
            self._told.pop(owner, None)
            self._waits.pop(owner, None)
        return owner

    def replace(self, kind: Kind, namespace: str, bodies: Iterable[Mapping[str, Any]], version: str) -> set[Key]:
        """Take over a complete listing; objects written after it stay.

        Returns:
            The LLMInferences that something changed for.
        """
        changed: set[Key] = set()
        listed: set[_Place] = set()
        for body in bodies:
            metadata = body["metadata"]
            listed.add(_Place(kind, metadata.get("namespace", ""), metadata["name"]))
            owner = self.put(kind, body)
            if owner:
                changed.add(owner)
        for place, known in list(self._objects.items()):
            elsewhere = place.kind != kind or (namespace and place.namespace != namespace)
            if elsewhere or place in listed or known.version > to_number(version):
                continue
            changed.add(self._owners[place])
            self._forget(place)
        return changed

    def forget(self, kind: Kind) -> set[Key]:
        """Forget all objects of a kind that is not served any more.

        Returns:
            The LLMInferences that something changed for.
        """
        places = [place for place in self._objects if place.kind == kind]
        changed = {self._owners[place] for place in places}
        for place in places:
            self._forget(place)
        return changed

    def get(self, kind: Kind, key: Key) -> Object | None:
        """The object of a kind with this name: the resource itself, or a child."""
        packed = self._objects.get(_Place(kind, key.namespace, key.name))
        return packed.unpack() if packed else None

    def children(self, kind: Kind, key: Key) -> list[Object]:
        """All objects of a kind that belong to an LLMInference, by name."""
        mine = sorted(
            (place for place in self._by_owner.get(key, ()) if place.kind == kind), key=lambda place: place.name
        )
        return [self._objects[place].unpack() for place in mine]

    def set_blindness(self, kind: Kind, namespace: str, refusal: Refusal | None) -> bool:
        """Note that a kind may not be listed, or may; empty for all namespaces.

        Returns:
            Whether that is news.
        """
        before = self._blind.pop((kind, namespace), None)
        if refusal is not None:
            self._blind[kind, namespace] = refusal
        return before != refusal

    def find_blindness(self, namespace: str = "") -> dict[Kind, Refusal]:
        """The kinds that may not be listed in a namespace; empty for those of any."""
        return {
            kind: refusal for (kind, place), refusal in self._blind.items() if not namespace or place in {"", namespace}
        }

    def inferences(self) -> list[Key]:
        """All LLMInferences."""
        return [Key(place.namespace, place.name) for place in self._objects if place.kind == INFERENCE]

    def is_news(self, key: Key, sentence: str, now: datetime) -> bool:
        """Whether a sentence was not told about an LLMInference within the last minute; counts as told from now on."""
        told = {text: when for text, when in self._told.pop(key, {}).items() if now - when < TOLD_AGAIN}
        news = sentence not in told
        self._told[key] = {sentence: now} | told
        return news

    def waits_since(self, key: Key, what: frozenset[str], now: datetime) -> datetime:
        """Since when an LLMInference has waited for exactly this; a new operator counts from when it first sees it."""
        if not what:
            self._waits.pop(key, None)
            return now
        before = self._waits.get(key)
        if before is None or before[0] != what:
            before = self._waits[key] = (what, now)
        return before[1]

    def get_rewrite(self, kind: Kind, key: Key) -> Rewrite | None:
        """How admission changed what we wrote last; None when it did not."""
        return self._rewrites.get(_Place(kind, key.namespace, key.name))

    def set_rewrite(self, kind: Kind, key: Key, rewrite: Rewrite | None) -> None:
        """Remember how admission changed what we wrote, or that it did not."""
        place = _Place(kind, key.namespace, key.name)
        if rewrite is None:
            self._rewrites.pop(place, None)
        else:
            self._rewrites[place] = rewrite

    def find_owner(self, kind: Kind, body: Mapping[str, Any]) -> Key | None:
        """Which LLMInference an object concerns."""
        metadata = body["metadata"]
        namespace = metadata.get("namespace", "")
        if kind == INFERENCE:
            return Key(namespace, metadata["name"])
        if kind == MOUNT_EVENT:
            return self._pod_owners.get(body.get("involvedObject", {}).get("uid", ""))
        for reference in metadata.get("ownerReferences") or ():
            if reference.get("controller") and reference.get("kind") == labels.KIND:
                return Key(namespace, reference["name"])
        name = (metadata.get("labels") or {}).get(labels.OWNER_LABEL)
        return Key(namespace, name) if name else None

    def publish_size(self) -> None:
        """Bring the metric of stored objects up to date."""
        for kind in WATCHED:
            STORED_OBJECTS.labels(kind=kind.name).set(sum(place.kind == kind for place in self._objects))

    def _forget(self, place: _Place) -> None:
        packed = self._objects.pop(place, None)
        owner = self._owners.pop(place, None)
        if owner is None or packed is None:
            return
        self._by_owner[owner].discard(place)
        if not self._by_owner[owner]:
            del self._by_owner[owner]
        if place.kind.name == "Pod":
            self._pod_owners.pop(packed.uid, None)


def pack(kind: Kind, body: Mapping[str, Any]) -> Packed:
    """Trim an object and pack it."""
    text = json.dumps(trim(kind, body), separators=(",", ":"), ensure_ascii=False)
    return Packed(body["metadata"]["uid"], _version(body), text.encode())


def trim(kind: Kind, body: Mapping[str, Any]) -> Object:
    """Copy without what nobody reads; ownership of the replicas is all that managed fields are needed for."""
    dropped = {"managedFields", "generateName", "selfLink"}
    metadata = {key: value for key, value in body["metadata"].items() if key not in dropped}
    # The items of a listing do not say what they are.
    trimmed = {"apiVersion": kind.api_version, "kind": kind.name, **body, "metadata": metadata}
    if kind == DEPLOYMENT and REPLICAS_OWNERS not in body:
        trimmed[REPLICAS_OWNERS] = list_replicas_owners(body)
    return trimmed


def list_replicas_owners(body: Mapping[str, Any]) -> list[str]:
    """The field managers that own ``spec.replicas`` of a Deployment; ``name/scale`` if through that subresource."""
    return sorted(
        "/".join(filter(None, (entry.get("manager"), entry.get("subresource"))))
        for entry in body["metadata"].get("managedFields") or ()
        if "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
    )


def _version(body: Mapping[str, Any]) -> int:
    return to_number(body["metadata"].get("resourceVersion", "0"))


def to_number(version: str) -> int:
    """A resource version as something to compare."""
    return int(version) if version.isdigit() else 0
