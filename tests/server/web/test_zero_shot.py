"""Zero-shot classification as clients ask for it."""

import pytest
from huggingface_hub import InferenceClient

from llmi_api.launch import Task
from llmi_testing.server import running_server

LABELS = ["b", "z z z", "c c"]


@pytest.fixture(scope="module")
def server():
    with running_server(task=Task.ZERO_SHOT_CLASSIFICATION) as running:
        yield running


def ask(server, inputs="a", **parameters):
    return server.http.post("/", json={"inputs": inputs, "parameters": {"candidate_labels": LABELS, **parameters}})


def test_the_hugging_face_client_gets_labels_best_first(server):
    client = InferenceClient(server.url)
    answer = client.zero_shot_classification("a", LABELS, hypothesis_template="about {}", multi_label=False)
    assert answer[0].label == "z z z"
    assert sum(element.score for element in answer) == pytest.approx(1)


def test_several_texts_get_a_list_each(server):
    both = ask(server, ["a", "d e"]).json()
    assert both == [ask(server, "a").json(), ask(server, "d e").json()]


def test_labels_judged_alone_do_not_share(server):
    scores = [element["score"] for element in ask(server, multi_label=True).json()]
    assert sum(scores) > 1.5


def test_labels_may_be_one_text_with_commas(server):
    assert ask(server, candidate_labels="b, z z z,c c").json() == ask(server).json()


@pytest.mark.parametrize(
    ("body", "says"),
    [({"inputs": "a"}, "parameters is required"),
     ({"inputs": "a", "parameters": {}}, "candidate_labels is required"),
     ({"inputs": "a", "parameters": {"candidate_labels": []}}, "1 to 256 labels"),
     ({"inputs": "a", "parameters": {"candidate_labels": " , "}}, "1 to 256 labels"),
     ({"inputs": "a", "parameters": {"candidate_labels": ["x"], "hypothesis_template": "none"}}, "needs {}"),
     ({"inputs": " ", "parameters": {"candidate_labels": ["x"]}}, "inputs is empty"),
     ({"inputs": ["a"] * 200, "parameters": {"candidate_labels": ["x", "y"]}}, "400 questions"),
     ({"inputs": "w " * 60, "parameters": {"candidate_labels": ["x"]}}, "limit is 32")],
)  # fmt: skip
def test_what_cannot_be_judged_is_a_400_that_says_why(server, body, says):
    answer = server.http.post("/", json=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]


def test_a_template_is_text_and_no_program(server):
    template = "{0.__class__} {:>999999} {}"
    assert ask(server, hypothesis_template=template).status_code == 200


def test_a_long_text_is_cut_when_asked_for_and_the_label_is_kept(server):
    assert ask(server, "w " * 60, truncate=True).status_code == 200
