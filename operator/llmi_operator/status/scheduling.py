"""Why no node takes a replica: exactly where the nodes may be read, else in the scheduler's words made plain."""

import re
from decimal import Decimal

from llmi_api.v1alpha1 import Reason
from llmi_operator.observed import Capacity, Needs
from llmi_operator.parse import Resource
from llmi_operator.plan.accelerator import choose_product_labels
from llmi_operator.plan.resources import build_resources
from llmi_operator.settings import ServerDefaults
from llmi_operator.status.capacity import Judgement, Survey, survey
from llmi_operator.status.finding import Finding, Outlook, quote_words

_NODES = re.compile(r"^(\d+)/(\d+) nodes are available: ?")
_PART = re.compile(r"(\d+) (.+?)(?=, \d+ |$)")
_AFTERTHOUGHT = re.compile(r"\.? (?:no new claims to deallocate|preemption:)")
_CLAIM = re.compile(r"persistentvolumeclaim \"([^\"]+)\" (not found|is being deleted)", re.IGNORECASE)
_UNBOUND = re.compile(
    r"unbound immediate PersistentVolumeClaims|bind PersistentVolumes|available persistent volumes to bind",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"volume node affinity conflict|PersistentVolume's node affinity|no available volume zone", re.IGNORECASE
)
_NO_CLASS = re.compile(r"device class \"?([^\s\"]+)\"? does not exist")
_NO_DEVICES = "cannot allocate all claims"
_STEPS = {
    "Insufficient": "Lower spec.resources.requests, free room, or add a node.",
    _NO_DEVICES: "Free a device, correct spec.accelerator.dra, or add a node that has one.",
    "topology spread": "Set spec.scheduling.spread to Preferred, or add a node.",
    "untolerated taint": "Tolerate the taint in spec.scheduling.tolerations, or add a node without it.",
}
"""What helps against the scheduler's words, the most telling first."""
RECHECK_SECONDS = 30
NAMED = 3
"""So many products are named; then others are counted."""
GRANT = " Grant the operator the role in deploy/cluster-reader, and it counts the nodes by cause."


def explain_unschedulable(
    message: str,
    resource: Resource,
    defaults: ServerDefaults,
    *,
    needs: Needs | None = None,
    capacity: Capacity | None = None,
    denied: bool = False,
) -> Finding:
    """Say why no node takes a replica, and what would help.

    Args:
        message: The scheduler's words.
        resource: Whose replica it is.
        defaults: What a replica asks for when the resource does not say.
        needs: What the replica's pod asks of a node.
        capacity: The nodes, if they may be read.
        denied: They may not.
    """
    # What follows the first sentence is about DRA claims and preemption, which nobody asked about.
    text = _AFTERTHOUGHT.split(message)[0].strip().rstrip(".")
    about_volumes = _explain_volume(text, resource)
    if about_volumes:
        return Finding(Reason.VOLUME_UNAVAILABLE, about_volumes, Outlook.FAULT)
    unknown = _NO_CLASS.search(text)
    if unknown:
        sentence = (
            f"There is no DeviceClass {unknown[1]}: install its DRA driver, or correct "
            "spec.accelerator.dra.deviceClassName."
        )
        return Finding(Reason.UNSCHEDULABLE, sentence, Outlook.FAULT)
    if capacity is not None and needs is not None and capacity.nodes:
        seen = survey(capacity, needs)
        # A node that fits: the scheduler knows more than this does, or has not looked again yet.
        if not seen.of("fits"):
            sentence = _explain_exactly(seen, needs, resource)
            # Counts of what others use change without a word to us.
            return Finding(Reason.UNSCHEDULABLE, sentence, Outlook.FAULT, recheck_seconds=RECHECK_SECONDS)
    # What was read of the nodes may be older than what the scheduler saw.
    again = RECHECK_SECONDS if capacity is not None else None
    sentence = _explain_coarsely(text, resource, defaults, denied=denied)
    return Finding(Reason.UNSCHEDULABLE, sentence, Outlook.FAULT, recheck_seconds=again)


def _explain_volume(text: str, resource: Resource) -> str:
    claim = _CLAIM.search(text)
    if claim:
        return (
            f"The claim {claim[1]} {claim[2].replace('not found', 'does not exist')}: create it in this namespace, "
            f"or correct {_find_claim_field(claim[1], resource)}."
        )
    name = _name_claim(resource)
    if _UNBOUND.search(text):
        return f"The claim {name} has no volume that a node can use ({quote_words(text)}): see kubectl describe pvc."
    if _ELSEWHERE.search(text):
        return (
            f"The claim {name} lies in a zone or on a node where no replica can run ({quote_words(text)}): let "
            "replicas run there (spec.scheduling, spec.resources), or use a claim that is where they can."
        )
    return ""


def _name_claim(resource: Resource) -> str:
    source = resource.spec.model
    if source.claim:
        return source.claim.name
    if source.cache:
        return source.cache.claim or "of the cache"
    return "of the model"


def _find_claim_field(name: str, resource: Resource) -> str:
    cache = resource.spec.model.cache
    return "spec.model.cache.claim" if cache and cache.claim == name else "spec.model.claim.name"


def _explain_exactly(seen: Survey, needs: Needs, resource: Resource) -> str:
    device = next((name for name in sorted(needs.requests) if "/" in name), None)
    count = len(seen.nodes)
    if device and len(seen.of("without")) == count:
        return (
            f"No node has a {device}: none of {count} offers it. Install its device plugin, add a node that has one, "
            "or correct spec.accelerator.resource."
        )
    wanted = f"{needs.requests[device]:f} free {device}" if device else ""
    if device and needs.requests[device] == 1:
        wanted = f"a free {device}"
    begin = (
        f"0/{count} nodes have {wanted}{_of_products(resource)}: "
        if device
        else f"0/{count} nodes can take a replica: "
    )
    facts = ", ".join(_list_causes(seen, needs, resource))
    return f"{begin}{facts}. {_suggest_exactly(seen, device, resource)}"


def _list_causes(seen: Survey, needs: Needs, resource: Resource) -> list[str]:
    facts = []
    full, short = [item for _, item in seen.of("full")], [item for _, item in seen.of("short")]
    if full:
        facts.append(f"{_have(len(full))} {_describe_full(full)}")
    for node, item in seen.of("broken"):
        facts.append(
            f"{node.name} has {item.total:f}, none of them healthy"
            if item.total > 1
            else f"that of {node.name} is not healthy"
        )
    for name in sorted({item.what for item in short}):
        most = max((item for item in short if item.what == name), key=lambda item: item.free)
        some = sum(item.what == name for item in short)
        facts.append(
            f"{_have(some)} too little free {_name(name)} ({'at most ' if some > 1 else ''}"
            f"{format_amount(name, most.free)} of {format_amount(name, most.total)}, and a replica asks for "
            f"{format_amount(name, needs.requests[name])})"
        )
    facts += [_describe_product(what, some, resource) for what, some in seen.count("affinity").items()]
    facts += [f"{_have(some)} the taint {taint}" for taint, some in seen.count("taint").items()]
    labels = _labels(resource) or "the labels that the pod selects"
    for cause, one, several in (
        ("selector", f"does not have {labels}", f"do not have {labels}"),
        ("cordoned", "is cordoned", "are cordoned"),
        ("down", "is not ready", "are not ready"),
        ("without", "has none", "have none"),
    ):
        some = len(seen.of(cause))
        if some:
            facts.append(f"{some} {one if some == 1 else several}")
    return facts


def _describe_full(nodes: list[Judgement]) -> str:
    total, free = sum(item.total for item in nodes), sum(item.free for item in nodes)
    return f"all {total:f} in use" if free == 0 else f"{free:f} of {total:f} free"


def _describe_product(what: str, count: int, resource: Resource) -> str:
    accelerator = resource.spec.accelerator
    if accelerator is None or not accelerator.products:
        return f"{count} {'does' if count == 1 else 'do'} not fit the node affinity that the pod was given"
    if what:
        return f"{count} {'is' if count == 1 else 'are'} {what}"
    return f"{_have(count)} no label {' or '.join(choose_product_labels(accelerator))}"


def _suggest_exactly(seen: Survey, device: str | None, resource: Resource) -> str:
    steps = []
    if seen.of("full"):
        steps.append("free one" if device and not any(item.free for _, item in seen.of("full")) else "free more")
    if seen.of("short"):
        steps.append("lower spec.resources.requests")
    others = list(filter(None, seen.count("affinity")))
    if others and _products(resource):
        steps.append(f"allow {_one_of(others)} in spec.accelerator.products")
    elif seen.of("affinity") and _products(resource):
        platform = resource.spec.accelerator and resource.spec.accelerator.platform
        steps += ["label the nodes", f"{'correct' if platform else 'set'} spec.accelerator.platform"]
    taints = list(seen.count("taint"))
    if taints:
        steps.append(f"tolerate {' or '.join(taints[:3])} in spec.scheduling.tolerations")
    if seen.of("selector"):
        steps.append("correct spec.scheduling.nodeSelector" if _selects(resource) else "label a node so")
    if seen.of("broken"):
        steps.append(f"see to the driver and the device plugin on {seen.of('broken')[0][0].name}")
    if seen.of("cordoned"):
        steps.append(f"uncordon {seen.of('cordoned')[0][0].name}")
    steps.append("add a node")
    text = steps[0] if len(steps) == 1 else f"{', '.join(steps[:-1])}, or {steps[-1]}"
    return f"{text[:1].upper()}{text[1:]}."


def _explain_coarsely(text: str, resource: Resource, defaults: ServerDefaults, *, denied: bool) -> str:
    nodes = _NODES.match(text)
    if not nodes:
        return f"No node takes a replica: {quote_words(text)}. See the nodes with kubectl get nodes."
    parts = [(int(count), fact.strip()) for count, fact in _PART.findall(text[nodes.end() :])]
    facts = ", ".join(_explain_part(count, fact, resource) for count, fact in parts) or quote_words(text)
    vague = any(fact.startswith("Insufficient ") or fact.endswith("untolerated taint(s)") for _, fact in parts)
    return (
        f"{nodes[1]}/{nodes[2]} nodes can take a replica: {facts}{_describe_needs(parts, resource, defaults)}. "
        f"{_suggest(parts, resource)}{GRANT if denied and vague else ''}"
    )


def _explain_part(count: int, fact: str, resource: Resource) -> str:
    do, are = ("does", "is") if count == 1 else ("do", "are")
    if fact.startswith("Insufficient "):
        name = fact.removeprefix("Insufficient ")
        return f"{_have(count)} no free {name}" if "/" in name else f"{_have(count)} too little free {_name(name)}"
    if "untolerated taint" in fact:
        taint = re.search(r"\{([^:}]+)", fact)
        return f"{_have(count)} the taint {taint[1]}" if taint else f"{_have(count)} a taint that is not tolerated"
    if "node affinity/selector" in fact:
        wanted = " and ".join(filter(None, (_labels(resource), _of_products(resource).removeprefix(" of "))))
        return f"{count} {do} not have {wanted}" if wanted else f"{count} {do} not fit the replica's volume"
    others = "another has" if count == 1 else "others have"
    words = {
        _NO_DEVICES: f"{_have(count)} no free device that spec.accelerator.dra asks for",
        "topology spread": f"{count} may not have one more while {others} fewer",
        "unschedulable": f"{count} {are} closed for new pods",
    }
    return next((said for sign, said in words.items() if sign in fact), f"{count} {fact}")


def _describe_needs(parts: list[tuple[int, str]], resource: Resource, defaults: ServerDefaults) -> str:
    if not any(fact.startswith("Insufficient ") for _, fact in parts):
        return ""
    spec = resource.spec
    amounts = build_resources(
        spec.resources, defaults, downloads=spec.model.id is not None, accelerator=spec.accelerator
    )["requests"]
    return "; a replica asks for " + ", ".join(f"{_name(name)} {amount}" for name, amount in sorted(amounts.items()))


def _suggest(parts: list[tuple[int, str]], resource: Resource) -> str:
    facts = " ".join(fact for _, fact in parts)
    device = resource.spec.accelerator.resource if resource.spec.accelerator else None
    if device and f"Insufficient {device}" in facts:
        return f"Free a {device}, add a node that has one, or lower spec.accelerator.count."
    if "node affinity/selector" in facts and "Insufficient" not in facts:
        fields = " or ".join(_find_place_fields(resource)) or "spec.scheduling.nodeSelector"
        return f"Correct {fields}, or label a node so."
    return next((step for sign, step in _STEPS.items() if sign in facts), "See the nodes with kubectl get nodes.")


def format_amount(name: str, amount: Decimal) -> str:
    """Write an amount as people do: whole cores or tenths, and bytes in Gi or Mi."""
    if name not in {"memory", "ephemeral-storage"}:
        return f"{round(float(amount), 2):g}"
    gibibytes = float(amount) / 2**30
    return f"{round(gibibytes, 1):g}Gi" if gibibytes >= 1 else f"{round(float(amount) / 2**20)}Mi"


def _selects(resource: Resource) -> dict[str, str]:
    return (resource.spec.scheduling.node_selector if resource.spec.scheduling else None) or {}


def _products(resource: Resource) -> list[str]:
    return sorted((resource.spec.accelerator.products if resource.spec.accelerator else None) or ())


def _of_products(resource: Resource) -> str:
    products = _products(resource)
    return f" of the product {_one_of(products)}" if products else ""


def _one_of(names: list[str]) -> str:
    shown = names if len(names) <= NAMED else [*names[: NAMED - 1], f"{len(names) - NAMED + 1} others"]
    return " or ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _find_place_fields(resource: Resource) -> list[str]:
    used = {"spec.accelerator.products": _products(resource), "spec.scheduling.nodeSelector": _selects(resource)}
    return [name for name, value in used.items() if value]


def _labels(resource: Resource) -> str:
    wanted = ", ".join(f"{name}={value}" for name, value in sorted(_selects(resource).items()))
    return f"the label {wanted} of spec.scheduling.nodeSelector" if wanted else ""


def _name(resource_name: str) -> str:
    return "CPU" if resource_name == "cpu" else resource_name


def _have(count: int) -> str:
    return f"{count} {'has' if count == 1 else 'have'}"
