"""What models cost by the example's list of prices, worked out and told as the operator does it."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import yaml

from llmi_api.v1alpha1 import LLMInferenceStatus
from llmi_operator.cost_metrics import publish_cost
from llmi_operator.observed import Needs, NodeState, Pricing
from llmi_operator.plan.accelerator import INSTANCE_TYPE_LABEL
from llmi_operator.prices import parse_prices
from llmi_operator.status.cost import compute_cost
from llmi_operator.store import Key
from llmi_testing.inference import make_resource
from llmi_testing.observations import deployment, observed, ready_pod

_LIST = Path(__file__).parents[3] / "examples" / "prices" / "list-prices.yaml"
_GPU = "nvidia.com/gpu"
WHOLE_GPUS, UNPRICED = "chat", "starting"
"""Has two nodes to itself; is on a node whose type is not in the list. Every other model has a quarter of a node."""
PER_HOUR = {WHOLE_GPUS: 2 * 1.006, "well": 1.006 / 4}
"""In dollars, by g5.xlarge in the list."""


def publish_costs(names: Iterable[str]) -> None:
    """Bring the operator's metrics of cost up to date, for models of the namespace `models`."""
    prices = parse_prices(yaml.safe_load(_LIST.read_text())["data"]["prices.yaml"])
    for name in names:
        kind, needs = "unheard-of" if name == UNPRICED else "g5.xlarge", {"cpu": Decimal(1)}
        if name == WHOLE_GPUS:
            needs[_GPU] = Decimal(1)
        places = ("a", "b") if name == WHOLE_GPUS else ("a",)
        pods = [replace(ready_pod(f"{name}-{place}"), node=place, needs=Needs(requests=needs)) for place in places]
        offered = {"cpu": Decimal(4), "memory": Decimal(16 * 2**30), _GPU: Decimal(1)}
        nodes = {place: NodeState(place, labels={INSTANCE_TYPE_LABEL: kind}, allocatable=offered) for place in places}
        seen = replace(observed(*pods, deployment=deployment(len(pods))), pricing=Pricing(prices, nodes=nodes))
        publish_cost(Key("models", name), compute_cost(make_resource(name), seen, LLMInferenceStatus()))
