"""A few lines of YAML become an answered request."""

import re

import pytest

from llmi_testing.live_cluster import MINILM, eventually

PARIS = {"inputs": "The capital of France is [MASK].", "parameters": {"top_k": 1}}


@pytest.fixture(scope="module")
def tiny(shared):
    shared.apply("tiny", service={"type": "NodePort"})
    shared.wait_ready("tiny")
    return shared


def test_a_model_in_an_image_answers_through_its_service(tiny):
    status, answer = tiny.ask(tiny.status("tiny")["url"], PARIS)
    assert status == 200
    assert answer[0]["token_str"] == "paris"


def test_the_table_shows_url_and_no_complaint(tiny):
    header, row = tiny("get", "llminference", "tiny").splitlines()
    columns = [header.index(name) for name in ("NAME", "MODEL", "ENGINE", "READY", "URL", "WHY", "AGE")]
    cells = [row[a:b].strip() for a, b in zip(columns, [*columns[1:], None], strict=True)]
    assert cells[:6] == [
        "tiny",
        "llminference/model-tiny-bert:dev",
        "transformers",
        "1/1",
        f"http://tiny.{tiny.namespace}.svc",
        "",
    ]
    assert re.fullmatch(r"\d+[sm](\d+s)?", cells[6])


def test_a_node_port_answers_on_every_node(tiny):
    port = tiny.get("service", "tiny")["spec"]["ports"][0]["nodePort"]
    nodes = [
        address["address"]
        for node in tiny.objects("nodes")
        for address in node["status"]["addresses"]
        if address["type"] == "InternalIP"
    ]
    assert len(nodes) > 1
    for node in nodes:
        assert tiny.ask(f"http://{node}:{port}", PARIS)[0] == 200


def test_a_load_balancer_that_never_comes_is_said_while_the_inside_address_answers(tiny):
    tiny.patch("tiny", service={"type": "LoadBalancer"})
    assert "load balancer" in tiny.wait_why("tiny", "load balancer")
    assert tiny.ask(tiny.status("tiny")["url"], PARIS)[0] == 200
    tiny.patch("tiny", service={"type": "ClusterIP"})
    tiny.wait_ready("tiny")
    eventually(lambda: (status := tiny.status("tiny")) and not status.get("why"), "nothing is left to say")


def test_kubectl_wait_and_scale_do_what_their_users_expect(tiny):
    tiny("wait", "--for=condition=Ready", "llmi/tiny", "--timeout=120s")
    tiny("scale", "llmi/tiny", "--replicas=0")
    tiny.wait_why("tiny", "as asked for", "spec.replicas")
    eventually(lambda: not tiny.objects("pods", "tiny"), "no pod is left")
    tiny("scale", "llmi/tiny", "--replicas=1")
    tiny.wait_ready("tiny")


def test_nothing_is_written_while_nothing_changes(tiny):
    def versions():
        kinds = ("llmi", "deployment", "service")
        return [tiny.get(kind, "tiny")["metadata"]["resourceVersion"] for kind in kinds]

    # The last word on a start comes soon after Ready: what it took.
    eventually(lambda: tiny.status("tiny").get("memory"), "the start is told")
    before = versions()
    assert all(tiny.ask(tiny.status("tiny")["url"], PARIS)[0] == 200 for _ in range(20))
    assert versions() == before
    metadata = tiny.get("llmi", "tiny")["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}


def test_deleting_it_removes_all_it_made(tiny):
    tiny("delete", "llmi", "tiny", "--wait=true")
    kinds = "deployments,replicasets,pods,services,hpa"
    eventually(lambda: not tiny.objects(kinds, "tiny"), "nothing is left", seconds=90)


def cosine(a, b):
    # The model's vectors have length one.
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_openai_embeddings_rank_sentences_by_meaning(cluster):
    cluster.apply("minilm", task="embeddings", model=MINILM)
    url = cluster.wait_ready("minilm")["url"]
    _, models = cluster.ask(f"{url}/v1/models")
    texts = ["How do I get my money back?", "Refunds are paid within five days.", "The office is closed on Sundays."]
    status, answer = cluster.ask(f"{url}/v1/embeddings", {"model": models["data"][0]["id"], "input": texts})
    assert status == 200
    question, refund, office = (item["embedding"] for item in answer["data"])
    assert cosine(question, refund) > cosine(question, office) + 0.2


def test_a_key_from_a_secret_guards_the_model(cluster):
    cluster("create", "secret", "generic", "keys", "--from-literal=api-key=first\nsecond")
    cluster.apply("guarded", access={"apiKeySecret": {"name": "keys"}})
    url = cluster.wait_ready("guarded")["url"]
    assert cluster.ask(url, PARIS)[0] == 401
    assert cluster.ask(url, PARIS, authorization="Bearer wrong")[0] == 401
    assert cluster.ask(url, PARIS, authorization="Bearer second")[0] == 200
