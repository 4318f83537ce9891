"""The cluster itself: nodes reach each other, and nothing leaves the machine."""

import pytest

import egress
import kind_cluster
from mode import Mode


def test_pods_on_different_nodes_reach_each_other(cluster):
    cluster.apply("spread", replicas=1)
    cluster.wait_ready("spread")
    pod = cluster.objects("pods", "spread")[0]
    workers = [node.name for node in kind_cluster.nodes() if "worker" in node.name]
    other = next(name for name in workers if name != pod["spec"]["nodeName"])
    cluster.client(node=other)
    assert cluster.get("pod", "client")["spec"]["nodeName"] == other
    assert cluster.ask(f"http://{pod['status']['podIP']}:8080/readyz")[0] == 200


def test_nothing_of_the_cluster_leaves_the_machine(cluster):
    if kind_cluster.mode_of(kind_cluster.nodes()) is not Mode.BUILD:
        pytest.skip("images are pulled here, so the network is open")
    egress.check()
    # A documentation address (RFC 5737): nobody is there, and the lock refuses the way to it at once.
    assert "ConnectError" in cluster.client_fails_to_reach("http://198.51.100.2/")
