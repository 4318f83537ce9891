"""Passes over a model whose size is known, when its accelerators change, against an API server in memory."""

from dataclasses import replace

import pytest

from llmi_operator.cluster.inspector import Inspector
from llmi_operator.kinds import DEPLOYMENT, INFERENCE
from llmi_operator.reconcile import one_pass
from llmi_testing.world import KEY, World

LARGE, SMALL = {"products": ["NVIDIA-A100-SXM4-80GB"]}, {"products": ["Tesla-T4"]}
FILES = "google-bert/bert-large-uncased@main"


@pytest.fixture
async def world():
    """A model of 40 GiB in bfloat16, of which that was told, on a GPU that holds it."""
    world = World()
    inspector = Inspector(world.cluster, lambda key: None, lambda key, seconds: None, clock=lambda: 0.0)
    world.parts = replace(world.parts, inspector=inspector)
    world.write(accelerator=LARGE)
    await world.settle()
    tell(world, FILES)
    yield world
    await inspector.close()


def tell(world, files):
    body = world.cluster.find(INFERENCE)
    sizes = {"float32": 80 * 2**30, "bfloat16": 40 * 2**30}
    body["status"]["memory"] = {"model": files, "weights": sizes}
    world.store.put(INFERENCE, world.cluster.put(INFERENCE, body))


def products(world):
    affinity = world.cluster.find(DEPLOYMENT)["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return term["matchExpressions"][0]["values"]


async def test_a_version_whose_weights_cannot_fit_is_not_begun_and_it_is_said_why(world):
    world.write(accelerator=SMALL)
    assert not [write for write in await world.settle() if write[1] == "Deployment"]
    assert products(world) == LARGE["products"]
    assert world.status["why"] == (
        "The model's weights alone take 40960 MiB in bfloat16, and a replica gets 1 x Tesla-T4 with at most 16384 MiB "
        "(by its name) (OutOfMemory), so no replica of this version is made. Name a device with more memory in "
        "spec.accelerator.products, or choose a smaller model."
    )
    ready = next(item for item in world.status["conditions"] if item["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "OutOfMemory")
    assert (await one_pass(world.parts, KEY)).again_seconds == 60


async def test_it_is_begun_once_a_product_that_may_do_is_allowed(world):
    world.write(accelerator=SMALL)
    await world.settle()
    world.write(accelerator={"products": [*SMALL["products"], *LARGE["products"]]})
    await world.settle()
    assert len(products(world)) == 2


async def test_a_change_back_to_what_runs_is_never_held(world):
    world.write(accelerator=SMALL)
    await world.settle()
    world.write(accelerator=LARGE, replicas=2)
    await world.settle()
    assert world.replicas == 2
    assert "OutOfMemory" not in world.status["why"]


async def test_replicas_can_always_be_stopped(world):
    world.write(accelerator=SMALL, replicas=0)
    await world.settle()
    assert world.replicas == 0


@pytest.mark.parametrize("files", ["google-bert/bert-large-uncased@v2", None])
async def test_what_was_told_of_other_files_holds_nothing(world, files):
    tell(world, files)
    world.write(accelerator=SMALL)
    await world.settle()
    assert products(world) == SMALL["products"]


async def test_where_any_product_will_do_nothing_is_held(world):
    world.write(accelerator={})
    await world.settle()
    assert "affinity" not in world.cluster.find(DEPLOYMENT)["spec"]["template"]["spec"]
