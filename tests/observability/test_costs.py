"""What models cost, from the list of prices in examples/ through the operator's metrics to the rules of Prometheus."""

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.model_costs import PER_HOUR, UNPRICED, WHOLE_GPUS

pytestmark = [pytest.mark.observability, pytest.mark.timeout(600)]
BY_THE_LIST = f'{{namespace="models",llminference="{WHOLE_GPUS}"}}'


def ask(watched, query):
    """The only answer to a query, once there is one: its labels and its number."""
    (found,) = eventually(lambda: watched.stack.query(query), query, seconds=120)
    return found["metric"], float(found["value"][1])


@pytest.mark.parametrize("name", PER_HOUR)
def test_an_hour_costs_what_the_shares_of_nodes_do_under_the_models_own_name(name, watched):
    labels, number = ask(watched, f'llminference:cost_per_hour:sum{{llminference="{name}"}}')
    assert number == pytest.approx(PER_HOUR[name], rel=1e-6)
    # Not the namespace of the operator, whose pod told it.
    assert (labels["namespace"], labels["currency"]) == ("models", "USD")


def test_a_million_tokens_cost_that_hour_over_the_tokens_of_an_hour(watched):
    # All of one moment, so that the load may be whatever this machine makes of it.
    tokens = f"(llminference:input_tokens:rate5m{BY_THE_LIST} + llminference:output_tokens:rate5m{BY_THE_LIST})"
    per_million = f"llminference:cost_per_million_tokens:ratio{BY_THE_LIST}"
    labels, number = ask(watched, f"{per_million} * on (namespace, llminference) group_left () ({tokens})")
    assert labels["currency"] == "USD"
    assert number == pytest.approx(PER_HOUR[WHOLE_GPUS] / 3600 * 1e6, rel=0.05)
    # 250 tokens a second where nothing holds it up, of which some were given.
    _, dollars = ask(watched, per_million)
    assert PER_HOUR[WHOLE_GPUS] / (300 * 3600) * 1e6 < dollars < PER_HOUR[WHOLE_GPUS] / (10 * 3600) * 1e6


def test_what_the_list_does_not_know_is_counted_and_costs_nothing_that_could_be_added_up(watched):
    ask(watched, f'llmi_operator_cost_unknown{{namespace="models",name="{UNPRICED}"}}')
    assert watched.stack.query(f'llminference:cost_per_hour:sum{{llminference="{UNPRICED}"}}') == []
