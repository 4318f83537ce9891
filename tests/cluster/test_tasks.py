"""Every task is answered by the image; fill-mask and embeddings are in test_serving.py."""

import pytest

from llmi_testing.hub_pod import OF_TASKS

TEXT = "The capital of France is Paris"
ASKED = {
    "text-classification": ("", {"inputs": TEXT}),
    "token-classification": ("", {"inputs": TEXT, "parameters": {"aggregation_strategy": "none"}}),
    "zero-shot-classification": ("", {"inputs": TEXT, "parameters": {"candidate_labels": ["snow", "city"]}}),
    "rerank": ("/v1/rerank", {"query": TEXT, "documents": ["Snow is cold", "Rome is in Italy"]}),
    "text-generation": ("/v1/chat/completions", {"messages": [{"role": "user", "content": TEXT}], "max_tokens": 4}),
}


@pytest.fixture(scope="module")
def served(shared, hub):
    """All of them start at once."""
    for task in OF_TASKS:
        shared.apply(task, task=task, model={"id": f"llmi/{task}", "endpoint": hub})
    return shared


def ask(served, task):
    url = served.wait_ready(task, 300)["url"]
    path, body = ASKED[task]
    if path:
        body = body | {"model": served.ask(f"{url}/v1/models")[1]["data"][0]["id"]}
    status, answer = served.ask(url + path, body)
    assert status == 200, answer
    return answer


def test_a_text_is_classified(served):
    (best_first,) = ask(served, "text-classification")
    scores = {item["label"]: item["score"] for item in best_first}
    assert set(scores) == {"negative", "neutral", "positive"}
    assert sum(scores.values()) == pytest.approx(1, abs=1e-2)


def test_tokens_are_classified_where_they_stand(served):
    for item in ask(served, "token-classification"):
        assert item["entity"].startswith(("B-", "I-"))
        assert TEXT[item["start"] : item["end"]].strip()


def test_a_text_is_classified_by_labels_that_come_with_it(served):
    answer = ask(served, "zero-shot-classification")
    assert sorted(item["label"] for item in answer) == ["city", "snow"]
    assert answer[0]["score"] >= answer[1]["score"]


def test_documents_are_ranked(served):
    results = ask(served, "rerank")["results"]
    assert sorted(item["index"] for item in results) == [0, 1]
    scores = [item["relevance_score"] for item in results]
    assert scores == sorted(scores, reverse=True)


def test_a_chat_is_answered(served):
    answer = ask(served, "text-generation")
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert 0 < answer["usage"]["completion_tokens"] <= 4
