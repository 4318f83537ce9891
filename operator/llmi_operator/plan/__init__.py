"""What shall exist for an LLMInference: pure functions from the spec to plain manifests."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from llmi_operator.parse import Resource
from llmi_operator.plan.autoscaler import build_autoscaler
from llmi_operator.plan.deployment import build_deployment
from llmi_operator.plan.names import PLAN_HASH_ANNOTATION
from llmi_operator.plan.replicas import decide_replicas
from llmi_operator.plan.service import build_service
from llmi_operator.settings import ServerDefaults

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Live:
    """The two facts about the live Deployment that a plan depends on."""

    replicas: int | None = None
    owns_replicas: bool = False


@dataclass(frozen=True)
class Plan:
    """What shall exist; what we own beyond it shall go.

    Attributes:
        children: The manifests, in the order in which they are applied.
        hand_over: Number of replicas that another field manager takes over before anything is applied.
    """

    children: tuple[Manifest, ...]
    hand_over: int | None


def make_plan(resource: Resource, defaults: ServerDefaults, live: Live) -> Plan:
    """Decide what shall exist. The same input always gives the same plan."""
    decision = decide_replicas(resource.spec, live=live.replicas, owned=live.owns_replicas)
    deployment = build_deployment(resource, defaults)
    if decision.in_manifest is not None:
        deployment["spec"]["replicas"] = decision.in_manifest
    children = [build_service(resource), deployment]
    if resource.spec.autoscaling is not None:
        children.append(build_autoscaler(resource, resource.spec.autoscaling))
    return Plan(children=tuple(_with_hash(child) for child in children), hand_over=decision.hand_over)


def _with_hash(manifest: Manifest) -> Manifest:
    """Mark a manifest with its own hash, so that a field we no longer want is noticed even after a restart."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    metadata = {**manifest["metadata"], "annotations": {PLAN_HASH_ANNOTATION: digest}}
    return {**manifest, "metadata": metadata}
