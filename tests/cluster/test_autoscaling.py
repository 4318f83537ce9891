"""Replicas follow the load, measured by a real metrics-server and by our own metrics adapter."""

import json

from llmi_testing.live_cluster import SMALL, eventually

BODY = {"inputs": ["The capital of France is [MASK]."] * 16}
# So much for a replica that what the client does in between hardly counts: it must be the replicas that are busy.
LARGE = {"inputs": BODY["inputs"] * 5}


def owners_of_replicas(cluster, name):
    """Who wrote the number of a Deployment's replicas last, by the API server's own books."""
    entries = json.loads(cluster("get", "deployment", name, "--show-managed-fields", "-o", "json"))["metadata"]
    return {item["manager"] for item in entries["managedFields"] if "f:replicas" in item["fieldsV1"].get("f:spec", {})}


def test_one_replica_becomes_two_under_load_and_one_again_after_it(cluster):
    small_cpu = {**SMALL, "requests": {"cpu": "100m", "memory": "700Mi"}}
    cluster.apply(
        "busy",
        resources=small_cpu,
        autoscaling={"maxReplicas": 2, "targets": {"cpuPercent": 50}, "scaleDownDelaySeconds": 15},
        rollout={"drainSeconds": 10},
    )
    url = cluster.wait_ready("busy")["url"]

    def replicas():
        return cluster.get("deployment", "busy")["spec"]["replicas"]

    # What the start has cost is not load: the metric must calm down first.
    eventually(lambda: replicas() == 1, "one replica", seconds=120)
    with cluster.load(url, rate=20, body=BODY) as load:
        eventually(lambda: replicas() == 2, "a second replica is asked for", seconds=180)
        eventually(lambda: cluster.status("busy").get("ready") == "2/2", "both serve", seconds=180)
    assert load.result["failed"] == 0, load.result
    eventually(lambda: replicas() == 1, "one replica again", seconds=240)
    cluster.wait_ready("busy")
    assert cluster.status("busy")["ready"] == "1/1"
    # The operator has written none of these numbers: who applies one owns it.
    assert not [one for one in owners_of_replicas(cluster, "busy") if one.startswith("llminference")]

    # Its memory does not follow the load: only a target below what it always holds asks for more replicas.
    cluster.patch("busy", autoscaling={"targets": {"cpuPercent": None, "memoryPercent": 20}})

    def because():
        return cluster.status("busy").get("scaling", {}).get("because", "")

    eventually(lambda: because().startswith("2: memory at "), "the number is explained by memory", seconds=90)
    assert " %, target 20 %" in because()
    assert replicas() == 2


def test_replicas_follow_the_requests_in_flight_and_the_status_says_so(cluster, metrics_adapter):
    slow = {**SMALL, "limits": {"cpu": "500m", "memory": "1500Mi"}}
    cluster.apply(
        "queued",
        resources=slow,
        autoscaling={"maxReplicas": 2, "targets": {"inFlightPerReplica": 4}, "scaleDownDelaySeconds": 15},
        rollout={"drainSeconds": 10},
    )
    url = cluster.wait_ready("queued")["url"]

    def because():
        return cluster.status("queued").get("scaling", {}).get("because")

    idle = "1: 0 in flight, target 4 each; no fewer than minReplicas"
    eventually(lambda: because() == idle, "the queue is known", seconds=90)
    # Sixteen clients that ask again and again: four replicas' work, of which there may be two.
    with cluster.load(url, rate=200, at_once=16, body=LARGE) as load:
        eventually(lambda: cluster.status("queued").get("ready") == "2/2", "both serve", seconds=150)
        told = because()
        assert told.startswith("2: ")
        assert " in flight, target 4 each" in told
        answered = load.progress()["answered"]
        eventually(lambda: load.progress()["answered"] > answered + 100, "both work", seconds=60)
        assert because() == told
        assert cluster.status("queued")["ready"] == "2/2"
    assert load.result["failed"] == 0, load.result
    eventually(lambda: cluster.status("queued").get("ready") == "1/1", "one replica again", seconds=150)
    # The autoscaler writes its status after it has scaled.
    eventually(lambda: because().startswith("1: "), "the number is explained anew", seconds=60)
