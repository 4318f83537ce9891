"""How many replicas a budget pays for."""

from decimal import Decimal

import pytest

from llmi_api.v1alpha1 import CostStatus, LLMInferenceStatus
from llmi_operator.observed import NodeState, Pricing, Taint
from llmi_operator.prices import parse_prices
from llmi_operator.status.budget import hold_to_budget
from llmi_testing.inference import DEFAULTS, make_resource

NOTHING = LLMInferenceStatus()
PRICES = parse_prices("currency: USD\nsource: mine\nnodes: {cheap: {perHour: 1}, dear: {perHour: 4}}\n")


def node(kind, **more):
    labels = {"node.kubernetes.io/instance-type": kind}
    amounts = {"cpu": Decimal(4), "memory": Decimal(2**40), "ephemeral-storage": Decimal(2**40)}
    return NodeState(kind, labels=labels, allocatable=amounts, **more)


def hold(*nodes, limit="2", previous=NOTHING, prices=PRICES, replicas=None, pricing=..., **spec):
    spec = spec or {"replicas": 5}
    pricing = Pricing(prices, nodes={item.name: item for item in nodes}) if pricing is ... else pricing
    resource = make_resource(budget={"perHour": limit}, **spec)
    return hold_to_budget(resource, pricing, previous, DEFAULTS, replicas=replicas)


def test_without_a_budget_nothing_is_held():
    resource = make_resource(replicas=5)
    assert hold_to_budget(resource, None, NOTHING, DEFAULTS, replicas=5) == (resource, None)


def test_a_replica_is_reckoned_at_the_dearest_node_that_it_may_use():
    held, state = hold(node("cheap"), node("dear"))
    # A quarter of the dear one.
    assert (held.spec.replicas, state.allowed, state.price) == (2, 2, "1.0000")
    assert state.held == (
        "At most 2 of 5 replicas run: each costs up to 1.0000 USD an hour, and the 2 of spec.budget.perHour pay for 2. "
        "Raise spec.budget.perHour, or lower what a replica requests."
    )
    tainted = node("dear", taints=(Taint("gpu", "", "NoSchedule"),))
    held, state = hold(node("cheap"), tainted)
    assert (held.spec.replicas, state.allowed, state.held) == (5, 8, "")


def test_a_node_that_does_not_say_how_much_it_has_may_be_used_and_one_that_is_too_small_may_not():
    silent = NodeState("dear", labels=node("dear").labels, allocatable={"cpu": Decimal(4)})
    assert hold(node("cheap"), silent)[1].price == "1.0000"
    small = NodeState("dear", labels=node("dear").labels, allocatable=node("dear").allocatable | {"memory": Decimal(1)})
    assert hold(node("cheap"), small)[1].price == "0.2500"


def test_the_last_replica_is_never_taken():
    held, state = hold(node("dear"), limit="500m")
    assert (held.spec.replicas, state.allowed) == (1, 1)
    assert state.held.startswith("1 of 5 replicas runs: it costs up to 1.0000 USD an hour, more than the 500m of")


def test_no_replica_stays_no_replica():
    resource = make_resource(budget={"perHour": "1"}, replicas=0)
    pricing = Pricing(PRICES, nodes={"dear": node("dear")})
    assert hold_to_budget(resource, pricing, NOTHING, DEFAULTS, replicas=0)[0] is resource


@pytest.mark.parametrize(("now", "said"), [(1, False), (2, True)])
def test_an_autoscaler_is_bounded_and_that_is_told_once_it_is_held_back(now, said):
    held, state = hold(node("dear"), replicas=now, autoscaling={"minReplicas": 3, "maxReplicas": 9})
    assert (held.spec.autoscaling.min_replicas, held.spec.autoscaling.max_replicas) == (2, 2)
    assert bool(state.held) is said


@pytest.mark.parametrize(
    ("pricing", "because"),
    [
        (None, "the operator has no list of prices"),
        (Pricing(None, fault="the list of prices is wrong at currency"), "the list of prices is wrong at currency."),
        (Pricing(PRICES, denied=True), "the nodes may not be read: grant the operator the role"),
        (Pricing(PRICES), "no node that a replica may use is known."),
        (Pricing(PRICES, nodes={"odd": node("odd")}), "the list of prices has no price for the node type odd."),
    ],
)
def test_what_is_not_known_holds_nothing_back_and_is_said(pricing, because):
    held, state = hold(pricing=pricing)
    assert held.spec.replicas == 5
    assert state.fault.startswith(f"spec.budget holds nothing back, because {because}")
    assert state.allowed is None


def test_a_price_that_goes_down_frees_replicas_only_with_an_edit_so_that_the_number_comes_to_rest():
    def told(generation, source="mine"):
        cost = CostStatus(per_hour="1", per_replica_hour="1", per_month_at_min="1", per_month_at_max="1", source=source,
                          because="", budget_price="1.0000")  # fmt: skip
        return LLMInferenceStatus(observed_generation=generation, cost=cost)

    assert hold(node("cheap"), previous=told(1))[1].allowed == 2
    assert hold(previous=told(1))[1].allowed == 2
    assert hold(node("cheap"), previous=told(0))[1].allowed == 8
    assert hold(node("cheap"), previous=told(1, "another"))[1].allowed == 8
