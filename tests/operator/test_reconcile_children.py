"""What a pass does to children beyond the first three, against an API server in memory."""

import json
import time
from dataclasses import replace

import pytest

from llmi_operator.cluster.inspector import Inspector
from llmi_operator.kinds import (
    AUTOSCALER,
    CLAIM,
    CLAIM_TEMPLATE,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    NODE,
    POD,
    POD_MONITOR,
    SERVICE,
    SERVICE_ACCOUNT,
)
from llmi_operator.plan.pin import make_pin_key
from llmi_operator.reconcile import one_pass
from llmi_testing.inference import make_resource
from llmi_testing.world import KEY, World

COMMIT, OTHER = "a" * 40, "b" * 40
HUB = {"id": "google-bert/bert-large-uncased"}
CACHE = {"model": {**HUB, "cache": {"size": "1Gi"}}}


@pytest.fixture
def world():
    world = World()
    world.write()
    return world


def pin_key(**model):
    return make_pin_key(make_resource(model={**HUB, **model}).spec.model)


def add_pod(world, name, *, commit, key, ended="2026-05-01T00:00:00Z"):
    """A pod whose download has ended well."""
    report = json.dumps({"revision": commit, "bytes": 1, "seconds": 1})
    end = {"exitCode": 0, "message": report, "finishedAt": ended}
    reference = {"configMapKeyRef": {"name": "bert-model", "key": key, "optional": True}}
    body = {
        "metadata": {"name": name, "namespace": "models", "labels": {"llminference.dev/llminference": "bert"}},
        "spec": {"initContainers": [{"name": "fetch", "env": [{"name": "LLMI_MODEL_COMMIT", "valueFrom": reference}]}]},
        "status": {"initContainerStatuses": [{"name": "fetch", "state": {"terminated": end}}]},
    }
    world.store.put(POD, world.cluster.put(POD, body))


async def test_while_paused_no_child_is_touched_and_status_goes_on(world):
    await world.settle()
    world.write(paused=True, replicas=3)
    world.cluster.put(SERVICE, {**world.cluster.find(SERVICE), "spec": {"ports": []}})
    await world.watch()
    assert await world.settle() == [("status", "LLMInference", "bert")]
    assert world.status["observedGeneration"] == 2
    world.write(replicas=3)
    await world.settle()
    assert world.replicas == 3
    assert world.cluster.find(SERVICE)["spec"]["ports"]


async def test_a_budget_holds_the_replicas_at_what_it_pays_for(world, tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: USD\nsource: made up\nnodes: {big: {perHour: 2}}\n")
    amounts = {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "1Ti"}
    labels = {"node.kubernetes.io/instance-type": "big"}
    ready = [{"type": "Ready", "status": "True"}]
    status = {"allocatable": amounts, "conditions": ready}
    world.cluster.put(NODE, {"metadata": {"name": "a", "namespace": "", "labels": labels}, "status": status})
    inspector = Inspector(world.cluster, lambda _: None, lambda *_: None, clock=time.monotonic, prices_file=str(prices))
    world.parts = replace(world.parts, inspector=inspector)
    # An eighth of the node's CPU is 0.25 an hour.
    world.write(replicas=5, budget={"perHour": "0.60"})
    await world.settle()
    assert world.replicas == 2
    assert world.status["cost"]["allowedReplicas"] == 2
    world.write(replicas=5, budget={"perHour": "0.10"})
    await world.settle()
    assert world.replicas == 1
    world.write(autoscaling={"minReplicas": 3, "maxReplicas": 9}, budget={"perHour": "0.60"})
    await world.settle()
    autoscaler = world.cluster.find(AUTOSCALER)["spec"]
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (2, 2)
    assert await world.settle() == []
    prices.unlink()
    world.write(autoscaling={"minReplicas": 3, "maxReplicas": 9}, budget={"perHour": "9"})
    await world.settle()
    assert world.cluster.find(AUTOSCALER)["spec"]["maxReplicas"] == 9


async def test_the_commit_of_the_first_download_is_pinned_and_no_pod_is_touched(world):
    await world.settle()
    template = world.cluster.find(DEPLOYMENT)["spec"]["template"]
    add_pod(world, "second", commit=OTHER, key=pin_key(), ended="2026-05-01T00:00:02Z")
    add_pod(world, "first", commit=COMMIT, key=pin_key(), ended="2026-05-01T00:00:01Z")
    assert ("apply", "ConfigMap", "bert-model") in await world.settle()
    assert world.cluster.find(CONFIG_MAP, "bert-model")["data"] == {pin_key(): COMMIT}
    assert world.status["model"]["revision"] == COMMIT
    assert world.cluster.find(DEPLOYMENT)["spec"]["template"] == template


async def test_a_pin_stays_whatever_later_downloads_report(world):
    add_pod(world, "first", commit=COMMIT, key=pin_key())
    await world.settle()
    del world.cluster.objects["Pod", "models", "first"]
    add_pod(world, "later", commit=OTHER, key=pin_key())
    assert ("apply", "ConfigMap", "bert-model") not in await world.settle()
    assert world.cluster.find(CONFIG_MAP, "bert-model")["data"] == {pin_key(): COMMIT}


async def test_another_revision_is_resolved_anew_and_not_answered_by_pods_of_the_old_one(world):
    add_pod(world, "first", commit=COMMIT, key=pin_key())
    await world.settle()
    world.write(model={**HUB, "revision": "v2"})
    await world.settle()
    assert world.cluster.find(CONFIG_MAP, "bert-model")["data"] == {pin_key(): COMMIT}
    add_pod(world, "fresh", commit=OTHER, key=pin_key(revision="v2"))
    await world.settle()
    pins = {pin_key(): COMMIT, pin_key(revision="v2"): OTHER}
    assert world.cluster.find(CONFIG_MAP, "bert-model")["data"] == pins
    assert world.status["model"]["revision"] == OTHER


async def test_a_lost_pin_comes_back_from_the_pods_that_follow_it(world):
    add_pod(world, "first", commit=COMMIT, key=pin_key())
    await world.settle()
    del world.cluster.objects["ConfigMap", "models", "bert-model"]
    await world.watch()
    assert ("apply", "ConfigMap", "bert-model") in await world.settle()


async def test_a_model_that_is_not_from_a_hub_has_no_pins(world):
    add_pod(world, "first", commit=COMMIT, key=pin_key())
    await world.settle()
    world.write(model={"claim": {"name": "models"}})
    assert ("delete", "ConfigMap", "bert-model") in await world.settle()


async def test_an_edit_by_hand_is_set_back_and_told(world):
    await world.settle()
    live = world.cluster.find(SERVICE)
    live["spec"]["type"] = "NodePort"
    live["metadata"]["managedFields"] = [
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:type": {}}}}
    ]
    world.cluster.put(SERVICE, live)
    await world.watch()
    await world.settle()
    assert world.cluster.find(SERVICE)["spec"]["type"] == "ClusterIP"
    (event,) = [event for event in world.cluster.events if event["reason"] == "HandEditReverted"]
    assert event["message"] == (
        "kubectl-edit changed spec.type of Service bert, and it was set back: "
        "change the LLMInference instead, or set spec.paused while you try things."
    )
    assert event["involvedObject"]["kind"] == "LLMInference"


async def test_the_same_edit_again_and_again_is_told_once_a_minute(world):
    await world.settle()
    for _ in range(3):
        live = world.cluster.find(SERVICE)
        world.cluster.put(SERVICE, {**live, "spec": {**live["spec"], "type": "NodePort"}})
        await world.watch()
        await world.settle()
    assert [event["reason"] for event in world.cluster.events].count("HandEditReverted") == 1


async def test_a_change_of_our_own_plan_is_no_edit_by_hand(world):
    await world.settle()
    world.write(replicas=4, service={"port": 81})
    await world.settle()
    assert "HandEditReverted" not in {event["reason"] for event in world.cluster.events}


async def test_what_admission_rewrites_is_not_fought(world):
    world.cluster.rewrite = lambda body: body["spec"].update(type="NodePort") if body["kind"] == "Service" else None
    assert ("apply", "Service", "bert") in await world.settle()
    assert await world.settle() == []
    assert "HandEditReverted" not in {event["reason"] for event in world.cluster.events}
    world.write(service={"port": 81})
    assert ("apply", "Service", "bert") in await world.settle()


@pytest.mark.parametrize("kind", [SERVICE_ACCOUNT, NETWORK_POLICY])
async def test_no_pod_starts_without_its_account_and_its_walls(world, kind):
    world.cluster.refuse("apply", kind, 403)
    await world.settle()
    assert (DEPLOYMENT.name, *KEY) not in world.cluster.objects
    assert (SERVICE.name, *KEY) in world.cluster.objects
    world.cluster.refusals.clear()
    await world.settle()
    assert (DEPLOYMENT.name, *KEY) in world.cluster.objects


async def test_no_pod_runs_under_an_account_of_somebody_else(world):
    world.cluster.put(SERVICE_ACCOUNT, {"kind": "ServiceAccount", "metadata": {"namespace": "models", "name": "bert"}})
    await world.settle()
    assert (DEPLOYMENT.name, *KEY) not in world.cluster.objects
    assert "There already is a ServiceAccount bert that is not ours" in world.status["why"]


async def test_the_surroundings_are_there_before_the_deployment(world):
    world.write(**CACHE)
    order = [name for verb, name, _ in await world.settle() if verb == "apply"]
    before = order[: order.index("Deployment")]
    assert {"ServiceAccount", "NetworkPolicy", "PersistentVolumeClaim"} <= set(before)


async def test_a_budget_comes_and_goes_with_the_second_replica(world):
    world.write(replicas=2)
    assert ("apply", "PodDisruptionBudget", "bert") in await world.settle()
    world.write(replicas=1)
    assert ("delete", "PodDisruptionBudget", "bert") in await world.settle()
    assert (DISRUPTION_BUDGET.name, *KEY) not in world.cluster.objects


async def test_a_cache_goes_with_its_field(world):
    world.write(**CACHE)
    await world.settle()
    assert world.cluster.find(CLAIM, "bert-cache")["metadata"]["ownerReferences"]
    world.write()
    assert ("delete", "PersistentVolumeClaim", "bert-cache") in await world.settle()


async def roll_out(world, *, replicas, updated):
    """Let the Deployment's rollout come so far."""
    status = {"replicas": replicas, "updatedReplicas": updated}
    world.cluster.put(DEPLOYMENT, {**world.cluster.find(DEPLOYMENT), "status": status})
    await world.watch()
    return await world.settle()


async def test_a_cache_outlives_the_rollout_so_that_who_goes_back_finds_it(world):
    """Pods of the old version use it: deleted, it would stay until they end, and hold up the version that wants it."""
    world.write(**CACHE)
    await world.settle()
    uid = world.cluster.find(CLAIM, "bert-cache")["metadata"]["uid"]
    world.write()
    await one_pass(world.parts, KEY)
    await roll_out(world, replicas=2, updated=1)
    world.write(**CACHE)
    await world.settle()
    assert world.cluster.find(CLAIM, "bert-cache")["metadata"]["uid"] == uid
    world.write()
    await one_pass(world.parts, KEY)
    assert ("delete", "PersistentVolumeClaim", "bert-cache") in await roll_out(world, replicas=1, updated=1)


async def test_a_kept_cache_stays_and_is_found_again_in_its_size(world):
    kept = {"model": {**HUB, "cache": {"size": "2Gi", "retention": "Retain"}}}
    world.write(**kept)
    await world.settle()
    assert "ownerReferences" not in world.cluster.find(CLAIM, "bert-cache")["metadata"]
    world.write()
    await world.settle()
    uid = world.cluster.find(CLAIM, "bert-cache")["metadata"]["uid"]
    world.write(**CACHE)
    await world.settle()
    found = world.cluster.find(CLAIM, "bert-cache")
    assert found["metadata"]["uid"] == uid
    assert found["metadata"]["ownerReferences"]
    assert found["spec"]["resources"]["requests"]["storage"] == "2Gi"


async def test_what_changed_since_it_was_looked_at_is_looked_at_again_before_it_is_deleted(world):
    world.write(autoscaling={"maxReplicas": 3})
    await world.settle()
    world.cluster.put(AUTOSCALER, world.cluster.find(AUTOSCALER))
    world.write()
    await one_pass(world.parts, KEY)
    assert (AUTOSCALER.name, *KEY) not in world.cluster.objects


async def test_what_was_given_to_somebody_else_meanwhile_is_not_deleted(world):
    world.write(autoscaling={"maxReplicas": 3})
    await world.settle()
    body = world.cluster.find(AUTOSCALER)
    body["metadata"]["ownerReferences"][0]["uid"] = "another"
    world.cluster.put(AUTOSCALER, body)
    world.write()
    await one_pass(world.parts, KEY)
    assert world.cluster.find(AUTOSCALER)


async def test_a_child_that_is_being_deleted_is_waited_for(world):
    await world.settle()
    world.cluster.find(SERVICE)["metadata"]["deletionTimestamp"] = "2026-05-01T00:00:00Z"
    world.cluster.put(SERVICE, world.cluster.find(SERVICE))
    await world.watch()
    world.write(service={"port": 81})
    assert (await one_pass(world.parts, KEY)).error.reason == "Leftover"
    assert ("apply", "Service", "bert") not in world.cluster.writes()


async def test_a_pod_monitor_that_the_cluster_does_not_know_holds_nothing_back(world):
    world.cluster.refuse("apply", POD_MONITOR, 404)
    world.write(observability={"metrics": {"podMonitor": True}})
    outcome = await one_pass(world.parts, KEY)
    assert outcome.error is None
    assert outcome.again_seconds
    assert (DEPLOYMENT.name, *KEY) in world.cluster.objects
    world.cluster.refusals.clear()
    assert ("apply", "PodMonitor", "bert") in await world.settle()


def templates(world):
    return sorted(name for kind, _, name in world.cluster.objects if kind == CLAIM_TEMPLATE.name)


async def test_devices_are_claimed_before_the_deployment_and_an_old_template_outlives_the_rollout(world):
    world.write(accelerator={"dra": {"deviceClassName": "gpu.nvidia.com"}})
    written = await world.settle()
    (first,) = templates(world)
    assert written.index(("apply", "ResourceClaimTemplate", first)) < written.index(("apply", "Deployment", "bert"))
    world.write(accelerator={"dra": {"deviceClassName": "gpu.nvidia.com", "count": 2}})
    await one_pass(world.parts, KEY)
    await world.watch()
    # The new version is not there yet, and a pod of the old one may have to be made again.
    await roll_out(world, replicas=2, updated=1)
    assert len(templates(world)) == 2
    await roll_out(world, replicas=1, updated=1)
    assert first not in templates(world)
    assert len(templates(world)) == 1


async def test_no_replica_is_made_where_devices_cannot_be_claimed(world):
    world.cluster.refuse("apply", CLAIM_TEMPLATE, 404)
    world.write(accelerator={"dra": {"deviceClassName": "gpu.nvidia.com"}})
    outcome = await one_pass(world.parts, KEY)
    assert outcome.again_seconds
    assert (DEPLOYMENT.name, *KEY) not in world.cluster.objects
    assert (SERVICE.name, *KEY) in world.cluster.objects


async def test_an_engines_files_are_there_before_the_deployment_and_outlive_the_rollout_to_another_engine(world):
    world.write(task="text-generation", engine={"name": "vllm"})
    written = await world.settle()
    assert written.index(("apply", "ConfigMap", "bert-engine")) < written.index(("apply", "Deployment", "bert"))
    world.write(task="text-generation")
    await one_pass(world.parts, KEY)
    await world.watch()
    body = world.cluster.find(DEPLOYMENT)
    world.cluster.put(DEPLOYMENT, {**body, "status": {"replicas": 2, "updatedReplicas": 1}})
    await world.watch()
    await world.settle()
    assert (CONFIG_MAP.name, "models", "bert-engine") in world.cluster.objects
    world.cluster.put(DEPLOYMENT, {**world.cluster.find(DEPLOYMENT), "status": {"replicas": 1, "updatedReplicas": 1}})
    await world.watch()
    await world.settle()
    assert (CONFIG_MAP.name, "models", "bert-engine") not in world.cluster.objects
