"""One pass, against an API server in memory."""

import pytest

from llmi_operator.kinds import AUTOSCALER, DEPLOYMENT, INFERENCE, SERVICE
from llmi_operator.reconcile import REFUSED_AGAIN_SECONDS, Parts, one_pass
from llmi_operator.resync import Resync
from llmi_operator.store import Key, Store
from llmi_testing.fake_cluster import owners_of_replicas
from llmi_testing.inference import DEFAULTS, make_stored_body
from llmi_testing.world import KEY, World

AUTO = {"minReplicas": 2, "maxReplicas": 6}


@pytest.fixture
def world():
    world = World()
    world.write()
    return world


async def test_the_first_pass_makes_children_and_status_with_one_write_each(world):
    await one_pass(world.parts, KEY)
    assert sorted(world.cluster.writes()) == [
        ("apply", "Deployment", "bert"), ("apply", "NetworkPolicy", "bert"), ("apply", "Service", "bert"),
        ("apply", "ServiceAccount", "bert"), ("status", "LLMInference", "bert"),
    ]  # fmt: skip
    assert world.status["why"] == "The replicas are being started."


async def test_the_next_pass_writes_nothing_even_before_the_watch_has_caught_up(world):
    await one_pass(world.parts, KEY)
    world.cluster.writes()
    await one_pass(world.parts, KEY)
    assert world.cluster.writes() == []


async def test_an_edit_is_applied_once_even_before_the_watch_has_caught_up(world):
    await world.settle()
    world.write(replicas=3)
    await one_pass(world.parts, KEY)
    assert ("apply", "Deployment", "bert") in world.cluster.writes()
    await one_pass(world.parts, KEY)
    assert world.cluster.writes() == []


async def test_a_new_operator_finds_nothing_to_write(world):
    await world.settle()
    world.parts = Parts(world.cluster, Store(), DEFAULTS, world.parts.now)
    world.store = world.parts.store
    await world.watch()
    assert await world.settle() == []


async def test_an_event_is_posted_when_the_reason_changes_and_only_then(world):
    await world.settle()
    world.write(replicas=0)
    await world.settle()
    assert [event["reason"] for event in world.cluster.events] == ["Starting", "ScaledToZero"]


async def test_replicas_are_never_dropped_by_switching_autoscaling(world):
    world.write(replicas=3)
    await world.settle()
    world.write(autoscaling=AUTO)
    await world.settle()
    assert world.replicas == 3
    assert "llminference-operator" not in owners_of_replicas(world.cluster.find(DEPLOYMENT))
    world.write(replicas=4)
    await world.settle()
    assert world.replicas == 4
    assert AUTOSCALER.name not in {kind for kind, _, _ in world.cluster.objects}


async def test_a_failed_hand_over_leaves_the_deployment_alone(world):
    world.write(replicas=3)
    await world.settle()
    world.write(autoscaling=AUTO)
    world.cluster.refuse("apply", DEPLOYMENT, 503)
    outcome = await one_pass(world.parts, KEY)
    assert outcome.error.status == 503
    assert world.replicas == 3
    assert AUTOSCALER.name not in {kind for kind, _, _ in world.cluster.objects}


async def test_a_foreign_object_is_not_touched(world):
    world.cluster.put(SERVICE, {"kind": "Service", "metadata": {"namespace": "models", "name": "bert"}, "spec": {}})
    outcome = await one_pass(world.parts, KEY)
    assert outcome.again_seconds == REFUSED_AGAIN_SECONDS
    assert ("apply", "Service", "bert") not in world.cluster.writes()
    assert "not ours" in world.status["why"]


async def test_a_child_of_an_earlier_namesake_is_waited_for(world):
    await world.settle()
    body = make_stored_body(uid="another")
    world.store.drop(INFERENCE, world.cluster.find(INFERENCE))
    world.store.put(INFERENCE, world.cluster.put(INFERENCE, body))
    world.cluster.writes()
    outcome = await one_pass(world.parts, KEY)
    assert outcome.error.reason == "Leftover"
    assert [verb for verb, _, _ in world.cluster.writes()] == ["status"]


async def test_only_what_is_ours_is_pruned(world):
    world.write(autoscaling=AUTO)
    await world.settle()
    theirs = {"kind": "HorizontalPodAutoscaler", "metadata": {"namespace": "models", "name": "theirs"}, "spec": {}}
    labels = world.cluster.find(AUTOSCALER)["metadata"]["labels"]
    theirs["metadata"]["labels"] = labels
    world.cluster.put(AUTOSCALER, theirs)
    await world.watch()
    world.write()
    assert ("delete", "HorizontalPodAutoscaler", "bert") in await world.settle()
    assert world.cluster.find(AUTOSCALER, "theirs")


async def test_an_invalid_spec_is_said_and_what_runs_is_left_alone(world):
    await world.settle()
    world.write(replicas=1, autoscaling=AUTO)
    assert await world.settle() == [("status", "LLMInference", "bert")]
    assert world.status["why"].startswith("Set replicas or autoscaling, not both")


async def test_a_final_refusal_is_a_sentence_and_a_passing_one_is_another_try(world):
    world.cluster.refuse("apply", DEPLOYMENT, 422, "spec.bad: Invalid value")
    outcome = await one_pass(world.parts, KEY)
    assert outcome.error is None
    assert "spec.bad: Invalid value" in world.status["why"]
    world.cluster.refuse("apply", DEPLOYMENT, 500)
    assert (await one_pass(world.parts, KEY)).error.status == 500


async def test_a_status_that_cannot_be_written_is_tried_again(world):
    world.cluster.refuse("status", INFERENCE, 503)
    assert (await one_pass(world.parts, KEY)).error.status == 503


async def test_an_event_that_cannot_be_posted_is_let_go(world):
    world.cluster.refuse("create", SERVICE, 403)
    world.cluster.refusals["create", "Event"] = world.cluster.refusals.pop(("create", "Service"))
    assert (await one_pass(world.parts, KEY)).error is None


async def test_of_a_resource_that_is_being_deleted_nothing_is_made_and_what_holds_it_is_said(world):
    body = make_stored_body()
    body["metadata"] |= {"deletionTimestamp": "2026-05-01T00:00:00Z", "finalizers": ["x/y"]}
    world.store.put(INFERENCE, world.cluster.put(INFERENCE, body))
    assert not (await one_pass(world.parts, KEY)).gone
    assert world.cluster.writes() == [("status", "LLMInference", "bert")]
    assert "waits for the finalizer x/y" in world.status["why"]


async def test_without_seeing_the_children_nothing_is_made_of_them_and_the_missing_right_is_named(world):
    resync = Resync(world.cluster, world.store, ())
    world.cluster.refuse("list", SERVICE, 403, 'User "x" cannot list resource "services"')
    assert await resync.once() == {KEY}
    await one_pass(world.parts, KEY)
    assert world.cluster.writes() == [("status", "LLMInference", "bert")]
    assert world.status["why"].startswith("The operator may not list Services: grant it that in its Role")
    world.cluster.refusals.clear()
    assert KEY in await resync.once()
    await one_pass(world.parts, KEY)
    assert ("apply", "Service", "bert") in world.cluster.writes()


async def test_while_paused_nothing_is_written_but_the_status(world):
    await world.settle()
    world.write(replicas=3, paused=True)
    assert await world.settle() == [("status", "LLMInference", "bert")]
    assert world.replicas == 1
    assert world.status["conditions"][0]["status"] == "False"
    world.write(replicas=3)
    await world.settle()
    assert world.replicas == 3


async def test_a_resource_that_is_gone_is_forgotten(world):
    assert (await one_pass(world.parts, Key("models", "other"))).gone
