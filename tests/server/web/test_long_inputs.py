"""A text that is too long is refused, cut or computed in parts; the answer and a metric tell which."""

import re

import numpy as np
import pytest

from llmi_api.launch import Task
from llmi_server.settings import ServeSettings
from llmi_testing.engine import word_id
from llmi_testing.server import MODEL_NAME, running_server

LONG = "w " * 50
TOO_LONG = [
    (Task.TEXT_CLASSIFICATION, {"inputs": LONG}),
    (Task.TOKEN_CLASSIFICATION, {"inputs": [LONG, "short"]}),
    (Task.FILL_MASK, {"inputs": "[MASK] " + LONG}),
    (Task.ZERO_SHOT_CLASSIFICATION, {"inputs": LONG, "parameters": {"candidate_labels": ["a", "b"]}}),
    (Task.RERANK, {"inputs": {"query": "a", "texts": ["short", LONG]}}),
]


def counted(server, handling):
    text = server.http.get("/metrics").text
    return float(re.search(rf'llmi_long_inputs_total{{handling="{handling}"}} (\S+)', text)[1])


def embed(server, text, **body):
    return server.http.post("/v1/embeddings", json={"model": MODEL_NAME, "input": text, **body})


def test_without_a_setting_a_long_text_is_refused():
    with running_server() as server:
        answer = embed(server, LONG)
        assert answer.status_code == 400
        assert "limit is 32" in answer.json()["error"]["message"]
        assert counted(server, "truncated") == 0


def test_a_server_that_is_set_to_cut_cuts_and_says_so():
    with running_server(long_inputs="truncate") as server:
        answer = embed(server, ["short", LONG])
        assert answer.headers["x-llmi-truncated-inputs"] == "1"
        assert answer.json()["usage"] == {"prompt_tokens": 35, "total_tokens": 35, "truncated_inputs": 1}
        assert counted(server, "truncated") == 1
        whole = embed(server, "short")
        assert "x-llmi-truncated-inputs" not in whole.headers
        assert "truncated_inputs" not in whole.json()["usage"]


@pytest.mark.parametrize("setting", ["truncate", "window"])
def test_a_request_may_refuse_what_the_server_would_take(setting):
    with running_server(long_inputs=setting) as server:
        assert embed(server, LONG, truncate=False).status_code == 400


@pytest.mark.parametrize(("task", "body"), TOO_LONG)
def test_every_task_cuts_and_counts_each_text_once(task, body):
    with running_server(task=task, long_inputs="truncate") as server:
        answer = server.http.post("/", json=body)
        assert answer.status_code == 200
        assert answer.headers["x-llmi-truncated-inputs"] == "1"
        assert counted(server, "truncated") == 1


@pytest.mark.parametrize(("task", "body"), TOO_LONG)
def test_every_task_refuses_where_nobody_asks_for_a_cut(task, body):
    with running_server(task=task) as server:
        answer = server.http.post("/", json=body)
        assert answer.status_code == 400
        assert "limit is 32" in answer.text


def test_kserve_and_rerank_tell_of_a_cut_too():
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [LONG]}
    with running_server(long_inputs="truncate") as server:
        answer = server.http.post(f"/v2/models/{MODEL_NAME}/infer", json={"inputs": [tensor]})
        assert answer.headers["x-llmi-truncated-inputs"] == "1"
    body = {"model": MODEL_NAME, "query": "a", "documents": [LONG], "truncate": True}
    with running_server(task=Task.RERANK) as server:
        answer = server.http.post("/v1/rerank", json=body)
        assert answer.headers["x-llmi-truncated-inputs"] == "1"
        assert answer.json()["usage"]["truncated_inputs"] == 1


def test_a_long_text_in_windows_is_their_weighted_mean_and_the_answer_says_so():
    words = [f"w{number}" for number in range(50)]
    with running_server(long_inputs="window") as server:
        answer = embed(server, ["short", " ".join(words), "short"])
        assert answer.headers["x-llmi-windowed-inputs"] == "1"
        assert answer.json()["usage"]["windowed_inputs"] == 1
        assert counted(server, "windowed") == 1
        short, vector, other = (np.array(entry["embedding"]) for entry in answer.json()["data"])
    # A limit of 32 leaves room for 30 words; windows share an eighth of the limit.
    windows = [words[:30], words[26:]]
    vectors = [np.array([3 + sum(map(word_id, window)), 1, 2, 3]) for window in windows]
    np.testing.assert_allclose(vector, np.average(vectors, axis=0, weights=[30, 24]), rtol=1e-6)
    assert (short == other).all()


def test_windows_scaled_to_length_one_are_scaled_before_and_after_the_mean():
    words = [f"w{number}" for number in range(50)]
    body = {"inputs": " ".join(words), "normalize": True}
    with running_server(long_inputs="window") as server:
        vector = np.array(server.http.post("/", json=body).json()[0])
    vectors = [np.array([3 + sum(map(word_id, window)), 1, 2, 3]) for window in (words[:30], words[26:])]
    scaled = [one / np.linalg.norm(one) for one in vectors]
    mean = np.average(scaled, axis=0, weights=[30, 24])
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), rtol=1e-5)


@pytest.mark.parametrize(
    ("task", "setting"),
    [(Task.FILL_MASK, "window"), (Task.TEXT_GENERATION, "window"), (Task.TEXT_GENERATION, "truncate")],
)
def test_a_setting_that_the_task_has_no_use_for_is_refused_at_the_start(task, setting):
    with pytest.raises(ValueError, match="LLMI_LONG_INPUTS"):
        ServeSettings(model_name="m", task=task, long_inputs=setting)
