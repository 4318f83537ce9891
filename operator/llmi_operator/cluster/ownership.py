"""Whose an object is: ours, an orphan that may be adopted, a leftover that will go, or somebody else's."""

from collections.abc import Mapping
from typing import Any

from llmi_api import labels
from llmi_operator.observed import Refusal
from llmi_operator.parse import Resource

_Body = Mapping[str, Any]


def is_controlled_by(body: _Body, uid: str) -> bool:
    """Whether an object's controller is the one with this uid."""
    return any(
        reference.get("controller") and reference.get("uid") == uid
        for reference in body["metadata"].get("ownerReferences") or ()
    )


def is_leftover(live: _Body, resource: Resource) -> bool:
    """Whether it is going, or belongs to an earlier resource of the same name, so that it will."""
    return "deletionTimestamp" in live["metadata"] or any(
        item.get("controller")
        and item["kind"] == labels.KIND
        and item["name"] == resource.name
        and item["uid"] != resource.uid
        for item in live["metadata"].get("ownerReferences") or ()
    )


def find_foreign(live: _Body, resource: Resource) -> Refusal | None:
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
