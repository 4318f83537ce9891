"""Models behind Triton, asked by Triton's own client; one whose back end dies; the way there and back under load."""

import json
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
import tritonclient.http as client

import kind_cluster
from llmi_testing.live_cluster import MINILM, eventually
from llmi_testing.triton_models import write_doubling

TRITON = {"name": "triton"}
TEXT = "The capital of France is [MASK]."
CITY = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [TEXT]}]}
RATE = 10
AT_ONCE = 32


@pytest.fixture(scope="module")
def served(shared):
    """Both start at once, each by another engine."""
    shared.apply("vectors", engine=TRITON, task="embeddings", model=MINILM)
    shared.apply("masks")
    shared.wait_ready("vectors", 300)
    return shared


@pytest.fixture
def claim(kubectl, shared, tmp_path):
    """A claim of a user's with a model repository in a folder, on one of the nodes."""
    node, name = kind_cluster.workers()[0].name, f"models-{shared.namespace}"
    write_doubling(tmp_path / "triton")
    place = f"/var/lib/llmi-test/{name}"
    subprocess.run(["docker", "exec", node, "mkdir", "-p", place], check=True)
    subprocess.run(["docker", "cp", f"{tmp_path}/triton", f"{node}:{place}"], check=True, capture_output=True)
    asked = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": name}
    there = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    volume = {
        "accessModes": asked["accessModes"],
        "capacity": {"storage": "1Mi"},
        "hostPath": {"path": place},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [there]}},
    }
    claim = {**asked, "resources": {"requests": {"storage": "1Mi"}}}
    objects = [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": claim},
    ]
    shared("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))
    yield "models"
    kubectl("delete", "persistentvolume", name, "--wait=false")
    subprocess.run(["docker", "exec", node, "rm", "-r", place], check=True)


@contextmanager
def forwarded(cluster, name):
    """Triton's client, through the Service; so many requests at once that a batch has company."""
    with (
        cluster.forwarded(name) as address,
        client.InferenceServerClient(address, concurrency=AT_ONCE) as triton,
    ):
        yield triton


def texts_of(*texts):
    tensor = client.InferInput("text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object).reshape(-1, 1))
    return [tensor]


def embed(triton, *texts):
    return triton.infer("vectors", texts_of(*texts)).as_numpy("embedding")


def metric(cluster, pod, name):
    """One of Triton's metrics, from where Prometheus asks."""
    _, text = cluster.ask(f"http://{pod['status']['podIP']}:8002/metrics")
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"{name}{{"))


def test_the_resource_says_which_engine_runs_and_has_nothing_to_complain_of(served):
    line = served("get", "llmi", "vectors", "--no-headers").split()
    assert line[2:5] == ["triton", "1/1", f"http://vectors.{served.namespace}.svc"]
    assert not served.status("vectors").get("why")


def test_texts_become_vectors_that_mean_something(served):
    with forwarded(served, "vectors") as triton:
        vectors = embed(triton, "a cat", "a kitten", "a tax return")
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_requests_that_come_together_are_computed_together_and_the_metrics_tell(served):
    (pod,) = served.objects("pods", "vectors")
    counts = ("nv_inference_request_success", "nv_inference_exec_count")
    before = [metric(served, pod, name) for name in counts]
    with forwarded(served, "vectors") as triton:
        waits = [triton.async_infer("vectors", texts_of(f"text {number}")) for number in range(2 * AT_ONCE)]
        assert all(wait.get_result().as_numpy("embedding").shape == (1, 384) for wait in waits)

    def counted():
        asked, computed = (metric(served, pod, name) - old for name, old in zip(counts, before, strict=True))
        assert asked == 2 * AT_ONCE, asked
        return computed

    # A request is counted after it was answered.
    assert 0 < eventually(counted) < 2 * AT_ONCE


def test_a_replica_whose_back_end_dies_is_unready_and_started_anew(served):
    """Triton itself would go on saying that it is ready, and answer 500."""
    (pod,) = served.objects("pods", "vectors")
    name = pod["metadata"]["name"]
    kill = (
        "import os, pathlib\n"
        "for one in pathlib.Path('/proc').glob('[0-9]*/comm'):\n"
        "    if one.read_text().startswith('triton_python'): os.kill(int(one.parent.name), 9)\n"
    )
    served("exec", name, "-c", "server", "--", "/opt/tritonserver/env/bin/python3", "-c", kill)

    def is_ready(body):
        return next(c for c in body["status"]["conditions"] if c["type"] == "Ready")

    def started_anew():
        body = served.get("pod", name)
        (container,) = body["status"]["containerStatuses"]
        back = is_ready(body)["lastTransitionTime"] > is_ready(pod)["lastTransitionTime"]
        return container if container["restartCount"] == 1 and container["ready"] and back else None

    ended = eventually(started_anew, "the container was started anew and is ready")["lastState"]["terminated"]
    assert "ended by itself" in ended["message"], ended
    served.wait_ready("vectors")
    with forwarded(served, "vectors") as triton:
        assert embed(triton, "a cat").shape == (1, 384)


def test_a_model_repository_on_a_claim_is_served_as_it_is(shared, claim):
    shared.apply("own", engine=TRITON, task="embeddings", model={"claim": {"name": claim, "path": "triton"}})
    shared.wait_ready("own")
    tensor = client.InferInput("number", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.float32([[2]]))
    with forwarded(shared, "own") as triton:
        assert triton.infer("doubling", [tensor]).as_numpy("double") == 4


def test_one_line_changes_the_engine_there_and_back_and_no_request_is_lost(served):
    url = served.wait_ready("masks")["url"]
    with served.load(f"{url}/v2/models/masks/infer", rate=RATE, body=CITY) as load:
        for engine in ("triton", "transformers"):
            served.patch("masks", engine={"name": engine})
            status = served.wait_ready("masks")
            assert (status["engine"]["name"], status["url"]) == (engine, url)
            _, answer = served.ask(f"{url}/v2/models/masks/infer", CITY)
            assert json.loads(answer["outputs"][0]["data"][0])[0]["token_str"] == "paris"
        gone = "those of the other engine are gone"
        eventually(lambda: len(served.objects("pods", "masks")) == 1, gone)
    assert load.result["failed"] == 0, load.result
    assert load.result["answered"] == load.result["sent"] > 0
