"""Models from a hub: what arrives is served and pinned; what does not arrive is explained."""

import pytest

from llmi_testing.hub_pod import BERT_LARGE, GOOD, SLOW_BERT_LARGE
from llmi_testing.live_cluster import eventually

PARIS = {"inputs": "The capital of France is [MASK].", "parameters": {"top_k": 1}}


def test_a_model_from_the_hub_answers_and_its_commit_is_reported(cluster, hub):
    cluster.apply("tiny", model={"id": GOOD, "revision": "v1", "endpoint": hub})
    status = cluster.wait_ready("tiny")
    assert cluster.ask(status["url"], PARIS)[1][0]["token_str"] == "paris"
    assert status["model"]["name"] == GOOD
    assert len(status["model"]["revision"]) == 40
    assert status["model"]["bytes"] > 100_000


def test_a_token_from_a_secret_opens_a_private_model(cluster, hub):
    cluster("create", "secret", "generic", "hub", "--from-literal=token=hub-secret")
    cluster.apply("private", model={"id": "llmi/private", "endpoint": hub, "tokenSecret": {"name": "hub"}})
    cluster.wait_ready("private")
    pod = cluster.objects("pods", "private")[0]
    assert "hub-secret" not in str(pod)
    assert "hub-secret" not in cluster("logs", pod["metadata"]["name"], "--all-containers")


@pytest.mark.parametrize("repository", ["llmi/cut", "llmi/flaky"])
def test_a_download_that_stumbles_goes_on(cluster, hub, repository):
    cluster.apply("stumbles", model={"id": repository, "endpoint": hub})
    cluster.wait_ready("stumbles")


def test_a_slow_download_is_said_to_be_one(cluster, hub):
    cluster.apply("slow", model={"id": "llmi/slow", "endpoint": hub})
    cluster.wait_why("slow", "Downloading llmi/slow", "%")
    cluster.wait_ready("slow")


@pytest.mark.parametrize(
    ("repository", "fields", "words"),
    [
        pytest.param("llmi/private", {}, ("llmi/private", "TokenMissing", "spec.model.tokenSecret"), id="no token"),
        pytest.param("llmi/gated", {}, ("llmi/gated", "AccessGated"), id="gated"),
        pytest.param("llmi/hidden", {}, ("llmi/hidden", "RepositoryUnknown"), id="hidden, 401"),
        pytest.param("llmi/nothing", {}, ("llmi/nothing", "RepositoryUnknown"), id="unknown, 404"),
        pytest.param(GOOD, {"revision": "v9"}, ("v9", "RevisionUnknown"), id="wrong revision"),
        pytest.param("llmi/pickles", {}, ("pytorch_model.bin", "NoSafetensors"), id="pickle only"),
        pytest.param("llmi/broken", {}, ("HashMismatch",), id="wrong hash"),
    ],
)
def test_a_download_that_cannot_succeed_is_explained(cluster, hub, repository, fields, words):
    cluster.apply("fails", model={"id": repository, "endpoint": hub, **fields})
    cluster.wait_why("fails", *words, seconds=60)
    assert cluster.condition("fails", "Ready")["reason"] in words


def test_a_token_that_the_hub_refuses_is_explained_and_a_corrected_one_works(cluster, hub):
    cluster("create", "secret", "generic", "hub", "--from-literal=token=wrong")
    cluster.apply("private", model={"id": "llmi/private", "endpoint": hub, "tokenSecret": {"name": "hub"}})
    cluster.wait_why("private", "TokenRefused", seconds=60)
    cluster("patch", "secret", "hub", "-p", '{"stringData": {"token": "hub-secret"}}')
    cluster("delete", "pods", "-l", "llminference.dev/llminference=private", "--wait=false")
    cluster.wait_ready("private")


def test_a_hub_that_does_not_answer_is_explained(cluster):
    cluster.apply("nobody", model={"id": GOOD, "endpoint": f"http://nowhere.{cluster.namespace}.svc"})
    cluster.wait_why("nobody", "HubUnreachable")


def test_a_model_whose_weights_alone_are_more_than_the_memory_limit_is_refused_before_its_download(cluster, hub):
    tight = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}}
    cluster.apply("large", model={"id": SLOW_BERT_LARGE, "endpoint": hub}, resources=tight)
    why = cluster.wait_why(
        "large", "the memory limit is 256 MiB: nothing was downloaded", "Raise spec.resources.limits"
    )
    assert why.startswith("The model's 335 million weights take ")
    status = eventually(lambda: _with_precisions(cluster.status("large")), "memory is told", seconds=30)
    assert min(status["memory"]["byPrecision"].values()) > 256 * 2**20
    assert "bytes" not in status["model"]
    assert cluster.objects("pods", "large")[0]["status"]["containerStatuses"][0]["state"] == {
        "waiting": {"reason": "PodInitializing"}
    }


def test_a_model_of_the_size_of_bert_large_is_fetched_and_answers_within_its_memory(cluster, hub):
    # The default resources, the default probes, 1.34 GB of weights.
    cluster.apply("large", model={"id": BERT_LARGE, "endpoint": hub}, resources=None)
    status = cluster.wait_ready("large", 300)
    assert status["model"]["bytes"] > 1_300_000_000
    assert_start_is_told(cluster)
    answered, answer = cluster.ask(status["url"], PARIS)
    assert answered == 200
    assert len(answer) == 1
    pod = cluster.objects("pods", "large")[0]
    assert [state["restartCount"] for state in pod["status"]["containerStatuses"]] == [0]
    used = eventually(lambda: _memory_mebibytes(cluster, pod["metadata"]["name"]), "metrics of the pod", seconds=60)
    print(f"bert-large uses {used} MiB")
    assert 300 < used < 3072


def assert_start_is_told(cluster):
    """All phases and both amounts of memory stand in the status soon after the first answer."""
    status = eventually(lambda: _with_memory(cluster.status("large")), "memory is told")
    startup, memory = status["startup"], status["memory"]
    print(f"bert-large: {startup} {memory}")
    assert {"scheduled", "pulled", "fetched", "fetchedRate", "loaded", "warmed", "answered"} <= set(startup)
    assert startup["fetchedBytes"] > 1_300_000_000
    assert 0.85 < memory["predictedBytes"] / memory["measuredBytes"] < 1.15


def _with_precisions(status):
    return status if "byPrecision" in status.get("memory", {}) else None


def _with_memory(status):
    return status if "measuredBytes" in status.get("memory", {}) else None


def _memory_mebibytes(cluster, pod):
    # `kubectl top` fails until the metrics-server has seen the pod.
    rows = cluster("top", "pod", "--no-headers").splitlines() if cluster.has_metrics() else []
    return next((int(row.split()[2].removesuffix("Mi")) for row in rows if row.startswith(pod)), 0)
