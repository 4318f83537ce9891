"""The server is ready only after it gave the answers that were expected."""

import json

import numpy as np
import pytest

from llmi_api.failure import FailureCode
from llmi_api.launch import Device, Precision, Task, VerifyQuestion
from llmi_server.engine.loading import load_model
from llmi_server.engine.preparation import LoadRequest
from llmi_server.engine.protocol import EncodedText
from llmi_server.errors import StartupError
from llmi_server.settings import ServeSettings, read_settings
from llmi_server.tasks.fill_mask import FillMask
from llmi_server.tasks.text_classification import TextClassification
from llmi_server.tasks.token_classification import TokenClassification
from llmi_testing.engine import FakeCodec, FakeEngine, fake_model
from llmi_testing.models import tiny_bert
from llmi_testing.server import running_server
from llmi_testing.watching import Watching


def ask(task, *pairs, model=None):
    questions = tuple(VerifyQuestion(input=text, expect=expect) for text, expect in pairs)
    with running_server(model, task=task, verify=questions) as server:
        return server.http.get("/readyz").json()


def refusal(task, *pairs, model=None):
    with pytest.raises(StartupError) as caught:
        ask(task, *pairs, model=model)
    assert caught.value.failure.code is FailureCode.VERIFY_FAILED
    return caught.value.failure


def test_right_answers_open_the_server_and_are_a_phase_of_its_own():
    report = ask(Task.TEXT_CLASSIFICATION, ("a", "bad"), ("b c", "BAD"))
    assert report["stage"] == "ready"
    assert "verify" in report["phase_seconds"]


def test_a_wrong_answer_is_told_with_what_was_expected():
    found = refusal(Task.TEXT_CLASSIFICATION, ("a", "bad"), ("b", "good"))
    assert found.message == "The answer to 'b' is 'bad', and 'good' is expected."
    assert "spec.verify[1]" in found.next


def test_a_question_that_cannot_be_answered_says_why():
    found = refusal(Task.FILL_MASK, ("no mask here", "x"))
    assert "has no mask" in found.message


def test_what_is_shown_of_question_and_answer_is_short_and_on_one_line():
    found = refusal(Task.TEXT_CLASSIFICATION, ("a\n\x1b[31m", "x\n" * 5000))
    assert len(found.message) <= 1024
    assert found.message.isprintable()


def test_questions_go_through_the_queue_and_the_engine_as_requests_do():
    engine = FakeEngine(Task.TEXT_CLASSIFICATION)
    ask(Task.TEXT_CLASSIFICATION, ("asked", "bad"), model=fake_model(Task.TEXT_CLASSIFICATION, engine))
    assert [text.text for batch in engine.batches for text in batch][-1] == "asked"


def test_embeddings_take_no_questions_and_are_told_before_anything_is_loaded():
    environment = {"LLMI_MODEL_NAME": "m", "LLMI_TASK": "embeddings",
                   "LLMI_VERIFY": json.dumps([{"input": "a", "expect": "b"}])}  # fmt: skip
    with pytest.raises(StartupError) as caught:
        read_settings(ServeSettings, [], environment)
    assert caught.value.failure.code is FailureCode.INVALID_SETTINGS
    assert "LLMI_VERIFY has no use for embeddings" in caught.value.failure.message


def test_a_real_model_is_asked_what_it_knows(real_model):
    ask(Task.FILL_MASK, ("The capital of France is [MASK].", "Paris"), ("Snow is [MASK].", "cold"), model=real_model)
    found = refusal(Task.FILL_MASK, ("The capital of France is [MASK].", "London"), model=real_model)
    assert found.message.startswith("The answer to 'The capital of France is [MASK].' is 'paris'")


@pytest.fixture(scope="module")
def real_model():
    request = LoadRequest(
        folder=tiny_bert(),
        task=Task.FILL_MASK,
        precision=Precision.FLOAT32,
        device=Device.CPU,
        max_batch_tokens=8192,
        threads=1,
    )
    return load_model(request, watcher=Watching())


def encoded(text, offsets=(), positions=()):
    count = len(offsets) or 1
    return EncodedText(
        ids=(9,) * count, type_ids=(0,) * count, special=(False,) * count, offsets=offsets, text=text,
        positions=positions,
    )  # fmt: skip


def test_in_brief_several_masks_are_answered_by_the_best_token_of_each():
    output = np.array([[0, 0, 0, 0, 5.0, 0], [0, 0, 0, 0, 0, 5.0]], dtype=np.float32)
    assert FillMask(FakeCodec(), limit=9).brief(encoded("x", positions=(1, 2)), output) == "4, 5"


@pytest.mark.parametrize(
    ("problem", "logits", "brief"),
    [(None, [0.0, 2.0, 1.0], "good"), ("multi_label_classification", [3.0, -1.0, 1.0], "bad, odd"),
     ("multi_label_classification", [-3.0, -1.0, -2.0], ""), ("regression", [0.734, 1.0, -2.0], "0.73, 1.00, -2.00")],
)  # fmt: skip
def test_in_brief_a_classification_is_what_applies(problem, logits, brief):
    task = TextClassification(FakeCodec(), limit=9, labels=("bad", "good", "odd"), problem_type=problem)
    assert task.brief(encoded("x"), np.array(logits, dtype=np.float32)) == brief


def test_in_brief_entities_are_labels_with_the_words_of_the_text():
    task = TokenClassification(FakeCodec(), limit=9, labels=("O", "B-PER", "I-PER", "B-LOC"))
    output = np.eye(4, dtype=np.float32)[[1, 2, 0, 3]] * 9
    text = encoded("Ada Lovelace visited Rome", offsets=((0, 3), (4, 12), (13, 20), (21, 25)))
    assert task.brief(text, output) == "PER Ada Lovelace, LOC Rome"
