import pytest

from llmi_operator.errors import InvalidSpecError
from llmi_operator.parse import parse_resource, parse_status
from llmi_testing.inference import make_stored_body


def test_unknown_keys_are_ignored_because_the_crd_may_be_newer():
    assert parse_resource(make_stored_body(fromTheFuture=1)).name == "bert"


def test_a_broken_rule_is_said_in_its_own_words():
    with pytest.raises(InvalidSpecError, match=r"^Set exactly one of model.id, model.claim and model.image\.$"):
        parse_resource(make_stored_body(model={}))


def test_a_wrong_value_is_named_with_its_field():
    with pytest.raises(InvalidSpecError, match=r"spec\.replicas: .*greater than or equal to 0"):
        parse_resource(make_stored_body(replicas=-1))


def test_an_unreadable_status_counts_as_none():
    assert parse_status({"status": {"conditions": "?"}}).conditions == []
