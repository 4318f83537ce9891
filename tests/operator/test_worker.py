import asyncio
import time
from datetime import UTC, datetime

import pytest

from llmi_api.v1alpha1 import Reason
from llmi_api.v1alpha1.reasons import EXPLANATIONS
from llmi_operator import reconcile, worker
from llmi_operator.kinds import DEPLOYMENT, INFERENCE, LEASE
from llmi_operator.leader import Leader, LeaseTerms
from llmi_operator.reconcile import Outcome, Parts
from llmi_operator.store import Key, Store
from llmi_operator.workqueue import WorkQueue
from llmi_testing.fake_cluster import FakeCluster
from llmi_testing.inference import DEFAULTS, make_stored_body


@pytest.fixture
async def world():
    cluster, store = FakeCluster(), Store()
    for name in ("one", "two"):
        store.put(INFERENCE, cluster.put(INFERENCE, make_stored_body(name, uid=f"uid-of-{name}")))
    parts = Parts(cluster, store, DEFAULTS, lambda: datetime(2026, 5, 1, tzinfo=UTC))
    terms = LeaseTerms("system", "lease", "me", duration=15, renew_deadline=10, retry=0.01)
    leader = Leader(cluster, terms, clock=time.monotonic, now=parts.now)
    queue = WorkQueue(clock=time.monotonic, pause=0.01)
    led = []
    work = worker.run_workers(parts, queue, leader, 2, lambda: led.append("leads"))
    task = asyncio.create_task(work)
    yield cluster, queue, store, led
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    queue.close()


async def until(look):
    async with asyncio.timeout(60):
        while not look():  # noqa: ASYNC110 - what is awaited is a fake without events
            await asyncio.sleep(0.005)


def made(cluster, name):
    return (DEPLOYMENT.name, "models", name) in cluster.objects


async def test_a_new_leader_makes_a_pass_over_everything(world):
    cluster = world[0]
    await until(lambda: made(cluster, "one") and made(cluster, "two"))


async def test_a_lost_lease_stops_all_work_until_it_is_ours_again(world):
    cluster, queue = world[:2]
    await until(lambda: made(cluster, "one") and made(cluster, "two"))
    lease = cluster.find(LEASE, "lease", "system")
    spec = lease["spec"]
    cluster.put(LEASE, lease | {"spec": spec | {"holderIdentity": "thief", "renewTime": "later"}})
    await until(lambda: not queue._open)
    del cluster.objects[DEPLOYMENT.name, "models", "one"]
    store_forgets(world)
    lease = cluster.find(LEASE, "lease", "system")
    cluster.put(LEASE, lease | {"spec": spec | {"holderIdentity": ""}})
    await until(lambda: made(cluster, "one"))
    assert world[3] == ["leads", "leads"]


def store_forgets(world):
    world[2].drop(DEPLOYMENT, world[2].get(DEPLOYMENT, Key("models", "one")))


async def test_a_fault_in_one_pass_does_not_stop_the_others_and_is_tried_again(world, monkeypatch, caplog):
    queue = world[1]
    passes = []

    async def faulty(_, key):
        passes.append(key.name)
        if passes == ["one"]:
            raise ValueError("a fault")
        return Outcome()

    monkeypatch.setattr(worker, "one_pass", faulty)
    queue.add(Key("models", "one"))
    await until(lambda: passes)
    queue.add(Key("models", "two"))
    await until(lambda: sorted(passes) == ["one", "one", "two"])
    assert "A pass failed unexpectedly" in caplog.text


async def test_a_fault_is_told_on_the_resource_and_forgotten_when_it_is_over(world, monkeypatch):
    cluster, queue = world[:2]
    real, broken = reconcile.make_plan, True

    def faulty(resource, *rest):
        if broken and resource.name == "one":
            raise KeyError("a fault")
        return real(resource, *rest)

    def why(name):
        return cluster.objects[INFERENCE.name, "models", name].get("status", {}).get("why", "")

    monkeypatch.setattr(reconcile, "make_plan", faulty)
    queue.add(Key("models", "one"))
    await until(lambda: why("one").startswith("The operator failed on this resource (KeyError)"))
    assert why("one") == EXPLANATIONS[Reason.OPERATOR_FAULT].example
    await until(lambda: "replicas" in why("two"))
    broken = False
    await until(lambda: made(cluster, "one") and "failed" not in why("one"))
