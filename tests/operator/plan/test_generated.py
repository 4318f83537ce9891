"""Properties of every plan, over 10,000 generated specs and as many with one property changed."""

import copy

import pytest

from llmi_api import labels
from llmi_operator.errors import InvalidSpecError
from llmi_operator.parse import parse_resource
from llmi_operator.plan import Live, make_plan
from llmi_operator.plan.replicas import ReplicasOwner
from llmi_testing.examples import for_all_specs
from llmi_testing.inference import DEFAULTS, make_stored_body
from llmi_testing.specs import equivalents, generate, is_valid, mutate

EXAMPLES = 10_000
LONGEST_NAME = 63
LONGEST_PORT_NAME = 15


def plan(spec, *, name="bert", live=None):
    return make_plan(parse_resource({**make_stored_body(name), "spec": spec}), DEFAULTS, live or Live())


def children(spec, **more):
    return {child["kind"]: child for child in plan(spec, **more).children}


def any_name(random):
    inner = "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789-", k=random.randint(0, 44)))
    return f"b{inner}b"


def any_live(random):
    if random.random() < 0.2:
        return Live()
    return Live(
        replicas=random.randrange(1001),
        replicas_owner=random.choice(list(ReplicasOwner)),
        pins={"0123456789abcdef": "a" * 40} if random.random() < 0.5 else {},
        fetched="b" * 40 if random.random() < 0.5 else None,
        cache_size=random.choice([None, "1Gi", "500Ti"]),
    )


def names_in(value):
    """Every ``name`` in a manifest, except of variables and of what is the user's own."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "name" and isinstance(inner, str):
                yield inner
            elif key not in {"env", "imagePullSecrets"}:
                yield from names_in(inner)
    elif isinstance(value, list):
        for item in value:
            yield from names_in(item)


def test_every_spec_has_one_plan():
    def holds(spec, random):
        live = any_live(random)
        assert plan(spec, live=live) == plan(copy.deepcopy(spec), live=live)

    for_all_specs(holds, EXAMPLES)


def test_names_fit_and_labels_say_whose_it_is():
    def holds(spec, random):
        name = any_name(random)
        for child in plan(spec, name=name).children:
            metadata = child["metadata"]
            assert metadata["namespace"] == "models"
            assert metadata["labels"][labels.OWNER_LABEL] == name
            assert metadata["labels"][labels.MANAGED_BY_LABEL] == labels.MANAGED_BY
            kept = spec["model"].get("cache", {}).get("retention") == "Retain"
            owners = [(item["uid"], item["controller"]) for item in metadata.get("ownerReferences", ())]
            if not (kept and child["kind"] == "PersistentVolumeClaim"):
                assert owners == [(make_stored_body()["metadata"]["uid"], True)]
            else:
                assert owners == []
            assert all(len(value) <= LONGEST_NAME for value in metadata["labels"].values())
            assert all(len(found) <= LONGEST_NAME for found in names_in(child))
            assert all(len(port.get("name", "")) <= LONGEST_PORT_NAME for port in ports_of(child))

    for_all_specs(holds, EXAMPLES)


def ports_of(child):
    yield from child.get("spec", {}).get("ports", ())
    for container in child.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
        yield from container["ports"]


def test_the_replicas_are_the_autoscalers_while_there_is_one():
    def holds(spec, random):
        live = any_live(random)
        decided = plan(spec, live=live)
        deployment = next(child for child in decided.children if child["kind"] == "Deployment")
        replicas = deployment["spec"].get("replicas")
        if "autoscaling" not in spec:
            left = live.replicas and live.replicas_owner is ReplicasOwner.AUTOSCALER and "replicas" not in spec
            assert replicas == (None if left else spec.get("replicas", 1))
            return
        if live.replicas is None:
            assert replicas in {None, max(spec["autoscaling"].get("minReplicas", 1), 1)}
            return
        assert replicas is None
        # Never below what serves.
        assert decided.hand_over is None or decided.hand_over >= live.replicas

    for_all_specs(holds, EXAMPLES)


def test_the_selectors_follow_from_the_name_alone():
    def holds(spec, random):
        name = any_name(random)
        other = generate(random)
        for kind, child in children(spec, name=name).items():
            twin = children(other, name=name).get(kind)
            one, two = (manifest.get("spec", {}) for manifest in (child, twin or child))
            assert (one.get("selector"), one.get("podSelector")) == (two.get("selector"), two.get("podSelector"))

    for_all_specs(holds, EXAMPLES // 10)


def test_other_words_for_the_same_intent_give_the_same_plan():
    def holds(spec, _):
        wanted = plan(spec).children
        for what, other in equivalents(spec):
            assert plan(other).children == wanted, what

    for_all_specs(holds, EXAMPLES)


def test_one_changed_property_gives_a_plan_or_a_sentence():
    def holds(spec, random):
        changed = mutate(spec, random)
        if is_valid(changed):
            plan(changed)
            return
        with pytest.raises(InvalidSpecError) as refusal:
            plan(changed)
        assert str(refusal.value)

    for_all_specs(holds, EXAMPLES)
