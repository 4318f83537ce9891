import pytest

from llmi_operator.plan import Live, make_plan
from llmi_operator.plan.pin import MAX_PINS, build_pins, choose_pin, make_pin_key, needs_pin
from llmi_testing.inference import DEFAULTS, make_resource

COMMIT, OTHER = "a" * 40, "b" * 40


def source(**model):
    return make_resource(model=model or {"id": "a/b"}).spec.model


@pytest.mark.parametrize(
    ("model", "needed"),
    [
        ({"id": "a/b"}, True),
        ({"id": "a/b", "revision": "main"}, True),
        ({"id": "a/b", "revision": COMMIT[:7]}, True),
        ({"id": "a/b", "revision": COMMIT}, False),
        ({"claim": {"name": "c"}}, False),
    ],
)
def test_what_can_move_is_pinned(model, needed):
    assert needs_pin(source(**model)) is needed


def test_each_question_has_a_key_of_its_own():
    asked = [
        source(id="a/b"),
        source(id="a/c"),
        source(id="a/b", revision="v1"),
        source(id="a/b", endpoint="https://hub.example.com"),
    ]
    assert len({make_pin_key(item) for item in asked}) == len(asked)


def test_what_is_pinned_is_not_changed_by_what_is_fetched():
    key = make_pin_key(source())
    assert choose_pin(source(), {}, None) is None
    assert choose_pin(source(), {}, COMMIT) == COMMIT
    assert choose_pin(source(), {key: COMMIT}, OTHER) == COMMIT
    assert choose_pin(source(id="a/b", revision=OTHER), {key: COMMIT}, COMMIT) is None


def test_earlier_pins_are_kept_for_the_way_back():
    pins = build_pins(make_resource(model={"id": "a/b", "revision": OTHER}), {"before": COMMIT}, None)
    assert pins["data"] == {"before": COMMIT}
    assert pins["metadata"]["name"] == "bert-model"


def test_pins_do_not_grow_without_end():
    many = {f"{number:016x}": COMMIT for number in range(MAX_PINS)}
    assert build_pins(make_resource(), many, OTHER)["data"] == {make_pin_key(make_resource().spec.model): OTHER}
    assert build_pins(make_resource(), many | {make_pin_key(make_resource().spec.model): OTHER}, OTHER)


def test_the_pod_template_is_the_same_before_and_after_pinning():
    resource = make_resource()
    plans = [make_plan(resource, DEFAULTS, Live(fetched=fetched)) for fetched in (None, COMMIT)]
    deployments = [child for plan in plans for child in plan.children if child["kind"] == "Deployment"]
    assert deployments[0] == deployments[1]
    assert [plan.pin for plan in plans] == [None, COMMIT]
