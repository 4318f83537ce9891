"""A real vLLM in pods: what it answers, what it refuses, how it leaves, and how it scales by its own queue.

``make test-engines``: its image takes minutes to build and to bring onto the nodes.
"""

import json

import pytest

import vllm_image
from docker_engine import has_image
from llmi_testing.live_cluster import MINILM, eventually

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not has_image(vllm_image.IMAGE), reason="no image of vLLM: make test-engines"),
]
QUEUE = 16
START_SECONDS = 300
MEMORY = {"requests": {"cpu": "100m", "memory": "1500Mi"}, "limits": {"memory": "3Gi"}}
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
TEXTS = {"model": "vectors", "input": ["a cat", "a kitten", "a tax return"]}


def engine(*args):
    # Without a compiler in the image, and with a memory for keys and values that leaves room for a second replica.
    own = ["--enforce-eager", "--kv-cache-memory-bytes=67108864", *args]
    return {"name": "vllm", "image": vllm_image.tagged(), "args": own}


def body(tokens=8, **fields):
    said = [{"role": "user", "content": "The capital of France is"}]
    return {"model": "llmi/text-generation", "messages": said, "max_tokens": tokens, "ignore_eos": True, **fields}


@pytest.fixture(scope="module")
def served(shared, hub):
    """One generates, two at a time; one embeds, by the bundled server at first."""
    shared.apply(
        "chat",
        task="text-generation",
        model={"id": "llmi/text-generation", "endpoint": hub},
        engine=engine("--max-num-seqs=2"),
        limits={"maxInputTokens": 128, "maxOutputTokens": 128, "maxQueuedRequests": QUEUE},
        resources=MEMORY,
        rollout={"drainSeconds": 60, "startupTimeoutSeconds": START_SECONDS},
    )
    shared.apply("vectors", task="embeddings", model=MINILM, resources=MEMORY)
    shared.wait_ready("chat", START_SECONDS)
    return shared


@pytest.fixture(scope="module")
def url(served):
    return served.status("chat")["url"]


def test_the_resource_says_which_engine_runs_and_has_nothing_to_complain_of(served):
    line = served("get", "llmi", "chat", "--no-headers").split()
    assert line[2:5] == ["vllm", "1/1", f"http://chat.{served.namespace}.svc"]
    assert not served.status("chat").get("why")


def test_a_chat_is_answered(served, url):
    status, answer = served.ask(url + CHAT, body())
    assert status == 200, answer
    assert answer["usage"]["completion_tokens"] == 8
    assert answer["choices"][0]["finish_reason"] == "length"


def test_a_chat_is_streamed(served, url):
    status, text = served.ask(url + CHAT, body(stream=True))
    assert status == 200
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["choices"][0]["finish_reason"] == "length"


def test_what_does_not_fit_is_refused(served, url):
    said = [{"role": "user", "content": "Paris " * 2000}]
    status, answer = served.ask(url + CHAT, body(messages=said))
    assert status == 400
    assert "128" in answer["error"]["message"] or "256" in answer["error"]["message"], answer


def test_its_metrics_tell_what_runs_and_what_waits(served, url):
    with served.load(url + CHAT, rate=50, at_once=QUEUE, body=body(100)):

        def waits():
            _, text = served.ask(url + "/metrics")
            lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("vllm:num_requests_"))
            return {name.partition("{")[0]: float(value) for name, _, value in lines}

        eventually(lambda: waits().get("vllm:num_requests_waiting", 0) > 0, "some wait", seconds=60)
        assert waits()["vllm:num_requests_running"] > 0


def test_more_than_the_queue_holds_are_refused_with_503(served, url):
    with served.load(url + CHAT, rate=200, at_once=4 * QUEUE, body=body(100)) as load:
        eventually(lambda: load.progress().get("failed", 0) > 5, "some are refused", seconds=60)
        answered = load.progress()["answered"]
        eventually(lambda: load.progress()["answered"] > answered + 5, "the others are answered", seconds=60)
    assert {failure[:3] for failure in load.result["failures"]} == {"503"}, json.dumps(load.result)


def test_a_rollout_under_load_loses_no_request(served, url):
    """vLLM, told to stop by itself, would answer what it holds with 200 and half a text."""
    pods = {pod["metadata"]["name"] for pod in served.objects("pods", "chat")}
    with served.load(url + CHAT, rate=2, body=body(16)) as load:
        served.patch("chat", engine=engine("--max-num-seqs=4"))
        served.wait_ready("chat", START_SECONDS)
        eventually(lambda: not pods & {pod["metadata"]["name"] for pod in served.objects("pods", "chat")}, "replaced")
    assert load.result["failed"] == 0, json.dumps(load.result)
    assert load.result["answered"] == load.result["sent"] > 0


def test_one_line_changes_the_engine_there_and_back_and_no_request_is_lost(served):
    address = served.wait_ready("vectors")["url"]

    def similar():
        status, answer = served.ask(address + EMBEDDINGS, TEXTS)
        assert status == 200, answer
        cat, kitten, tax = (item["embedding"] for item in answer["data"])
        return sum(x * y for x, y in zip(cat, kitten, strict=True)), sum(x * y for x, y in zip(cat, tax, strict=True))

    before = similar()
    with served.load(address + EMBEDDINGS, rate=2, body=TEXTS) as load:
        for chosen in (engine(), {"name": "transformers", "image": None, "args": None}):
            served.patch("vectors", engine=chosen)
            status = served.wait_ready("vectors", START_SECONDS)
            assert (status["engine"]["name"], status["url"]) == (chosen["name"], address)
            assert similar() == pytest.approx(before, abs=0.02)
        eventually(lambda: len(served.objects("pods", "vectors")) == 1, "those of the other engine are gone")
    assert load.result["failed"] == 0, json.dumps(load.result)
    assert load.result["answered"] == load.result["sent"] > 0


def test_replicas_follow_its_own_queue(served, url, metrics_adapter):
    served.patch("chat", replicas=None, autoscaling={"maxReplicas": 2, "targets": {"inFlightPerReplica": 3}})
    # Two replicas' work, and less than one's queue holds.
    with served.load(url + CHAT, rate=50, at_once=6, body=body(60)) as load:
        eventually(lambda: served.status("chat").get("ready") == "2/2", "both serve", seconds=START_SECONDS)
        assert " in flight, target 3 each" in served.status("chat")["scaling"]["because"]
    assert load.result["failed"] == 0, json.dumps(load.result)


def test_flags_that_it_does_not_know_are_told_in_words_and_the_old_one_goes_on(served, url):
    served.patch("chat", engine=engine("--no-such-flag=3"))
    why = served.wait_why("chat", "vLLM does not take its arguments", "--no-such-flag", seconds=START_SECONDS)
    assert "correct spec.engine.args" in why
    assert served.ask(url + CHAT, body())[0] == 200
