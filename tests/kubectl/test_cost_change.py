from decimal import Decimal

from llmi_kubectl.cost_change import compute_cost_change
from llmi_operator.observed import Needs, NodeState
from llmi_operator.prices import parse_prices

PRICES = parse_prices("currency: USD\nsource: mine\nnodes: {big: {perHour: 4}, small: {perHour: 1}}\n")
NEEDS = Needs(requests={"cpu": Decimal(1)})


def node(kind, cpu=4):
    labels = {"node.kubernetes.io/instance-type": kind}
    return NodeState(kind, labels=labels, allocatable={"cpu": Decimal(cpu)})


def test_replicas_are_priced_on_the_cheapest_and_the_dearest_nodes_that_they_may_use():
    found = compute_cost_change(None, [node("big"), node("small")], NEEDS, 2, PRICES)
    assert (found.now, found.lowest, found.highest) == ("0", "0.5000", "2.0000")
    assert found.because == "2 x 25% of small at 1 (cpu) to 25% of big at 4 (cpu)"


def test_what_it_costs_now_is_what_the_status_says():
    stored = {"status": {"cost": {"perHour": "0.2500"}}}
    found = compute_cost_change(stored, [node("small")], NEEDS, 2, PRICES)
    assert (found.now, found.lowest, found.highest) == ("0.2500", "0.5000", "0.5000")
    assert compute_cost_change({}, [node("small")], NEEDS, 2, PRICES).now == "unknown"


def test_one_price_that_is_missing_makes_it_unknown():
    found = compute_cost_change(None, [node("small"), node("odd")], NEEDS, 2, PRICES)
    assert (found.lowest, found.highest) == ("unknown", "unknown")
    assert "node type odd" in found.because
    assert compute_cost_change(None, [], NEEDS, 2, PRICES).because == "no node that a replica may use is known"
