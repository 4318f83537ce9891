"""What replicas cost, by prices and the nodes that they are on."""

from dataclasses import replace
from decimal import Decimal

import pytest

from llmi_api.v1alpha1 import LLMInferenceStatus
from llmi_operator.observed import Needs, NodeState, Pricing
from llmi_operator.plan.accelerator import INSTANCE_TYPE_LABEL
from llmi_operator.prices import parse_prices
from llmi_operator.status import NODE_RECHECK_SECONDS, compute_status
from llmi_operator.status.cost import CLAIMED, GRANT, compute_cost
from llmi_testing.inference import DEFAULTS, make_resource
from llmi_testing.observations import deployment, observed, ready_pod

GPU = "nvidia.com/gpu"
NOTHING = LLMInferenceStatus()
PRICES = parse_prices("""\
currency: EUR
source: contract of 2026-11-25
nodes:
  big: {perHour: 2}
  small: {perHour: 0.5, spotPerHour: 0.1}
accelerators:
  NVIDIA-A10G: {perHour: 0.75, spotPerHour: 0.3}
  nvidia.com/mig-1g.10gb: {perHour: 0.4}
""")


def node(name, kind="", labels=(), **allocatable):
    amounts = {"cpu": 8, "memory": 32, **allocatable}
    found = dict(labels) | ({INSTANCE_TYPE_LABEL: kind} if kind else {})
    return NodeState(name, labels=found, allocatable={key: Decimal(value) for key, value in amounts.items()})


def pod(name, where, **requests):
    amounts = {"cpu": Decimal(1), **{key: Decimal(value) for key, value in requests.items()}}
    return replace(ready_pod(name), node=where, needs=Needs(requests=amounts))


def cost(*pods, nodes=(), previous=NOTHING, prices=PRICES, spec=None, **more):
    pricing = Pricing(prices, nodes={item.name: item for item in nodes}, **more)
    state = replace(observed(*pods, deployment=deployment(len(pods))), pricing=pricing)
    return compute_cost(make_resource(**(spec or {})), state, previous)


def test_without_a_list_of_prices_nothing_is_said():
    assert compute_cost(make_resource(), observed(ready_pod()), NOTHING) is None


@pytest.mark.parametrize(
    ("where", "requests", "per_hour", "words"),
    [
        pytest.param(node("a", "big"), {"cpu": 2}, "0.5000", "25% of big at 2 (cpu)", id="by CPU"),
        pytest.param(node("a", "big"), {"memory": 16}, "1.0000", "50% of big at 2 (memory)", id="by memory"),
        pytest.param(node("a", "big", **{GPU: 2}), {GPU: 1}, "1.0000", f"50% of big at 2 ({GPU})", id="by device"),
        pytest.param(
            node("a", "small", {"karpenter.sh/capacity-type": "spot"}), {}, "0.0125",
            "12% of spot small at 0.1 (cpu)", id="spot",
        ),
        pytest.param(
            node("a", "new", {"nvidia.com/gpu.product": "NVIDIA-A10G"}, **{GPU: 4}), {GPU: 2}, "1.5000",
            "2 NVIDIA-A10G at 0.75", id="accelerator where the type has no price",
        ),
        pytest.param(
            node("a", "new", {"eks.amazonaws.com/instance-gpu-name": "NVIDIA-A10G"}, **{GPU: 4}), {GPU: 1}, "0.7500",
            "1 NVIDIA-A10G at 0.75", id="a product as EKS Auto Mode names it",
        ),
        pytest.param(
            node("a", "new", **{"nvidia.com/mig-1g.10gb": 7}), {"nvidia.com/mig-1g.10gb": 1}, "0.4000",
            "1 nvidia.com/mig-1g.10gb at 0.4", id="a slice by its resource name",
        ),
        pytest.param(node("a", "big"), {"cpu": 100}, "2.0000", "100% of big at 2 (cpu)", id="never above the whole"),
    ],
)  # fmt: skip
def test_a_replica_costs_its_largest_share_of_the_node(where, requests, per_hour, words):
    found = cost(pod("p", "a", **requests), nodes=[where])
    assert (found.per_hour, found.because) == (per_hour, f"1 x {words}.")
    assert (found.currency, found.source) == ("EUR", "contract of 2026-11-25")


@pytest.mark.parametrize(
    ("where", "missing"),
    [
        pytest.param([node("a", "new")], "has no price for the node type new", id="type"),
        pytest.param(
            [node("a", "big", {"eks.amazonaws.com/capacityType": "SPOT"})], "no spot price for the node type big",
            id="a spot node is not charged as one that stays",
        ),
        pytest.param([node("a")], f"the node a has no label {INSTANCE_TYPE_LABEL}", id="no label"),
        pytest.param([], "the node a has not been read yet", id="not read"),
        pytest.param(
            [NodeState("a", labels={INSTANCE_TYPE_LABEL: "big"})], "does not say what it has", id="no amounts"
        ),
    ],
)  # fmt: skip
def test_one_price_that_is_not_known_makes_the_whole_unknown_and_never_zero(where, missing):
    found = cost(pod("p", "a"), pod("q", "b"), nodes=[*where, node("b", "big")])
    assert {found.per_hour, found.per_replica_hour, found.per_month_at_min, found.per_month_at_max} == {"unknown"}
    assert missing in found.because


def test_without_the_right_to_read_nodes_the_grant_is_named():
    found = cost(pod("p", "a"), denied=True)
    assert (found.per_hour, found.because) == ("unknown", GRANT)


def test_a_device_that_is_claimed_has_no_price_and_the_share_of_cpu_does_not_stand_for_it():
    claims = {"accelerator": {"dra": {"deviceClassName": "gpu.nvidia.com"}}}
    found = cost(pod("p", "a", cpu=2), nodes=[node("a", "big")], spec=claims)
    assert (found.per_hour, found.because) == ("unknown", CLAIMED)


def test_a_list_that_cannot_be_used_is_said():
    found = cost(pod("p", "a"), prices=None, fault="the list of prices is wrong at currency: x")
    assert (found.per_hour, found.currency) == ("unknown", None)
    assert found.because == "The list of prices is wrong at currency: x."


def test_months_are_for_the_fewest_and_the_most_replicas():
    replicas = [pod("p", "a", cpu=2), pod("q", "a", cpu=2), pod("r", "b", cpu=2)]
    found = cost(*replicas, nodes=[node("a", "big"), node("b", "small")], spec={"autoscaling": {"maxReplicas": 10}})
    # 0.5 + 0.5 + 0.125, a third of it each.
    assert (found.per_hour, found.per_replica_hour) == ("1.1250", "0.3750")
    assert (found.per_month_at_min, found.per_month_at_max) == ("273.75", "2737.50")
    assert found.because == "2 x 25% of big at 2 (cpu), 1 x 25% of small at 0.5 (cpu)."


def test_while_there_is_no_replica_the_price_of_the_last_one_stands():
    before = cost(pod("p", "a", cpu=2), nodes=[node("a", "big")])
    found = cost(nodes=[node("a", "big")], previous=LLMInferenceStatus(cost=before), spec={"replicas": 0})
    assert (found.per_hour, found.per_replica_hour, found.because) == ("0.0000", "0.5000", "No replica has a node.")
    again = cost(nodes=[], previous=LLMInferenceStatus(cost=found), spec={"replicas": 0})
    assert again == found
    other = PRICES.model_copy(update={"source": "another"})
    fresh = cost(previous=LLMInferenceStatus(cost=before), prices=other, spec={"replicas": 2})
    assert (fresh.per_replica_hour, fresh.per_month_at_max) == ("unknown", "unknown")


def test_a_node_that_is_new_is_looked_for_again_soon_and_nothing_else_is():
    def judge(nodes):
        pricing = Pricing(PRICES, nodes={item.name: item for item in nodes})
        state = replace(observed(pod("p", "a"), deployment=deployment(1, ready=1)), pricing=pricing)
        return compute_status(make_resource(), state, NOTHING, DEFAULTS)

    assert judge([]).recheck_seconds == NODE_RECHECK_SECONDS
    assert judge([node("a", "big")]).recheck_seconds is None
    assert judge([node("a", "unpriced")]).recheck_seconds is None
