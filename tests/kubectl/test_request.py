import pytest

from llmi_api.launch import Task
from llmi_kubectl.request import make_request, summarise

ANSWERS = {
    Task.FILL_MASK: ([{"score": 0.97, "token_str": " paris"}], (" 97.0%  paris",)),
    Task.TEXT_CLASSIFICATION: ([[{"label": "BAD", "score": 0.1}, {"label": "GOOD", "score": 0.9}]],
                               (" 90.0%  GOOD", " 10.0%  BAD")),
    Task.TOKEN_CLASSIFICATION: ([{"entity_group": "PER", "score": 0.99, "word": "Ada"}], (" 99.0%  PER  Ada",)),
    Task.ZERO_SHOT_CLASSIFICATION: ([{"label": "technology", "score": 0.8}], (" 80.0%  technology",)),
    Task.EMBEDDINGS: ([[1.0, 0.0], [1.0, 1.0]],
                      ("2 numbers a text", " 0.707  how alike it is to: Steps to reset the login secret")),
    Task.RERANK: ([{"index": 1, "score": 0.9}, {"index": 0, "score": 0.2}],
                  (" 0.900  Penguins live on the coasts of Antarctica.", " 0.200  Parrots live in tropical forests.")),
    Task.TEXT_GENERATION: ([{"generated_text": "there was"}], ("there was",)),
}  # fmt: skip


@pytest.mark.parametrize("task", Task)
def test_every_task_has_a_request_and_its_answer_is_said_in_lines(task):
    request = make_request(task, None, None)
    assert request.text
    assert request.body["inputs"]
    answer, lines = ANSWERS[task]
    assert summarise(task, answer) == lines


def test_the_models_own_mask_and_the_users_own_text_are_used():
    assert make_request(Task.FILL_MASK, None, "<mask>").text == "The capital of France is <mask>."
    assert make_request(Task.FILL_MASK, "A {b} [MASK].", "<mask>").body["inputs"] == "A {b} [MASK]."
    assert make_request(Task.RERANK, "Who?", None).body["inputs"]["query"] == "Who?"


def test_the_scores_of_a_regression_are_no_percentages():
    assert summarise(Task.TEXT_CLASSIFICATION, [{"label": "stars", "score": 4.2}]) == (" 4.2000  stars",)


def test_no_entity_is_an_answer_too():
    assert summarise(Task.TOKEN_CLASSIFICATION, []) == ("no entity found",)


@pytest.mark.parametrize("odd", [None, 7, {"error": "x"}, [[1.0]], [{"score": "x"}]])
@pytest.mark.parametrize("task", [task for task in Task if task is not Task.TEXT_GENERATION])
def test_an_answer_of_another_shape_is_not_guessed_at(task, odd):
    assert summarise(task, odd) is None
