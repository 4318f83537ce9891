"""What a change costs an hour, by the operator's own arithmetic."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmi_operator.observed import Needs, NodeState
from llmi_operator.prices import PriceList
from llmi_operator.status.cost import UNKNOWN, charge, write_hour


@dataclass(frozen=True)
class CostChange:
    """Amounts of a currency an hour, or unknown.

    Attributes:
        now: What the replicas cost now, as the status tells it.
        lowest: What all of them cost on the cheapest nodes that they may use.
        highest: What they cost on the dearest.
        because: How the two come about, or what is missing.
    """

    currency: str
    source: str
    now: str
    lowest: str
    highest: str
    because: str


def compute_cost_change(
    stored: Mapping[str, Any] | None, nodes: Iterable[NodeState], needs: Needs, replicas: int, prices: PriceList
) -> CostChange:
    """Price so many replicas on each node that they may use."""
    before = ((stored or {}).get("status") or {}).get("cost") or {}
    charges = [charge(node, needs, prices) for node in nodes]
    known = sorted((item.amount, item.words) for item in charges if item.amount is not None)
    now = "0" if stored is None else str(before.get("perHour") or UNKNOWN)
    if len(known) < len(charges) or not known:
        missing = sorted({item.words for item in charges if item.amount is None})
        because = missing[0] if missing else "no node that a replica may use is known"
        return CostChange(prices.currency, prices.source, now, UNKNOWN, UNKNOWN, because)
    (low, cheapest), (high, dearest) = known[0], known[-1]
    words = cheapest if cheapest == dearest else f"{cheapest} to {dearest}"
    return CostChange(
        currency=prices.currency,
        source=prices.source,
        now=now,
        lowest=write_hour(low * replicas),
        highest=write_hour(high * replicas),
        because=f"{replicas} x {words}",
    )
