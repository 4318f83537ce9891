"""The scheduler's message made plain."""

import re

from llmi_api.v1alpha1 import Reason
from llmi_operator.parse import Resource
from llmi_operator.plan.resources import build_resources
from llmi_operator.settings import ServerDefaults
from llmi_operator.status.finding import Finding, Outlook, quote_words

_NODES = re.compile(r"^(\d+)/(\d+) nodes are available: ?")
_PART = re.compile(r"(\d+) (.+?)(?=, \d+ |$)")
_AFTERTHOUGHT = re.compile(r"\.? (?:no new claims to deallocate|preemption:)")
_CLAIM = re.compile(r"persistentvolumeclaim \"([^\"]+)\" (not found|is being deleted)", re.IGNORECASE)
_UNBOUND = re.compile(
    r"unbound immediate PersistentVolumeClaims|volume node affinity conflict|bind PersistentVolumes", re.IGNORECASE
)


def explain_unschedulable(message: str, resource: Resource, defaults: ServerDefaults) -> Finding:
    """Say why no node takes a replica, and what would help."""
    # What follows the first sentence is about DRA claims and preemption, which nobody asked about.
    text = _AFTERTHOUGHT.split(message)[0].strip().rstrip(".")
    claim = _CLAIM.search(text)
    if claim:
        return Finding(
            Reason.VOLUME_UNAVAILABLE,
            f"The claim {claim[1]} {claim[2].replace('not found', 'does not exist')}: create it in this namespace, "
            "or correct spec.model.claim.name.",
            Outlook.FAULT,
        )
    if _UNBOUND.search(text):
        name = resource.spec.model.claim.name if resource.spec.model.claim else "of the model"
        return Finding(
            Reason.VOLUME_UNAVAILABLE,
            f"The claim {name} has no volume that a node can use ({quote_words(text)}): "
            "see why with kubectl describe pvc.",
            Outlook.FAULT,
        )
    nodes = _NODES.match(text)
    if not nodes:
        return Finding(
            Reason.UNSCHEDULABLE,
            f"No node takes a replica: {quote_words(text)}. See the nodes with kubectl get nodes.",
            Outlook.FAULT,
        )
    parts = [(int(count), fact.strip()) for count, fact in _PART.findall(text[nodes.end() :])]
    facts = ", ".join(_explain_part(count, fact, resource) for count, fact in parts) or quote_words(text)
    return Finding(
        Reason.UNSCHEDULABLE,
        f"{nodes[1]}/{nodes[2]} nodes can take a replica: {facts}{_describe_needs(parts, resource, defaults)}. "
        f"{_suggest(parts, resource)}",
        Outlook.FAULT,
    )


def _explain_part(count: int, fact: str, resource: Resource) -> str:
    have, do, are = ("has", "does", "is") if count == 1 else ("have", "do", "are")
    if fact.startswith("Insufficient "):
        name = fact.removeprefix("Insufficient ").replace("cpu", "CPU")
        return f"{count} {have} no free {name}" if "/" in name else f"{count} {have} too little free {name}"
    if "untolerated taint" in fact:
        taint = re.search(r"\{([^:}]+)", fact)
        return f"{count} {have} the taint {taint[1]}" if taint else f"{count} {have} a taint that is not tolerated"
    if "node affinity/selector" in fact:
        selector = (resource.spec.scheduling.node_selector if resource.spec.scheduling else None) or {}
        wanted = ", ".join(f"{name}={value}" for name, value in sorted(selector.items()))
        if not wanted:
            return f"{count} {do} not fit the replica's volume"
        return f"{count} {do} not have the label {wanted} of spec.scheduling.nodeSelector"
    if "unschedulable" in fact:
        return f"{count} {are} closed for new pods"
    return f"{count} {fact}"


def _describe_needs(parts: list[tuple[int, str]], resource: Resource, defaults: ServerDefaults) -> str:
    if not any(fact.startswith("Insufficient ") for _, fact in parts):
        return ""
    spec = resource.spec
    amounts = build_resources(
        spec.resources, defaults, downloads=spec.model.id is not None, accelerator=spec.accelerator
    )["requests"]
    return "; a replica asks for " + ", ".join(
        f"{'CPU' if name == 'cpu' else name} {amount}" for name, amount in sorted(amounts.items())
    )


def _suggest(parts: list[tuple[int, str]], resource: Resource) -> str:
    facts = " ".join(fact for _, fact in parts)
    device = resource.spec.accelerator.resource if resource.spec.accelerator else None
    if device and f"Insufficient {device}" in facts:
        return f"Free a {device}, add a node that has one, or lower spec.accelerator.count."
    if "Insufficient" in facts:
        return "Lower spec.resources.requests, free room, or add a node."
    if "node affinity/selector" in facts:
        return "Correct spec.scheduling.nodeSelector, or label a node so."
    if "untolerated taint" in facts:
        return "Tolerate the taint in spec.scheduling.tolerations, or add a node without it."
    return "See the nodes with kubectl get nodes."
