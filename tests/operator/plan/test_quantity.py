import pytest

from llmi_operator.plan.quantity import parse_quantity, write_quantity


@pytest.mark.parametrize(
    ("one", "other", "written"),
    [
        ("0.5", "500m", "500m"),
        ("1Gi", "1024Mi", "1Gi"),
        (1073741824, "1Gi", "1Gi"),
        (2, "2000m", "2"),
        ("1e3", "1k", "1k"),
        ("1.5Gi", "1536Mi", "1536Mi"),
        ("3000M", "3G", "3G"),
        ("10", "1e1", "10"),
    ],
)
def test_equal_amounts_are_written_alike(one, other, written):
    assert parse_quantity(one) == parse_quantity(other) is not None
    assert write_quantity(one) == write_quantity(other) == written


@pytest.mark.parametrize("amount", ["much", "1e999999Ki", "nan", "inf", "-1", "0", "", "1Zi"])
def test_what_is_no_usable_amount_is_left_to_the_api_server(amount):
    assert write_quantity(amount) == amount


def test_what_is_no_quantity_is_read_as_none():
    assert parse_quantity("much") is None
    assert parse_quantity("1e999999Ki") is None
