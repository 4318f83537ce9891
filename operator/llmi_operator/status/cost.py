"""What a resource costs an hour: the share of each node that its replicas hold, by a list of prices."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from llmi_api.v1alpha1 import CostStatus, LLMInferenceStatus
from llmi_operator.observed import Needs, NodeState, Observed, PodState, Pricing
from llmi_operator.parse import Resource
from llmi_operator.plan.accelerator import INSTANCE_TYPE_LABEL, SPOT_LABELS, list_products
from llmi_operator.prices import PriceList

UNKNOWN = "unknown"
HOURS_A_MONTH = 730
"""As clouds bill: a year's hours in twelve parts."""
GRANT = "The nodes may not be read: grant the operator the role in deploy/cluster-reader."
CLAIMED = "What a device claimed by spec.accelerator.dra costs is not known: the list has none of claims."
_SHOWN = 3
_HUNDREDTH = Decimal("0.01")
_FINE = Decimal("0.0001")


@dataclass(frozen=True)
class Charge:
    """What one replica costs an hour on one node.

    Attributes:
        amount: None when the price is not known.
        words: How it comes about, or what is missing.
    """

    amount: Decimal | None
    words: str


def compute_cost(resource: Resource, observed: Observed, previous: LLMInferenceStatus) -> CostStatus | None:
    """Say what the replicas cost now, and what the fewest and the most would; None without a list of prices."""
    if observed.pricing is None:
        return None
    cost, budget = _compute(resource, observed, previous, observed.pricing), observed.budget
    if budget is None or budget.allowed is None:
        return cost
    return cost.model_copy(update={"allowed_replicas": budget.allowed, "budget_price": budget.price})


def _compute(resource: Resource, observed: Observed, previous: LLMInferenceStatus, pricing: Pricing) -> CostStatus:
    if pricing.prices is None:
        return _make_unknown(f"{pricing.fault[:1].upper()}{pricing.fault[1:]}.", None)
    if pricing.denied:
        return _make_unknown(GRANT, pricing.prices)
    if resource.spec.accelerator and resource.spec.accelerator.dra:
        return _make_unknown(CLAIMED, pricing.prices)
    placed = list_placed(observed)
    charges = [_charge_pod(pod, pricing, pricing.prices) for pod in placed]
    missing = sorted({charge.words for charge in charges if charge.amount is None})
    if missing:
        return _make_unknown(f"{'; '.join(missing[:_SHOWN])}.", pricing.prices)
    total = sum((charge.amount for charge in charges if charge.amount is not None), Decimal(0))
    each = total / len(charges) if charges else _read_each(previous, pricing.prices)
    least, most = _count_replicas(resource, observed)
    return CostStatus(
        per_hour=write_hour(total),
        per_replica_hour=write_hour(each),
        per_month_at_min=_write_month(each, least),
        per_month_at_max=_write_month(each, most),
        currency=pricing.prices.currency,
        source=pricing.prices.source,
        because=_describe(charges),
    )


def list_placed(observed: Observed) -> list[PodState]:
    """The replicas that hold a part of a node, those that are being stopped included."""
    return [pod for pod in observed.pods if pod.node and pod.phase not in {"Succeeded", "Failed"}]


def lacks_nodes(observed: Observed) -> bool:
    """Whether a replica is on a node that is not known yet, so that another look is worth it soon."""
    pricing = observed.pricing
    if pricing is None or pricing.prices is None or pricing.denied:
        return False
    return any(pod.node not in pricing.nodes for pod in list_placed(observed))


def charge(node: NodeState, needs: Needs, prices: PriceList) -> Charge:
    """What one replica costs an hour on a node: the larger of its shares of CPU, memory and devices."""
    spot = any(node.labels.get(name) == value for name, value in SPOT_LABELS.items())
    kind = node.labels.get(INSTANCE_TYPE_LABEL, "")
    known = prices.nodes.get(kind)
    price = known.choose(spot=spot) if known else None
    if price is not None:
        share, of = _find_share(node, needs)
        if share is None:
            return Charge(None, f"the node {node.name} does not say what it has")
        whole = "spot " if spot else ""
        return Charge(price * share, f"{share:.0%} of {whole}{kind} at {price:f} ({of})")
    return _charge_devices(node, needs, prices, spot=spot, kind=kind)


def _charge_devices(node: NodeState, needs: Needs, prices: PriceList, *, spot: bool, kind: str) -> Charge:
    products = list_products(node.labels)
    word = "spot price" if spot else "price"
    for name, count in sorted(needs.requests.items()):
        if "/" not in name:
            continue
        for product in (*products, name):
            known = prices.accelerators.get(product)
            price = known.choose(spot=spot) if known else None
            if price is not None:
                return Charge(price * count, f"{count:f} {product} at {price:f}")
    if not kind:
        return Charge(None, f"the node {node.name} has no label {INSTANCE_TYPE_LABEL}, by which the list has prices")
    return Charge(None, f"the list of prices has no {word} for the node type {kind}")


def _charge_pod(pod: PodState, pricing: Pricing, prices: PriceList) -> Charge:
    node = pricing.nodes.get(pod.node)
    if node is None:
        return Charge(None, f"the node {pod.node} has not been read yet")
    return charge(node, pod.needs, prices)


def _find_share(node: NodeState, needs: Needs) -> tuple[Decimal | None, str]:
    """The largest share of anything that a replica holds of a node, and of what."""
    shares = {
        name: amount / node.allocatable[name]
        for name, amount in needs.requests.items()
        if (name in {"cpu", "memory"} or "/" in name) and node.allocatable.get(name)
    }
    if not shares:
        return None, ""
    name = max(sorted(shares), key=lambda item: shares[item])
    return min(shares[name], Decimal(1)), name


def _count_replicas(resource: Resource, observed: Observed) -> tuple[int, int]:
    autoscaling = resource.spec.autoscaling
    if autoscaling is not None:
        return autoscaling.min_replicas, autoscaling.max_replicas
    given = resource.spec.replicas
    wanted = observed.deployment.wanted if observed.deployment else 1
    return (wanted, wanted) if given is None else (given, given)


def _read_each(previous: LLMInferenceStatus, prices: PriceList) -> Decimal | None:
    """What a replica cost when there was one, by the same list: while there is none, nothing newer is known."""
    before = previous.cost
    if before is None or before.per_replica_hour == UNKNOWN or before.source != prices.source:
        return None
    return Decimal(before.per_replica_hour)


def _describe(charges: list[Charge]) -> str:
    if not charges:
        return "No replica has a node."
    counts = Counter(charge.words for charge in charges).most_common()
    parts = [f"{count} x {words}" for words, count in counts[:_SHOWN]]
    more = sum(count for _, count in counts[_SHOWN:])
    return f"{', '.join(parts)}{f', and {more} more' if more else ''}."


def _make_unknown(because: str, prices: PriceList | None) -> CostStatus:
    return CostStatus(
        per_hour=UNKNOWN,
        per_replica_hour=UNKNOWN,
        per_month_at_min=UNKNOWN,
        per_month_at_max=UNKNOWN,
        currency=prices.currency if prices else None,
        source=prices.source if prices else None,
        because=because,
    )


def write_hour(amount: Decimal | None) -> str:
    """Write an amount for an hour; unknown when it is."""
    return UNKNOWN if amount is None else f"{amount.quantize(_FINE):f}"


def _write_month(each: Decimal | None, replicas: int) -> str:
    return UNKNOWN if each is None else f"{(each * replicas * HOURS_A_MONTH).quantize(_HUNDREDTH):f}"
