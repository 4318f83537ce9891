"""Rerank as clients ask for it."""

import pytest

from llmi_api.launch import Task
from llmi_testing.server import MODEL_NAME, running_server

DOCUMENTS = ["b", "z z z z", "c c"]


@pytest.fixture(scope="module")
def server():
    with running_server(task=Task.RERANK) as running:
        yield running


def rerank(server, **body):
    return server.http.post("/v1/rerank", json={"model": MODEL_NAME, "query": "a", "documents": DOCUMENTS, **body})


def test_documents_come_best_first_with_their_places(server):
    answer = rerank(server).json()
    assert answer["model"] == MODEL_NAME
    assert [entry["index"] for entry in answer["results"]] == [1, 2, 0]
    assert answer["results"][0]["document"] == {"text": "z z z z"}
    scores = [entry["relevance_score"] for entry in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert answer["usage"]["total_tokens"] == 5 + 8 + 6


def test_only_the_best_are_given_when_only_they_are_asked_for(server):
    results = rerank(server, top_n=1, return_documents=False).json()["results"]
    assert [entry["index"] for entry in results] == [1]
    assert "document" not in results[0]


def test_documents_may_be_objects(server):
    assert rerank(server, documents=[{"text": "b"}, "c"]).status_code == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [({"documents": []}, "no input"), ({"documents": [""]}, "documents is empty"), ({"query": " "}, "query is empty"),
     ({"top_n": 0}, "top_n"), ({"documents": "b"}, "documents"), ({"model": "other"}, "not served"),
     ({"documents": ["w " * 50]}, "limit is 32"), ({"query": "w " * 50, "truncate": True}, "limit is 32")],
)  # fmt: skip
def test_what_cannot_be_ranked_is_a_4xx_that_says_why(server, body, says):
    answer = rerank(server, **body)
    assert 400 <= answer.status_code < 500
    assert says in answer.json()["error"]["message"]


def test_a_long_document_is_cut_when_asked_for(server):
    assert rerank(server, documents=["w " * 50], truncate=True).json()["usage"]["total_tokens"] == 32


def test_the_task_route_takes_a_query_and_texts(server):
    answer = server.http.post("/", json={"inputs": {"query": "a", "texts": DOCUMENTS}})
    assert [entry["index"] for entry in answer.json()] == [1, 2, 0]
    raw = {"inputs": {"query": "a", "texts": DOCUMENTS}, "parameters": {"raw_scores": True}}
    assert server.http.post("/", json=raw).json()[0]["score"] > 1


def test_another_model_says_what_it_does():
    with running_server() as server:
        assert "does embeddings, not rerank" in rerank(server).json()["error"]["message"]
