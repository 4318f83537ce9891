"""How many replicas a budget allows: the spec as it is held to it, and a sentence with the arithmetic."""

from dataclasses import replace
from decimal import Decimal

from llmi_api.v1alpha1 import LLMInferenceSpec, LLMInferenceStatus, Reason
from llmi_operator.observed import BudgetState, Capacity, Observed, Pricing
from llmi_operator.parse import Resource
from llmi_operator.plan.pod import build_pod_template
from llmi_operator.plan.quantity import parse_quantity
from llmi_operator.prices import PriceList
from llmi_operator.settings import ServerDefaults
from llmi_operator.status.capacity import read_needs, survey
from llmi_operator.status.cost import GRANT, Charge, charge, write_hour
from llmi_operator.status.finding import Finding, Outlook

NO_LIST = "the operator has no list of prices: give it one, see docs/cost.md."
_ROOM = frozenset({"short", "full"})
RECHECK_SECONDS = 60
NO_NODE = "no node that a replica may use is known."


def hold_to_budget(
    resource: Resource,
    pricing: Pricing | None,
    previous: LLMInferenceStatus,
    defaults: ServerDefaults,
    *,
    replicas: int | None,
) -> tuple[Resource, BudgetState | None]:
    """Lower what a spec asks for to what its budget allows.

    A replica is reckoned at the dearest node that it may use, not at those that it happens to run on: the number would
    come and go with the replicas that it decides about. For the same reason the highest price since the spec changed
    stays.

    Args:
        resource: What the user wrote.
        pricing: Prices and nodes; None without a list.
        previous: The status that was published last.
        defaults: What a replica requests when the resource does not say.
        replicas: How many there are now.

    Returns:
        The resource to plan with, and what to say about its budget; None when it has none.
    """
    spec = resource.spec
    budget = parse_quantity(spec.budget.per_hour) if spec.budget is not None else None
    if budget is None:
        return resource, None
    found = _find_price(resource, pricing, previous, defaults)
    if found.amount is None or pricing is None or pricing.prices is None:
        return resource, BudgetState(fault=f"spec.budget holds nothing back, because {found.words}")
    allowed = max(int(budget // found.amount), 1)
    held = _hold(spec, allowed)
    if held is spec:
        return resource, BudgetState(allowed=allowed, price=write_hour(found.amount))
    # An autoscaler that is below its bound is held back from nothing.
    binds = spec.autoscaling is None or (replicas or 0) >= allowed
    words = _explain(spec, allowed, found.amount, pricing.prices) if binds else ""
    state = BudgetState(held=words, allowed=allowed, price=write_hour(found.amount))
    return replace(resource, spec=held), state


def _hold(spec: LLMInferenceSpec, allowed: int) -> LLMInferenceSpec:
    """The spec with at most so many replicas; the same one where it asks for no more."""
    autoscaling = spec.autoscaling
    if autoscaling is not None and autoscaling.max_replicas > allowed:
        least = min(autoscaling.min_replicas, allowed)
        bounded = autoscaling.model_copy(update={"min_replicas": least, "max_replicas": allowed})
        return spec.model_copy(update={"autoscaling": bounded})
    if spec.replicas is not None and spec.replicas > allowed:
        return spec.model_copy(update={"replicas": allowed})
    return spec


def _find_price(
    resource: Resource, pricing: Pricing | None, previous: LLMInferenceStatus, defaults: ServerDefaults
) -> Charge:
    """What one replica costs on the dearest node that it may use, and not less than before."""
    if pricing is None:
        return Charge(None, NO_LIST)
    if pricing.prices is None:
        return Charge(None, f"{pricing.fault}.")
    if pricing.denied:
        return Charge(None, f"{GRANT[:1].lower()}{GRANT[1:]}")
    pod = build_pod_template(resource, defaults)["spec"]
    needs = read_needs(pod)
    empty = survey(Capacity(tuple(pricing.nodes.values()), {}), needs).nodes
    # A node that does not say how much it has of something may have enough.
    usable = [node for node, item in empty if item.cause == "fits" or (item.cause in _ROOM and not item.total)]
    charges = [charge(node, needs, pricing.prices) for node in usable]
    unknown = next((item for item in charges if item.amount is None), None)
    if unknown is not None:
        return Charge(None, f"{unknown.words}.")
    known = [item.amount for item in charges if item.amount is not None]
    before = _read_price(resource, previous, pricing.prices)
    amounts = known if before is None else [*known, before]
    return Charge(max(amounts), "") if amounts else Charge(None, NO_NODE)


def _read_price(resource: Resource, previous: LLMInferenceStatus, prices: PriceList) -> Decimal | None:
    """The price that was reckoned with before, for this spec and by this list."""
    cost = previous.cost
    same = previous.observed_generation == resource.generation and cost is not None and cost.source == prices.source
    return Decimal(cost.budget_price) if same and cost is not None and cost.budget_price else None


def _explain(spec: LLMInferenceSpec, allowed: int, each: Decimal, prices: PriceList) -> str:
    asked = spec.autoscaling.max_replicas if spec.autoscaling is not None else spec.replicas
    limit = spec.budget.per_hour if spec.budget is not None else ""
    step = "Raise spec.budget.perHour, or lower what a replica requests."
    if allowed * each > (parse_quantity(limit) or 0):
        return (
            f"1 of {asked} replicas runs: it costs up to {write_hour(each)} {prices.currency} an hour, more than the "
            f"{limit} of spec.budget.perHour, which never takes the last one. {step}"
        )
    return (
        f"At most {allowed} of {asked} replicas run: each costs up to {write_hour(each)} {prices.currency} an hour, "
        f"and the {limit} of spec.budget.perHour pay for {allowed}. {step}"
    )


def find_budget_notice(observed: Observed, _: object) -> Finding | None:
    """What is to be said of a budget although every replica answers."""
    budget = observed.budget
    if budget is None or not (budget.held or budget.fault):
        return None
    if budget.held:
        return Finding(Reason.BUDGET_HELD, budget.held, Outlook.FINE)
    # Nothing tells us of a new node or price.
    return Finding(Reason.BUDGET_UNKNOWN, budget.fault, Outlook.FAULT, recheck_seconds=RECHECK_SECONDS)
