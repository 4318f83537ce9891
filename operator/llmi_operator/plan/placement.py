"""On which nodes the pods may run, like to run, and stay."""

from typing import Any

from llmi_api.v1alpha1.placement import Spread
from llmi_operator.parse import Resource
from llmi_operator.plan.accelerator import make_node_affinity, make_tolerations
from llmi_operator.plan.cache import needs_one_node
from llmi_operator.plan.names import make_selector

NODE_KEY = "kubernetes.io/hostname"
ZONE_KEY = "topology.kubernetes.io/zone"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_STAY = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}


def add_placement(pod: dict[str, Any], resource: Resource) -> None:
    """Add to a pod's spec all that the scheduler looks at besides amounts."""
    scheduling = resource.spec.scheduling
    if scheduling and scheduling.node_selector:
        pod["nodeSelector"] = dict(sorted(scheduling.node_selector.items()))
    tolerations = make_tolerations(resource.spec.accelerator)
    tolerations += [toleration.to_manifest() for toleration in (scheduling and scheduling.tolerations) or ()]
    if tolerations:
        pod["tolerations"] = tolerations
    if scheduling and scheduling.priority_class_name:
        pod["priorityClassName"] = scheduling.priority_class_name
    if scheduling and scheduling.runtime_class_name:
        pod["runtimeClassName"] = scheduling.runtime_class_name
    affinity = _make_affinity(resource)
    if affinity:
        pod["affinity"] = affinity
    if scheduling and scheduling.spread:
        pod["topologySpreadConstraints"] = _make_spread(resource, scheduling.spread)


def make_disruption_annotations(resource: Resource) -> dict[str, str]:
    """Annotations of pods that must not be moved to save a node."""
    scheduling = resource.spec.scheduling
    return dict(_STAY) if scheduling and scheduling.protect_from_disruption else {}


def make_queue_labels(resource: Resource) -> dict[str, str]:
    """The label of a Deployment by which Kueue holds its pods back until there is quota."""
    scheduling = resource.spec.scheduling
    return {QUEUE_LABEL: scheduling.queue_name} if scheduling and scheduling.queue_name else {}


def _make_affinity(resource: Resource) -> dict[str, Any]:
    affinity: dict[str, Any] = {}
    to_nodes = make_node_affinity(resource.spec.accelerator)
    if to_nodes:
        affinity["nodeAffinity"] = to_nodes
    if needs_one_node(resource.spec.model):
        together = {"labelSelector": {"matchLabels": make_selector(resource)}, "topologyKey": NODE_KEY}
        affinity["podAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": [together]}
    return affinity


def _make_spread(resource: Resource, spread: Spread) -> list[dict[str, Any]]:
    """Zones are only preferred: with one zone left, replicas start there rather than nowhere."""
    on_nodes = "DoNotSchedule" if spread is Spread.REQUIRED else "ScheduleAnyway"
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": otherwise,
            "labelSelector": {"matchLabels": make_selector(resource)},
            # Replicas of the version before do not count, or a rollout would end lopsided or not at all.
            "matchLabelKeys": ["pod-template-hash"],
            "nodeTaintsPolicy": "Honor",
        }
        for key, otherwise in ((NODE_KEY, on_nodes), (ZONE_KEY, "ScheduleAnyway"))
    ]
