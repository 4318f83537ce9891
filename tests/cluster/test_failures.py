"""What goes wrong is said in one sentence, with the next step."""

import json

import deploy
from llmi_testing.live_cluster import SMALL, TINY_BERT

SECONDS = 60


def test_more_cpu_than_any_node_has(cluster):
    cluster.apply("greedy", resources={"requests": {"cpu": "64"}})
    why = cluster.wait_why("greedy", "64", seconds=SECONDS)
    assert "CPU" in why
    assert cluster.condition("greedy", "Ready")["status"] == "False"


def test_an_accelerator_that_no_node_has(cluster):
    cluster.apply("gpu", accelerator={"resource": "nvidia.com/gpu"})
    cluster.wait_why("gpu", "nvidia.com/gpu", seconds=SECONDS)


def test_a_node_selector_that_matches_nothing(cluster):
    cluster.apply("picky", scheduling={"nodeSelector": {"pool": "unicorn"}})
    cluster.wait_why("picky", "pool", "unicorn", seconds=SECONDS)


def test_an_image_that_does_not_exist(cluster):
    cluster.apply("typo", engine={"image": "llminference/sever:1"})
    cluster.wait_why("typo", "llminference/sever:1", seconds=SECONDS)


def test_a_secret_that_does_not_exist_and_then_does(cluster):
    cluster.apply("locked", access={"apiKeySecret": {"name": "keys"}})
    cluster.wait_why("locked", "Secret", "keys", seconds=SECONDS)
    cluster("create", "secret", "generic", "keys", "--from-literal=api-key=k")
    # The kubelet tries a failed mount again after up to two minutes.
    cluster.wait_ready("locked", 240)


def test_a_secret_without_the_key(cluster):
    cluster("create", "secret", "generic", "keys", "--from-literal=other=k")
    cluster.apply("locked", access={"apiKeySecret": {"name": "keys"}})
    cluster.wait_why("locked", "Secret", "keys", "api-key", seconds=SECONDS)


def test_a_claim_that_does_not_exist(cluster):
    cluster.apply("lost", model={"claim": {"name": "models"}})
    cluster.wait_why("lost", "models", seconds=SECONDS)


def test_a_memory_limit_that_the_kernel_enforces(cluster):
    # Not even room for Python: the kernel ends the process while it starts.
    cluster.apply("tight", resources={"requests": {"memory": "24Mi"}, "limits": {"memory": "24Mi"}})
    cluster.wait_why("tight", "memory", "24Mi")


def test_a_memory_limit_that_the_model_does_not_fit_is_said_before_it_is_loaded(cluster):
    cluster.apply("tight", resources={"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}})
    cluster.wait_why("tight", "MiB are free", "Raise the memory limit")


def test_a_model_that_does_not_fit_the_task(cluster):
    cluster.apply("mismatch", task="text-classification", resources=SMALL)
    why = cluster.wait_why("mismatch", "text-classification")
    assert "BertForMaskedLM" in why
    assert cluster.condition("mismatch", "Stalled")["status"] == "True"


def test_a_program_that_ends_at_once_shows_its_last_line(cluster):
    # An image without our server: the operator's own, which knows no command serve.
    text = cluster.kubectl("-n", deploy.NAMESPACE, "get", deploy.OPERATOR, "-o", "json")
    image = json.loads(text)["spec"]["template"]["spec"]["containers"][0]["image"]
    cluster.apply("wrong", engine={"image": image})
    why = cluster.wait_why("wrong", "ended with exit code 2", "is not an argument of llmi-operator")
    assert "kubectl logs" in why
    assert cluster.condition("wrong", "Ready")["reason"] == "CrashLoop"


def test_a_question_that_is_answered_otherwise_than_expected(cluster):
    cluster.apply("doubtful", verify=[{"input": "The capital of France is [MASK].", "expect": "london"}])
    why = cluster.wait_why("doubtful", "VerifyFailed", "london", "paris")
    assert cluster.condition("doubtful", "Ready")["reason"] == "VerifyFailed"
    assert why


def test_a_quota_that_leaves_no_room(cluster):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"requests.memory": "10Mi"}},
    }
    cluster("apply", "-f", "-", stdin=json.dumps(quota))
    cluster.apply("crowded")
    cluster.wait_why("crowded", "quota", "small", seconds=SECONDS)


def test_a_name_that_somebody_else_has_taken(cluster):
    cluster("create", "service", "clusterip", "taken", "--tcp=80:80")
    cluster.apply("taken")
    why = cluster.wait_why("taken", "Service", "taken", seconds=SECONDS)
    assert "llminference.dev/llminference" not in cluster.get("service", "taken")["metadata"].get("labels", {})
    cluster("delete", "service", "taken")
    cluster.wait_ready("taken")
    assert why


def test_malformed_yaml_is_refused_before_anything_is_made(cluster):
    body = {
        "apiVersion": "llminference.dev/v1alpha1",
        "kind": "LLMInference",
        "metadata": {"name": "both"},
        "spec": {"model": TINY_BERT, "task": "fill-mask", "replicas": 1, "autoscaling": {"maxReplicas": 2}},
    }
    words = cluster.refusal("apply", "-f", "-", stdin=json.dumps(body))
    assert "spec: Invalid value: Set replicas or autoscaling, not both" in words
