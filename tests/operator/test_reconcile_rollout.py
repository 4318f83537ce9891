"""Passes over a resource that asks for a GPU, against an API server in memory with one node."""

from dataclasses import replace

import pytest

from llmi_api import labels
from llmi_operator.cluster.inspector import Inspector
from llmi_operator.kinds import DEPLOYMENT, NODE, POD
from llmi_operator.reconcile import one_pass
from llmi_testing.situations import GPU
from llmi_testing.world import KEY, World

BESIDE = {"maxUnavailable": 0, "maxSurge": 1}
IN_PLACE = {"maxUnavailable": 1, "maxSurge": 0}


@pytest.fixture
async def world():
    """One replica serves on one of the node's two GPUs."""
    world = World()
    inspector = Inspector(world.cluster, lambda key: None, lambda key, seconds: None, clock=lambda: 0.0)
    world.parts = replace(world.parts, inspector=inspector)
    ready = [{"type": "Ready", "status": "True"}]
    amounts = {GPU: "2", "cpu": "8", "memory": "64Gi", "ephemeral-storage": "99Gi"}
    status = {"conditions": ready, "allocatable": amounts}
    world.cluster.put(NODE, {"metadata": {"name": "a", "namespace": ""}, "spec": {}, "status": status})
    world.write(accelerator={})
    await world.settle()
    serves(world)
    add_pod(world, "ours", owner="bert", spec=world.cluster.find(DEPLOYMENT)["spec"]["template"]["spec"])
    await world.settle()
    yield world
    await inspector.close()


def serves(world):
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas"), 1)
    world.cluster.put(DEPLOYMENT, world.cluster.find(DEPLOYMENT) | {"status": counts})


def rolls(world):
    counts = {"replicas": 1, "updatedReplicas": 0, "readyReplicas": 1}
    world.cluster.put(DEPLOYMENT, world.cluster.find(DEPLOYMENT) | {"status": counts})


def add_pod(world, name, *, spec, owner=""):
    conditions = [{"type": "Ready", "status": "True"}]
    metadata = {"name": name, "namespace": "models", "labels": {labels.OWNER_LABEL: owner} if owner else {}}
    body = {"metadata": metadata, "spec": {**spec, "nodeName": "a"}}
    world.cluster.put(POD, body | {"status": {"phase": "Running", "conditions": conditions}})


def occupy(world):
    """Somebody else takes the other GPU."""
    add_pod(world, "theirs", spec={"containers": [{"resources": {"requests": {GPU: "1"}}}]})


def strategy(world):
    return world.cluster.find(DEPLOYMENT)["spec"]["strategy"]["rollingUpdate"]


def applied(writes):
    return [kind for verb, kind, _ in writes if verb == "apply"]


async def test_with_a_free_gpu_an_edit_rolls_beside(world):
    world.write(accelerator={}, engine={"image": "server:2"})
    await one_pass(world.parts, KEY)
    assert strategy(world) == BESIDE
    assert world.status["rollout"]["because"].startswith("A node has a free nvidia.com/gpu, so a new replica starts")


async def test_without_one_the_edit_itself_says_in_place_and_at_rest_it_is_as_before(world):
    occupy(world)
    world.write(accelerator={}, engine={"image": "server:2"})
    await one_pass(world.parts, KEY)
    assert applied(world.cluster.writes()) == ["Deployment"]
    assert strategy(world) == IN_PLACE
    assert world.status["rollout"]["because"].startswith("No nvidia.com/gpu is free for a replica more")
    rolls(world)
    await world.watch()
    assert applied(await world.settle()) == []
    assert strategy(world) == IN_PLACE
    serves(world)
    await world.watch()
    assert applied(await world.settle()) == ["Deployment"]
    assert strategy(world) == BESIDE
    assert await world.settle() == []


async def test_an_edit_of_the_number_of_replicas_asks_nobody(world):
    occupy(world)
    world.write(accelerator={}, replicas=3)
    await one_pass(world.parts, KEY)
    assert strategy(world) == BESIDE


async def test_admission_that_rewrites_every_template_begins_no_rollout(world):
    def rewrite(body):
        if body.get("kind") == "Deployment":
            body["spec"]["template"]["spec"]["containers"][0]["image"] = "mirror:1"

    world.cluster.rewrite = rewrite
    world.write(accelerator={}, engine={"image": "server:2"})
    await world.settle()
    serves(world)
    await world.watch()
    await world.settle()
    occupy(world)
    assert await world.settle() == []
    assert strategy(world) == BESIDE


async def test_a_paused_resource_keeps_the_strategy_it_has(world):
    occupy(world)
    world.write(accelerator={}, engine={"image": "server:2"})
    await one_pass(world.parts, KEY)
    world.write(accelerator={}, engine={"image": "server:2"}, paused=True)
    serves(world)
    await world.watch()
    await world.settle()
    assert strategy(world) == IN_PLACE
    assert world.status["conditions"][0]["status"] == "True"
