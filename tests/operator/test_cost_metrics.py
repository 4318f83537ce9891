import pytest

from llmi_api.v1alpha1 import CostStatus
from llmi_operator.cost_metrics import forget_costs, publish_cost
from llmi_operator.metrics import REGISTRY
from llmi_operator.store import Key

KNOWN = CostStatus(
    per_hour="0.5000", per_replica_hour="0.2500", per_month_at_min="182.50", per_month_at_max="730.00",
    currency="USD", source="mine", because="x",
)  # fmt: skip
LOST = KNOWN.model_copy(update={"per_hour": "unknown", "per_month_at_min": "unknown", "per_month_at_max": "unknown"})
BERT = Key("models", "bert")


@pytest.fixture(autouse=True)
def clean():
    yield
    forget_costs()


def read(name, **labels):
    return REGISTRY.get_sample_value(f"llmi_operator_cost_{name}", {"namespace": "models", "name": "bert", **labels})


def test_a_known_cost_is_told_and_taken_away_with_its_resource():
    publish_cost(BERT, KNOWN)
    publish_cost(Key("models", "other"), KNOWN)
    assert read("per_hour", currency="USD") == 0.5
    assert read("per_month", currency="USD", replicas="max") == 730
    publish_cost(BERT, None)
    assert read("per_hour", currency="USD") is None
    assert REGISTRY.get_sample_value(
        "llmi_operator_cost_per_hour", {"namespace": "models", "name": "other", "currency": "USD"}
    )


def test_an_unknown_cost_is_no_number_and_counted():
    publish_cost(BERT, KNOWN)
    publish_cost(BERT, LOST)
    assert read("per_hour", currency="USD") is None
    assert read("unknown") == 1
    publish_cost(BERT, KNOWN)
    assert read("unknown") is None
    forget_costs()
    assert read("per_hour", currency="USD") is None
