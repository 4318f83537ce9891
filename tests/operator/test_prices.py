from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from llmi_operator.prices import MOST_BYTES, PriceListError, parse_prices

GOOD = """\
currency: USD
source: list prices of 2026-11-25
nodes:
  g5.xlarge: {perHour: 1.006, spotPerHour: 0.4}
accelerators:
  nvidia.com/gpu: {perHour: 2}
"""


def test_prices_are_exact():
    prices = parse_prices(GOOD)
    assert prices.nodes["g5.xlarge"].choose(spot=False) == Decimal("1.006")
    assert prices.nodes["g5.xlarge"].choose(spot=True) == Decimal("0.4")
    assert prices.accelerators["nvidia.com/gpu"].choose(spot=True) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "wrong at the whole"),
        ("- a", "wrong at the whole"),
        ("a: [", "is not YAML"),
        (GOOD.replace("USD", "dollars"), "wrong at currency"),
        (GOOD.replace("source: list prices of 2026-11-25", ""), "wrong at source: Field required"),
        (GOOD.replace("1.006", "-1"), r"wrong at nodes\.g5\.xlarge\.perHour: Input should be greater than 0"),
        (GOOD.replace("1.006", "0"), "greater than 0"),
        (GOOD.replace("1.006", ".inf"), r"wrong at nodes\.g5\.xlarge\.perHour"),
        (GOOD.replace("1.006", "free"), r"wrong at nodes\.g5\.xlarge\.perHour"),
        (GOOD.replace("perHour: 1.006", "price: 1"), r"wrong at nodes\.g5\.xlarge\.price"),
        (GOOD.replace("{perHour: 1.006, spotPerHour: 0.4}", "1.006"), r"wrong at nodes\.g5\.xlarge"),
        ("x" * (MOST_BYTES + 1), "characters"),
        ("[" * 3000, "is not YAML"),
        ("!!python/object/apply:os.system [ls]", "is not YAML"),
    ],
)
def test_a_list_that_cannot_be_used_says_where(text, sentence):
    with pytest.raises(PriceListError, match=sentence):
        parse_prices(text)


def test_the_example_is_a_list_and_says_of_which_day_it_is():
    path = Path(__file__).parents[2] / "examples" / "prices" / "list-prices.yaml"
    config_map = yaml.safe_load(path.read_text())
    assert (config_map["kind"], config_map["metadata"]["name"]) == ("ConfigMap", "llminference-prices")
    prices = parse_prices(config_map["data"]["prices.yaml"])
    assert "list price" in prices.source
    assert "2026" in prices.source
