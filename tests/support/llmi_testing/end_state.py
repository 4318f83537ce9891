"""What an LLMInference came to, without what differs from run to run: two runs can be compared."""

from __future__ import annotations

import json
import re
from typing import Any

from llmi_testing.api import CHILD_KINDS, Api

# Chosen by the server, or a time.
_OWN = frozenset({
    "uid", "resourceVersion", "creationTimestamp", "generation", "time", "clusterIP", "clusterIPs", "nodePort",
    "lastTransitionTime", "healthCheckNodePort", "selfLink",
})  # fmt: skip
# An apply writes the hash of the manifest, which has the owner's uid in it.
_HASH = "llminference.dev/plan-hash"
# Of one replica's life: no two runs measure the same.
_MEASURED = frozenset({"startup", "memory", "rollout"})
_SECONDS = re.compile(r"\d+ (s|seconds)\b")


def read_end_state(api: Api, namespace: str, name: str) -> dict[str, Any]:
    """Everything about a resource and its children that must not depend on what went wrong on the way."""
    resource = api.get("llminferences", namespace, name)
    if resource is None:
        return {"gone": True, "left": leftovers(api, namespace, name)}
    status = {key: value for key, value in (resource.get("status") or {}).items() if key not in _MEASURED}
    state = {"resource": {"spec": resource["spec"], "status": status}}
    for (kind, child), body in api.children(resource).items():
        state[f"{kind}/{child}"] = {key: body.get(key) for key in ("metadata", "spec", "data") if key in body}
    masked: dict[str, Any] = json.loads(_mask_names(json.dumps(_mask(state)), namespace, name))
    return masked


def leftovers(api: Api, namespace: str, name: str) -> list[tuple[str, str]]:
    """What of a resource's children exists although the resource does not."""
    selector = f"llminference.dev/llminference={name}"
    return [(kind, body["metadata"]["name"]) for kind in CHILD_KINDS for body in api.list(kind, namespace, selector)]


def is_answered(api: Api, namespace: str, name: str) -> bool:
    """Whether the status speaks of the present spec, whatever it says."""
    body = api.get("llminferences", namespace, name)
    return body is not None and (body.get("status") or {}).get("observedGeneration") == body["metadata"]["generation"]


def is_settled(api: Api, namespace: str, name: str) -> bool:
    """Whether the status speaks of the present spec and says that it is ready."""
    body = api.get("llminferences", namespace, name)
    if body is None:
        return False
    status = body.get("status") or {}
    ready = next((item for item in status.get("conditions") or () if item["type"] == "Ready"), {})
    return status.get("observedGeneration") == body["metadata"]["generation"] and ready.get("status") == "True"


def _mask(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "-" if key == _HASH else _mask(item) for key, item in value.items() if key not in _OWN}
    if isinstance(value, list):
        masked = [_mask(item) for item in value]
        by_manager = all(isinstance(item, dict) and "manager" in item for item in masked)
        return sorted(masked, key=lambda item: json.dumps(item, sort_keys=True)) if by_manager else masked
    return value


def _mask_names(text: str, namespace: str, name: str) -> str:
    # In managed fields the uid of the owner is a part of a key.
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID", text)
    text = re.sub(rf"\b{re.escape(namespace)}\b", "NAMESPACE", text)
    text = re.sub(rf"\b{re.escape(name)}\b", "NAME", text)
    return _SECONDS.sub("SOME seconds", text)
