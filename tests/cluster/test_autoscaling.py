"""Replicas follow the load, measured by a real metrics-server."""

from llmi_testing.live_cluster import SMALL, eventually

BODY = {"inputs": ["The capital of France is [MASK]."] * 16}


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
