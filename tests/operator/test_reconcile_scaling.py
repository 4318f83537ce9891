"""Who scales, pass by pass: Kubernetes' autoscaler or KEDA, one at a time, and the operator never."""

import pytest

from llmi_operator.kinds import AUTOSCALER, DEPLOYMENT, SCALED_OBJECT
from llmi_operator.reconcile import Parts, one_pass
from llmi_operator.store import Store
from llmi_testing.fake_cluster import owners_of_replicas
from llmi_testing.inference import DEFAULTS
from llmi_testing.keda import make_autoscaler
from llmi_testing.world import KEY, World

HPA = {"minReplicas": 2, "maxReplicas": 6, "targets": {"inFlightPerReplica": 10}}
KEDA = {**HPA, "backend": "keda"}
ASLEEP = {**KEDA, "minReplicas": 0, "wakeUp": {"httpAddOn": {"interceptorRoute": "bert"}}}
BACKENDS = pytest.mark.parametrize("autoscaling", [HPA, KEDA], ids=["hpa", "keda"])


@pytest.fixture
def world():
    return World()


def kinds(world):
    return {kind for kind, _, _ in world.cluster.objects} & {AUTOSCALER.name, SCALED_OBJECT.name}


def scale(world, replicas, manager="kube-controller-manager"):
    """As an autoscaler does, through the scale subresource."""
    deployment = world.cluster.find(DEPLOYMENT)
    deployment["spec"]["replicas"] = replicas
    entry = {"manager": manager, "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    deployment["metadata"]["managedFields"] = [entry]
    world.cluster.put(DEPLOYMENT, deployment)


@BACKENDS
async def test_the_replicas_are_not_written_in_100_passes_and_a_restart(world, autoscaling):
    world.write(autoscaling=autoscaling)
    await world.settle()
    for number in range(100):
        if number == 50:  # an operator that knows nothing of what was before
            world.store = Store()
            world.parts = Parts(world.cluster, world.store, DEFAULTS, world.parts.now)
        scale(world, 2 + number % 5)
        await world.watch()
        await one_pass(world.parts, KEY)
        assert world.replicas == 2 + number % 5
    assert not [write for write in world.cluster.writes() if write[1] == DEPLOYMENT.name]


@pytest.mark.parametrize(("before", "after"), [(HPA, KEDA), (KEDA, HPA)], ids=["hpa to keda", "keda to hpa"])
async def test_another_backend_keeps_the_replicas_and_takes_the_place_of_the_one_before(world, before, after):
    world.write(autoscaling=before)
    await world.settle()
    scale(world, 5)
    await world.watch()
    world.write(autoscaling=after)
    written = await world.settle()
    assert world.replicas == 5
    assert not [write for write in written if write[1] == DEPLOYMENT.name]
    assert kinds(world) == {SCALED_OBJECT.name if after is KEDA else AUTOSCALER.name}
    # Two at a time would each undo what the other does; KEDA refuses that.
    scalers = [(verb, kind) for verb, kind, _ in written if kind in {AUTOSCALER.name, SCALED_OBJECT.name}]
    assert [verb for verb, _ in scalers] == ["delete", "apply"]


async def test_switched_off_it_goes_and_the_replicas_stay(world):
    world.write(autoscaling=KEDA)
    await world.settle()
    scale(world, 5)
    await world.watch()
    world.write()
    await world.settle()
    assert (world.replicas, kinds(world)) == (5, set())


async def test_the_deployment_is_there_before_the_scaled_object_that_keda_compares_with_it(world):
    world.write(autoscaling=KEDA)
    written = await world.settle()
    assert written.index(("apply", "Deployment", "bert")) < written.index(("apply", "ScaledObject", "bert"))


async def test_a_model_that_may_sleep_starts_once_and_is_not_woken_by_the_operator(world):
    world.write(autoscaling=ASLEEP)
    await world.settle()
    assert world.cluster.find(DEPLOYMENT)["spec"].get("replicas", 1) == 1
    assert "llminference-operator" not in owners_of_replicas(world.cluster.find(DEPLOYMENT))
    scale(world, 0, manager="keda")
    await world.watch()
    written = await world.settle()
    assert world.replicas == 0
    assert not [write for write in written if write[1] == DEPLOYMENT.name]
    assert world.status["why"].startswith("No replica runs, because nothing asks for one: KEDA starts one when")
    assert world.status["scaling"]["desired"] == 0


async def test_what_keda_left_asleep_is_woken_when_it_may_not_sleep_any_more(world):
    world.write(autoscaling=ASLEEP)
    await world.settle()
    scale(world, 0, manager="keda")
    await world.watch()
    world.write(autoscaling=HPA)
    await world.settle()
    assert world.replicas == 2


async def test_the_autoscaler_that_keda_makes_is_read_and_left_alone(world):
    world.write(autoscaling=KEDA)
    await world.settle()
    made = make_autoscaler(world.cluster.find(SCALED_OBJECT))
    external = {
        "metric": {"name": "s0-metric-api-llmi_requests_in_flight"},
        "current": {"averageValue": "12"},
    }
    metrics = [{"type": "External", "external": external}]
    made["status"] = {"currentReplicas": 3, "desiredReplicas": 4, "currentMetrics": metrics}
    world.cluster.put(AUTOSCALER, made)
    await world.watch()
    await world.settle()
    assert world.status["scaling"]["because"] == "4: 36 in flight, target 10 each"
    assert (AUTOSCALER.name, "models", "keda-hpa-bert") in world.cluster.objects


async def test_without_keda_everything_else_is_made_and_the_missing_api_is_asked_for_again(world):
    world.cluster.refuse("apply", SCALED_OBJECT, 404)
    world.write(autoscaling=KEDA)
    outcome = await one_pass(world.parts, KEY)
    assert outcome.error is None
    assert outcome.again_seconds
    assert (DEPLOYMENT.name, *KEY) in world.cluster.objects
    assert kinds(world) == set()
    world.cluster.refusals.clear()
    assert ("apply", "ScaledObject", "bert") in await world.settle()
