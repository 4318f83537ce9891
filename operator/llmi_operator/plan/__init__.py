"""What shall exist for an LLMInference: pure functions from the spec to plain manifests."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmi_operator.parse import Resource
from llmi_operator.plan.autoscaler import build_autoscaler
from llmi_operator.plan.cache import build_cache
from llmi_operator.plan.deployment import build_deployment
from llmi_operator.plan.device_claim import build_claim_template
from llmi_operator.plan.disruption_budget import build_disruption_budget, wants_disruption_budget
from llmi_operator.plan.drift import covers
from llmi_operator.plan.engine_files import build_engine_files
from llmi_operator.plan.hand_edit import read_plan_hash
from llmi_operator.plan.names import PLAN_HASH_ANNOTATION
from llmi_operator.plan.network_policy import build_network_policy
from llmi_operator.plan.pin import build_pins, choose_pin
from llmi_operator.plan.pod import build_pod_template
from llmi_operator.plan.pod_monitor import build_pod_monitor
from llmi_operator.plan.replicas import ReplicasOwner, decide_replicas
from llmi_operator.plan.rollout import LiveRollout, RolloutDecision, Room, decide_rollout, make_strategy
from llmi_operator.plan.scaled_object import build_scaled_object
from llmi_operator.plan.service import build_service
from llmi_operator.plan.service_account import build_service_account
from llmi_operator.settings import ServerDefaults

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Live:
    """The facts about live objects that a plan depends on.

    Attributes:
        replicas: The Deployment's number of replicas; None when there is no Deployment.
        replicas_owner: Who owns that number.
        pins: Commits by key, from the ConfigMap.
        fetched: Commit that the first replica of the present model fetched; None when none has.
        cache_size: Size of the claim that keeps downloads; None when there is no claim.
        rollout: Where the Deployment's rollout stands; None when there is no Deployment.
        room: Where a new replica would find room.
    """

    replicas: int | None = None
    replicas_owner: ReplicasOwner = ReplicasOwner.OTHER
    pins: Mapping[str, str] = field(default_factory=dict)
    fetched: str | None = None
    cache_size: str | None = None
    rollout: LiveRollout | None = None
    room: Room = Room.UNKNOWN


@dataclass(frozen=True)
class Plan:
    """What shall exist; what we own beyond it shall go.

    Attributes:
        children: The manifests, in the order in which they are applied.
        hand_over: Number of replicas that another field manager takes over before anything is applied.
        rollout: How replicas are replaced.
        pin: Commit that every replica uses; None while it is not known, and where nothing has to be pinned.
    """

    children: tuple[Manifest, ...]
    hand_over: int | None
    rollout: RolloutDecision
    pin: str | None = None

    @property
    def deployment(self) -> Manifest:
        """The Deployment among the children."""
        return next(child for child in self.children if child["kind"] == "Deployment")

    def makes_pods_of(self, live: Mapping[str, Any]) -> bool:
        """Whether a live Deployment makes the pods that this plan wants."""
        same = read_plan_hash(live) == read_plan_hash(self.deployment)
        return same or covers(live["spec"]["template"], self.deployment["spec"]["template"])


def make_plan(resource: Resource, defaults: ServerDefaults, live: Live) -> Plan:
    """Decide what shall exist. The same input always gives the same plan."""
    decision = decide_replicas(resource.spec, live=live.replicas, owner=live.replicas_owner)
    pin = choose_pin(resource.spec.model, live.pins, live.fetched)
    deployment, rollout = _build_deployment(resource, defaults, live, decision.in_manifest)
    children = (
        *_build_surroundings(resource, defaults, live, pin),
        build_service(resource),
        deployment,
        *_build_attendants(resource, live.replicas if decision.in_manifest is None else decision.in_manifest),
    )
    return Plan(
        children=tuple(_with_hash(child) for child in children),
        hand_over=decision.hand_over,
        rollout=rollout,
        pin=pin,
    )


def _build_deployment(
    resource: Resource, defaults: ServerDefaults, live: Live, replicas: int | None
) -> tuple[Manifest, RolloutDecision]:
    template = build_pod_template(resource, defaults)

    def build(strategy: Mapping[str, Any]) -> Manifest:
        deployment = build_deployment(resource, template, strategy)
        if replicas is not None:
            deployment["spec"]["replicas"] = replicas
        return deployment

    begins = False
    if resource.spec.accelerator is not None and live.rollout is not None:
        # Where admission rewrites what we write, it differs for ever, and the hash says that it is the same.
        same = read_plan_hash(_with_hash(build(live.rollout.strategy))) == live.rollout.plan_hash
        begins = not same and not covers(live.rollout.template, template)
    rollout = decide_rollout(resource.spec, live.rollout, begins=begins, room=live.room)
    return build(make_strategy(rollout)), rollout


def _build_surroundings(
    resource: Resource, defaults: ServerDefaults, live: Live, pin: str | None
) -> Iterator[Manifest]:
    """What a pod needs before it starts: its account, its walls, its pin, its devices and its disk."""
    yield build_service_account(resource)
    yield build_network_policy(resource, defaults)
    pins = build_pins(resource, live.pins, pin)
    if pins is not None:
        yield pins
    files = build_engine_files(resource)
    if files is not None:
        yield files
    claims = build_claim_template(resource)
    if claims is not None:
        yield claims
    cache = resource.spec.model.cache
    if cache is not None and cache.size is not None:
        yield build_cache(resource, cache, live.cache_size)


def _build_attendants(resource: Resource, replicas: int | None) -> Iterator[Manifest]:
    """What looks after the pods once they run."""
    if resource.spec.autoscaling is not None:
        build = build_scaled_object if resource.spec.autoscaling.uses_keda else build_autoscaler
        yield build(resource, resource.spec.autoscaling)
    if wants_disruption_budget(resource.spec, replicas):
        yield build_disruption_budget(resource)
    if resource.spec.observability.metrics.pod_monitor:
        yield build_pod_monitor(resource)


def _with_hash(manifest: Manifest) -> Manifest:
    """Mark a manifest with its own hash, so that a field we no longer want is noticed even after a restart."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    annotations = {**manifest["metadata"].get("annotations", {}), PLAN_HASH_ANNOTATION: digest}
    metadata = {**manifest["metadata"], "annotations": annotations}
    return {**manifest, "metadata": metadata}
