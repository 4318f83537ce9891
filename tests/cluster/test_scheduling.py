"""What ``spec.scheduling`` asks of the real scheduler, kubelet and containerd."""

import json
import secrets

import pytest


@pytest.fixture
def runtime(kubectl):
    """A RuntimeClass, as a GPU operator makes one: here for what every container is run by."""
    name = f"runtime-{secrets.token_hex(3)}"
    body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": "runc"}
    kubectl("apply", "-f", "-", stdin=json.dumps(body))
    yield name
    kubectl("delete", "runtimeclass", name)


def test_replicas_keep_apart_are_run_by_their_runtime_class_and_are_left_alone(cluster, runtime):
    asked = {
        "runtimeClassName": runtime,
        "spread": "Required",
        "protectFromDisruption": True,
        "queueName": "gpus",
    }
    cluster.apply("apart", replicas=2, scheduling=asked)
    cluster.wait_ready("apart")
    pods = cluster.objects("pods", "apart")
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    assert {pod["spec"]["runtimeClassName"] for pod in pods} == {runtime}
    for pod in pods:
        assert pod["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
        assert pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    # Kueue is not here to hold them back; this is what it goes by.
    assert cluster.get("deployment", "apart")["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
