from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmi_operator.observed import Capacity, Needs, NodeState, Requirement, Taint, Toleration
from llmi_operator.plan.rollout import Room
from llmi_operator.status.capacity import (
    compute_requests,
    find_room,
    read_places,
    read_tolerations,
    sum_requests,
    survey,
)
from llmi_testing.observations import pod, ready_pod
from llmi_testing.situations import GPU, gpus, node


def container(**requests):
    return {"resources": {"requests": requests}}


def cause(one, needs, used=None):
    return survey(Capacity((one,), {one.name: used or {}}), needs).nodes[0][1].cause


@pytest.mark.parametrize(
    ("nodes", "wanted", "phase", "room"),
    [
        pytest.param((node("a", more=gpus(2)),), 1, "Running", Room.BESIDE, id="one is free"),
        pytest.param((node("a", more=gpus(1)),), 1, "Running", Room.IN_PLACE, id="ours has the only one"),
        pytest.param((node("a", more=gpus(1)),), 2, "Running", Room.NONE, id="ours would not be enough"),
        pytest.param((node("a", more=gpus(1)),), 1, "Failed", Room.NONE, id="ours is over, somebody else has it"),
        pytest.param((node("a", more=gpus(1)), node("b", more=gpus(1))), 1, "Running", Room.BESIDE, id="on another"),
        pytest.param((), 1, "Running", Room.UNKNOWN, id="no node is seen"),
    ],
)
def test_where_a_new_replica_finds_room(nodes, wanted, phase, room):
    ours = ready_pod(node="a", phase=phase, needs=Needs(requests=gpus(1)))
    assert find_room(Capacity(nodes, {"a": gpus(1)}), Needs(requests=gpus(wanted)), [ours], 1) is room


@pytest.mark.parametrize(
    ("wanted", "room"),
    [
        pytest.param(1, Room.BESIDE, id="one too many: it goes first"),
        pytest.param(2, Room.IN_PLACE, id="none too many: one goes for the other"),
    ],
)
def test_a_replica_too_many_that_does_not_answer_leaves_its_room(wanted, room):
    serving = ready_pod("old", node="a", needs=Needs(requests=gpus(1)))
    broken = pod("broken", node="a", needs=Needs(requests=gpus(1)))
    capacity = Capacity((node("a", more=gpus(2)),), {"a": gpus(2)})
    assert find_room(capacity, Needs(requests=gpus(1)), [serving, broken], wanted) is room


def test_a_pod_asks_for_all_containers_or_for_its_largest_init_container():
    spec = {
        "containers": [container(cpu="1", memory="1Gi"), container(cpu="500m")],
        "initContainers": [container(cpu="2"), container(memory="512Mi")],
    }
    assert compute_requests(spec) == {"cpu": Decimal(2), "memory": Decimal(2**30)}


def test_a_sidecar_counts_with_the_containers():
    sidecar = container(cpu="1") | {"restartPolicy": "Always"}
    assert compute_requests({"containers": [container(cpu="1")], "initContainers": [sidecar]}) == {"cpu": Decimal(2)}


def test_only_pods_that_hold_a_node_are_added_up():
    def pod(node, phase="Running"):
        spec = {"containers": [container(cpu="1")], **({"nodeName": node} if node else {})}
        return {"spec": spec, "status": {"phase": phase}}

    used = sum_requests([pod("a"), pod("a"), pod("b"), pod(None), pod("b", "Succeeded"), pod("b", "Failed")])
    assert used == {"a": {"cpu": Decimal(2)}, "b": {"cpu": Decimal(1)}}


def test_a_node_that_is_down_or_cordoned_is_so_whatever_else_is_wrong_with_it():
    needs = Needs(requests={"cpu": Decimal(100)})
    assert cause(node("a", ready=False), needs) == "down"
    assert cause(node("a", cordoned=True), needs) == "cordoned"
    assert cause(node("a"), needs) == "short"


def test_a_node_whose_devices_all_fell_off_is_told_from_one_that_has_none():
    needs = Needs(requests=gpus(1))
    there = Capacity((node("a", devices=gpus(2), more=gpus(0)), node("b", devices=gpus(2))), {})
    assert [(item.cause, item.total) for _, item in survey(there, needs).nodes] == [("broken", 2), ("broken", 2)]
    assert cause(node("c"), needs) == "without"


def test_a_toleration_opens_a_tainted_node():
    needs = Needs(tolerations=(Toleration("spot", "Exists", "", ""),))
    assert cause(node("a", taint="spot"), Needs()) == "taint"
    assert cause(node("a", taint="spot"), needs) == "fits"


def test_tolerations_compare_as_the_scheduler_does():
    taint = Taint("k", "v", "NoSchedule")
    read = {
        True: [{"operator": "Exists"}, {"key": "k", "operator": "Exists"}, {"key": "k", "value": "v"}],
        False: [{"key": "k", "value": "w"}, {"key": "k", "operator": "Exists", "effect": "NoExecute"}, {"key": "x"}],
    }
    for accepted, items in read.items():
        assert [item.accepts(taint) for item in read_tolerations({"tolerations": items})] == [accepted] * 3


def test_a_preference_keeps_nobody_off():
    soft = NodeState("a", taints=(Taint("k", "", "PreferNoSchedule"),))
    assert cause(soft, Needs()) == "fits"


@given(total=st.integers(0, 8), used=st.integers(0, 10), wanted=st.integers(1, 8))
def test_a_node_takes_a_pod_exactly_if_what_is_free_suffices(total, used, wanted):
    found = cause(node("a", more=gpus(total)), Needs(requests=gpus(wanted)), {GPU: Decimal(used)})
    assert found == ("without" if total == 0 else "fits" if total - used >= wanted else "full")


def places(*terms):
    required = {"nodeSelectorTerms": [{"matchExpressions": list(term)} for term in terms]}
    return read_places({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}})


def test_a_node_of_another_product_is_told_with_what_it_has():
    wanted = {"key": "product", "operator": "In", "values": ["l4", "a10"]}
    needs = Needs(requests=gpus(1), places=places([wanted]))
    capacity = Capacity(
        (
            node("a", labels={"product": "l4"}, more=gpus(1)),
            node("b", labels={"product": "t4"}, more=gpus(1)),
            node("c", more=gpus(1)),
        ),
        {},
    )
    assert [(item.cause, item.what) for _, item in survey(capacity, needs).nodes] == [
        ("fits", ""),
        ("affinity", "t4"),
        ("affinity", ""),
    ]


def test_one_term_is_enough_and_all_of_its_requirements_are_needed():
    here, there = ({"key": key, "operator": "In", "values": ["x"]} for key in ("a", "b"))
    either, both = Needs(places=places([here], [there])), Needs(places=places([here, there]))
    assert either.accepts({"b": "x"})
    assert not both.accepts({"b": "x"})
    assert both.accepts({"a": "x", "b": "x"})


def test_requirements_compare_as_the_scheduler_does():
    def met(operator, labels, *values):
        return Requirement("k", operator, values).is_met(labels)

    assert met("Exists", {"k": ""})
    assert not met("Exists", {})
    assert met("DoesNotExist", {})
    assert not met("DoesNotExist", {"k": "v"})
    assert met("NotIn", {}, "v")
    assert not met("NotIn", {"k": "v"}, "v")
    assert met("NotIn", {"k": "w"}, "v")
    # What is not known here is left to the scheduler.
    assert met("Gt", {"k": "1"}, "5")


def test_a_pod_without_required_affinity_takes_every_node():
    liked = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {}}]}}
    assert Needs(places=read_places({"affinity": liked})).accepts({})
    assert read_places({}) == ()
