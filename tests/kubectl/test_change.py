"""What a file would do, against children as the operator's own plan makes them."""

from dataclasses import replace
from decimal import Decimal

import pytest

from llmi_api import labels
from llmi_kubectl.change import Action, Surroundings, compute_change
from llmi_operator.errors import InvalidSpecError
from llmi_operator.kinds import BY_NAME, POD
from llmi_operator.observed import Capacity, NodeState
from llmi_operator.parse import parse_resource
from llmi_operator.plan import Live, make_plan
from llmi_operator.prices import parse_prices
from llmi_testing.inference import DEFAULTS, make_body, make_stored_body

GPU = "nvidia.com/gpu"
OTHER_IMAGE = DEFAULTS.model_copy(update={"images": {**DEFAULTS.images, "server_image": "llminference/server:next"}})


def exists(body, defaults=DEFAULTS, *, took=None, **live):
    """A resource with all its children, one replica each unless its spec says otherwise."""
    plan = make_plan(parse_resource(body), defaults, Live(**live))
    if took:
        body = body | {"status": {"startup": {"answered": took}}}
    objects = []
    for number, child in enumerate(plan.children):
        metadata = child["metadata"] | {"uid": f"uid-{number}", "resourceVersion": "1"}
        objects.append((BY_NAME[child["kind"]], child | {"metadata": metadata}))
    return body, objects


def change(file, stored=None, objects=(), *, defaults=DEFAULTS, capacity=None, prices=None):
    around = Surroundings(stored=stored, objects=list(objects), defaults=defaults, capacity=capacity, prices=prices)
    return compute_change(file, "models", around, DEFAULTS)


def actions(found):
    return {step.kind: step.action for step in found.steps}


def node(name="a", **amounts):
    whole = {"cpu": 8, "memory": 2**36, "ephemeral-storage": 2**40, "pods": 100, **amounts}
    return NodeState(name, allocatable={key: Decimal(value) for key, value in whole.items()})


def test_a_new_resource_creates_every_child_and_says_when_it_answers():
    found = change(make_body())
    assert found.is_new
    assert set(actions(found).values()) == {Action.CREATE}
    assert {"Deployment", "Service", "NetworkPolicy", "ServiceAccount"} <= actions(found).keys()
    assert (found.replicas_before, found.replicas, found.restarted) == (0, 1, 0)
    assert found.gap == "Nothing answers until the first replica has started."


def test_the_same_file_again_changes_nothing():
    body, objects = exists(make_stored_body())
    found = change(make_body(), body, objects)
    assert found.is_empty
    assert found.gap == "None: no replica restarts."


def test_a_field_of_the_pods_restarts_the_replicas_and_names_it():
    body, objects = exists(make_stored_body(replicas=2))
    found = change(make_body(replicas=2, limits={"maxQueuedRequests": 7}), body, objects)
    assert actions(found)["Deployment"] is Action.UPDATE
    assert actions(found)["Service"] is Action.KEEP
    assert found.restarted == 2
    assert found.restart_fields == ("spec.containers[server].env[LLMI_MAX_QUEUED_REQUESTS].value",)


def test_a_field_that_is_dropped_restarts_too():
    body, objects = exists(make_stored_body(scheduling={"nodeSelector": {"pool": "a"}}))
    body["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": '{"spec": {"scheduling": {"nodeSelector": {"pool": "a"}}}}'
    }
    found = change(make_body(), body, objects)
    assert found.restarted == 1
    assert any("nodeSelector" in field for field in found.restart_fields)


def test_more_replicas_restart_nothing():
    body, objects = exists(make_stored_body(replicas=1))
    found = change(make_body(replicas=3), body, objects)
    assert (found.replicas_before, found.replicas, found.restarted) == (1, 3, 0)
    assert actions(found)["PodDisruptionBudget"] is Action.CREATE


def test_autoscaling_makes_an_autoscaler_and_leaves_the_replicas():
    body, objects = exists(make_stored_body(replicas=2))
    found = change(make_body(autoscaling={"maxReplicas": 4}), body | {"spec": make_body()["spec"]}, objects)
    assert actions(found)["HorizontalPodAutoscaler"] is Action.CREATE
    assert found.replicas == 2


def test_what_is_not_wanted_any_more_is_deleted():
    body, objects = exists(make_stored_body(replicas=2))
    found = change(make_body(replicas=1), body, objects)
    assert actions(found)["PodDisruptionBudget"] is Action.DELETE


def test_a_name_that_somebody_else_has_is_told():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bert", "namespace": "models", "uid": "x"}}
    found = change(make_body(), None, [(BY_NAME["Service"], service)])
    assert actions(found)["Service"] is Action.REFUSE


def test_an_edit_by_hand_would_be_set_back():
    body, objects = exists(make_stored_body(replicas=2))
    for kind, child in objects:
        if kind.name == "Deployment":
            child["spec"] = child["spec"] | {"progressDeadlineSeconds": 1}
    found = change(make_body(replicas=2), body, objects)
    assert [step.fields for step in found.steps if step.kind == "Deployment"] == [("spec.progressDeadlineSeconds",)]
    assert found.restarted == 0


def test_without_the_operators_settings_other_defaults_are_no_change():
    body, objects = exists(make_stored_body(), OTHER_IMAGE)
    assert change(make_body(), body, objects, defaults=DEFAULTS).restarted == 1
    assert change(make_body(), body, objects, defaults=None).is_empty
    assert change(make_body(), body, objects, defaults=OTHER_IMAGE).is_empty


def test_a_paused_resource_restarts_nothing_and_says_so():
    body, objects = exists(make_stored_body(paused=True))
    found = change(make_body(paused=True, limits={"maxQueuedRequests": 7}), body, objects)
    assert found.restarted == 0
    assert "spec.paused is set" in found.notes[0]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"replicas": 1, "autoscaling": {"maxReplicas": 2}}, "Set replicas or autoscaling, not both"),
        ({"replica": 2}, r"spec\.replica: no such field"),
        ({"limits": {"maxQueued": 2}}, r"spec\.limits\.maxQueued: no such field"),
        ({"replicas": -1}, "replicas"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_with_the_rule(wrong, sentence):
    with pytest.raises(InvalidSpecError, match=sentence):
        change(make_body(**wrong))


def test_devices_are_counted_where_a_replica_may_run():
    body, objects = exists(make_stored_body(accelerator={}))
    tainted = NodeState("t", taints=(), cordoned=True, allocatable=node(**{GPU: 8}).allocatable)
    capacity = Capacity((node("a", **{GPU: 4}), node("b"), tainted), {"a": {GPU: Decimal(1)}})
    found = change(make_body(accelerator={"count": 2}, replicas=3), body, objects, capacity=capacity)
    (devices,) = found.devices
    assert (devices.resource, devices.each, devices.wanted, devices.held, devices.free) == (GPU, 2, 6, 1, 3)
    assert found.room == 1


def test_a_node_that_does_not_say_how_much_memory_it_has_takes_what_its_cpu_takes():
    silent = NodeState("a", allocatable={"cpu": Decimal(4)})
    assert change(make_body(), capacity=Capacity((silent,), {"a": {"cpu": Decimal(1)}})).room == 3
    assert change(make_body(), capacity=Capacity((silent,), {"a": {"cpu": Decimal(4)}})).room == 0


def test_nodes_with_another_product_than_was_asked_for_are_not_counted():
    label = {"nvidia.com/gpu.product": "NVIDIA-L4"}
    fitting = NodeState("a", labels=label, allocatable=node(**{GPU: 4}).allocatable)
    capacity = Capacity((fitting, node("b", **{GPU: 8})), {})
    found = change(make_body(accelerator={"products": ["NVIDIA-L4"]}), capacity=capacity)
    assert (found.devices[0].free, found.room) == (4, 4)


@pytest.mark.parametrize(
    ("gpus", "gap"),
    [
        pytest.param("2", "None: a new replica answers before an old one goes, and a node has room for it.", id="room"),
        pytest.param(
            "1", "None, but no node has room for one more replica: the old ones go on until one has.", id="full"
        ),
        pytest.param(
            None, "None if a node has room for one more replica, for a new one answers before an old one goes.",
            id="unknown",
        ),
    ],
)  # fmt: skip
def test_the_gap_follows_from_the_room(gpus, gap):
    body, objects = exists(make_stored_body(accelerator={}))
    capacity = None if gpus is None else Capacity((node("a", **{GPU: gpus}),), {"a": {GPU: Decimal(1)}})
    file = make_body(accelerator={}, limits={"maxQueuedRequests": 7})
    assert change(file, body, objects, capacity=capacity).gap == gap


def test_a_replica_on_the_only_device_goes_before_its_successor_starts():
    body, objects = exists(make_stored_body(accelerator={}), took="40s")
    template = next(child for kind, child in objects if kind.name == "Deployment")["spec"]["template"]["spec"]
    metadata = {"name": "bert-1-a", "namespace": "models", "uid": "pod", "labels": {labels.OWNER_LABEL: "bert"}}
    ours = {"metadata": metadata, "spec": {**template, "nodeName": "a"}, "status": {"phase": "Running"}}
    used = {GPU: Decimal(1), "cpu": Decimal(1), "memory": Decimal(2**32), "ephemeral-storage": Decimal(2**33)}
    capacity = Capacity((node("a", **{GPU: 1}),), {"a": used})
    file = make_body(accelerator={}, limits={"maxQueuedRequests": 7})
    found = change(file, body, [*objects, (POD, ours)], capacity=capacity)
    assert found.gap == "About 40s, what the latest start took: the old replica goes before the new one starts."


def test_a_plan_is_held_to_the_budget_and_priced():
    prices = parse_prices("currency: USD\nsource: mine\nnodes: {big: {perHour: 4}}\n")
    big = replace(node("a"), labels={"node.kubernetes.io/instance-type": "big"})
    file = make_body(replicas=5, budget={"perHour": "1"})
    found = change(file, capacity=Capacity((big,), {}), prices=prices)
    # An eighth of the node is 0.5 an hour.
    assert found.replicas == 2
    assert (found.cost.lowest, found.cost.highest) == ("1.0000", "1.0000")
    assert found.notes[0].startswith("At most 2 of 5 replicas run: each costs up to 0.5000 USD an hour")
    assert "no list of prices" in change(file).notes[0]


def test_a_version_that_the_operator_would_not_begin_restarts_nothing_and_says_why():
    stored, objects = exists(make_stored_body(accelerator={"products": ["NVIDIA-A100-SXM4-80GB"]}))
    files, weights = "google-bert/bert-large-uncased@main", {"bfloat16": 40 * 2**30}
    stored = stored | {"status": {"memory": {"model": files, "weights": weights}}}
    found = change(make_body(accelerator={"products": ["Tesla-T4"]}), stored, objects)
    assert (found.restarted, "Deployment" in actions(found)) == (0, False)
    (note,) = found.notes
    assert "so no replica of this version is made. Name a device with more memory" in note
    assert change(make_body(accelerator={"products": ["NVIDIA-L40S"]}), stored, objects).restarted == 1
