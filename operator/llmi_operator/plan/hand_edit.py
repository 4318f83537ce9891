"""What somebody changed in an object that we own, and who: told before it is set back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmi_operator.plan.drift import Path, find_differences
from llmi_operator.plan.names import PLAN_HASH_ANNOTATION

SHOWN_PATHS = 5
SOMEBODY = "somebody"


@dataclass(frozen=True)
class HandEdit:
    """A change by others to fields of ours.

    Attributes:
        paths: The fields, as ``spec.replicas``.
        managers: Field managers that hold them now; empty when fields were taken away, which leaves no trace.
    """

    kind: str
    name: str
    paths: tuple[str, ...]
    managers: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What happened, and what to do instead."""
        shown = self.paths[:SHOWN_PATHS]
        more = f" and {len(self.paths) - len(shown)} more" if len(self.paths) > len(shown) else ""
        who = " and ".join(self.managers) or SOMEBODY
        return (
            f"{who} changed {', '.join(shown)}{more} of {self.kind} {self.name}, and it was set back: "
            "change the LLMInference instead, or set spec.paused while you try things."
        )


def find_hand_edit(live: Mapping[str, Any], wanted: Mapping[str, Any], own: frozenset[str]) -> HandEdit | None:
    """Say what others changed; None when nothing differs, or because our own plan has changed since.

    Args:
        live: The object with its managed fields.
        wanted: The manifest, with the hash of the plan.
        own: Field managers that are the operator's.
    """
    if read_plan_hash(live) != read_plan_hash(wanted):
        return None
    paths = list(find_differences(live, wanted))
    if not paths:
        return None
    managers = sorted({name for path in paths for name in _find_managers(live, path) if name not in own})
    return HandEdit(live["kind"], live["metadata"]["name"], tuple(write_path(path) for path in paths), tuple(managers))


def read_plan_hash(body: Mapping[str, Any]) -> str:
    """The hash of the plan that an object was applied from; empty when it carries none."""
    return str((body["metadata"].get("annotations") or {}).get(PLAN_HASH_ANNOTATION, ""))


def write_path(path: Path) -> str:
    """Write ``spec.containers[server].image``."""
    return ".".join(path).replace(".[", "[")


def _find_managers(live: Mapping[str, Any], path: Path) -> list[str]:
    return [
        entry.get("manager", "")
        for entry in live["metadata"].get("managedFields") or ()
        if _owns(entry.get("fieldsV1") or {}, path)
    ]


def _owns(fields: Mapping[str, Any], path: Path) -> bool:
    """Whether a set of fields holds the place, or the whole of something that it is in."""
    if not path or not fields:
        return not path or fields == {}
    step, rest = path[0], path[1:]
    if step.startswith("["):
        return any(_owns(inner, rest) for key, inner in fields.items() if _is_item(key, step[1:-1]))
    return f"f:{step}" in fields and _owns(fields[f"f:{step}"], rest)


def _is_item(key: str, name: str) -> bool:
    """Whether a key of managed fields can mean the item; those of ports, for one, do not hold names."""
    if not key.startswith("k:"):
        return False
    parsed = json.loads(key[2:])
    return not isinstance(parsed, dict) or parsed.get("name", name) == name
