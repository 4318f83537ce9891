"""What a spec came to in the end, without what the way there decides: created and changed resources compare equal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from llmi_testing.api import Api, Body

# Chosen by the server for one object.
_OWN = frozenset({
    "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "clusterIP", "clusterIPs", "nodePort",
    "healthCheckNodePort", "lastTransitionTime", "observedGeneration", "namespace",
})  # fmt: skip
# Written by others, or by us with a uid inside.
_ANNOTATIONS = frozenset({"llminference.dev/plan-hash", "deployment.kubernetes.io/revision"})
# Durations, and counts that an autoscaler or an older version that still answers decide.
_HISTORY = frozenset({"startup", "memory", "scaling", "rollout"})
_COUNTS = frozenset({"replicas", "readyReplicas", "ready", "url", "urls", "addresses"})
_POD = re.compile(r"-[a-z0-9]{8,10}-(?:[a-z0-9]{5}\b)?")
# Said only where an older version is there, which afresh it is not.
_OF_THE_OLDER = re.compile(
    r"( With spec\.rollout\.mode Auto, an old replica makes room\.)?( Until then .* on answering\.)?$"
)
_SECONDS = re.compile(r"\b\d+ s\b")
LOOKS = 3
"""So many looks in a row must find the same."""


@dataclass(frozen=True)
class Outcome:
    """A resource at rest.

    Attributes:
        bad: Whether somebody must do something.
        refused: Whether the API server refuses a child.
        shape: What must not depend on how it came about.
    """

    bad: bool
    refused: bool
    shape: dict[str, Any]

    def comparable_with(self, fresh: Outcome) -> dict[str, Any]:
        """The shape without what a refusal leaves as it was, and afresh leaves out: what ran before goes on."""
        if not fresh.refused:
            return self.shape
        return {key: value for key, value in self.shape.items() if key in fresh.shape}


def read_outcome(api: Api, namespace: str, name: str) -> Outcome:
    """Read what a resource that exists came to."""
    resource = api.need("llminferences", namespace, name)
    status = resource.get("status") or {}
    conditions = {item["type"]: item for item in status.get("conditions") or ()}
    bad = conditions.get("Degraded", {}).get("status") == "True"
    # Without a number an autoscaler decides, or has decided before it was switched off.
    free = "replicas" not in resource["spec"]
    shape: dict[str, Any] = {"status": _mask_status(status, loose=bad or free)}
    for (kind, child), body in api.children(resource).items():
        if kind == "persistentvolumeclaims" and "cache" not in resource["spec"]["model"]:
            continue  # kept because its retention says so
        if kind == "poddisruptionbudgets" and free and "autoscaling" not in resource["spec"]:
            continue  # there where several replicas are left
        shape[f"{kind}/{child}"] = _mask_child(body, free=free)
    refused = conditions.get("Ready", {}).get("reason") == "Refused"
    return Outcome(bad, refused, _mask_words(_mask_words(shape, name, "NAME"), namespace, "NAMESPACE"))


def is_at_rest(api: Api, namespace: str, name: str, seen: list[str]) -> bool:
    """Whether status and Deployment speak of what is asked for now, and nothing changed since the look before.

    ``seen`` is this resource's own list of what was seen so far; the caller keeps it.
    """
    resource = api.need("llminferences", namespace, name)
    deployment = api.get("deployments", namespace, name)
    pods = api.list("pods", namespace, f"llminference.dev/llminference={name}")
    bodies = [resource, *([deployment] if deployment else []), *pods]
    seen.append(" ".join(body["metadata"]["resourceVersion"] for body in bodies))
    current = all(
        body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
        for body in bodies[: 2 if deployment else 1]
    )
    return current and len(seen) >= LOOKS and len(set(seen[-LOOKS:])) == 1


def _mask_status(status: Body, *, loose: bool) -> Body:
    left_out = _HISTORY | (_COUNTS if loose else frozenset())
    masked: Body = {key: value for key, value in status.items() if key not in left_out}
    if loose:  # an older version may go on answering
        masked["conditions"] = [item for item in status.get("conditions") or () if item["type"] != "Available"]
    result: Body = _mask(masked)
    return result


def _mask_child(body: Body, *, free: bool) -> Body:
    masked: Body = _mask({key: value for key, value in body.items() if key != "status"})
    if free:
        masked.get("spec", {}).pop("replicas", None)
    return masked


def _mask(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _mask(item) for key, item in value.items() if key not in _OWN | _ANNOTATIONS}
    return [_mask(item) for item in value] if isinstance(value, list) else value


def _mask_words(value: Any, word: str, mask: str) -> Any:
    if isinstance(value, dict):
        return {_mask_words(key, word, mask): _mask_words(item, word, mask) for key, item in value.items()}
    if isinstance(value, list):
        return [_mask_words(item, word, mask) for item in value]
    if not isinstance(value, str):
        return value
    text = _SECONDS.sub("SOME s", _OF_THE_OLDER.sub("", _POD.sub("-POD", value)))
    return re.sub(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", mask, text)


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two shapes differ, a line each."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted(one.keys() | other.keys(), key=str)
            for line in differences(one.get(key, "nothing"), other.get(key, "nothing"), f"{path}.{key}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for number, (a, b) in pairs for line in differences(a, b, f"{path}[{number}]")]
    return [] if one == other else [f"{path}: {one!r} on this way, {other!r} afresh"]
