"""Requests that come together are computed together, and each has an answer or a refusal of its own."""

import os

import pytest

from llmi_api.launch import Task
from llmi_server.engine.protocol import EngineOutOfMemoryError
from llmi_server.errors import EngineFailedError, InvalidRequestError, OutOfMemoryError
from llmi_server.inference.preparing import build_task
from llmi_server.inference.service import RequestLimits
from llmi_server.schema.hugging_face import default_parameters
from llmi_server.settings import ServeSettings
from llmi_server.tracing.start import start_tracing
from llmi_server.tracing.timeline import Timeline, describe_inference
from llmi_server.triton.answering import Answering, Question, unbounded_queue
from llmi_testing.engine import FakeEngine, fake_model
from llmi_testing.otlp_receiver import attributes, receiving_soon

TASK = Task.TEXT_CLASSIFICATION
BOUNDS = RequestLimits(max_inputs=4, max_tokens=40, timeout_seconds=5)


@pytest.fixture
def engine():
    return FakeEngine(TASK)


def answering(engine, *, max_batch_tokens=8192):
    budget = unbounded_queue(max_batch_tokens=max_batch_tokens, preferred_batch_tokens=8192, padding_free=True)
    task = build_task(fake_model(TASK, engine), ServeSettings(model_name="m", task=TASK))
    return Answering(task=task, engine=engine, budget=budget, bounds=BOUNDS)


def asking(*texts):
    return Question(texts, default_parameters(TASK))


def test_the_texts_of_all_requests_are_one_batch(engine):
    answers = answering(engine).answer([asking("a", "b c"), asking("d")])
    assert [len(answer) for answer in answers] == [2, 1]
    (batch,) = engine.batches
    assert sorted(text.text for text in batch) == ["a", "b c", "d"]


def test_more_texts_than_the_budget_holds_are_several_batches(engine):
    answers = answering(engine, max_batch_tokens=8).answer([asking("a b", "c d", "e f"), asking("g h")])
    assert [len(answer) for answer in answers] == [3, 1]
    assert [len(batch) for batch in engine.batches] == [2, 2]


def test_what_a_request_asks_wrongly_fails_that_request_alone(engine):
    refused = InvalidRequestError("bad")
    answers = answering(engine).answer([asking(""), refused, asking("a"), asking(), asking(*"abcde")])
    assert [isinstance(answer, InvalidRequestError) for answer in answers] == [True, True, False, True, True]
    assert answers[1] is refused
    assert "limit is 4" in answers[4].message


def test_a_batch_that_fails_fails_its_requests_and_no_other(engine):
    compute = engine.compute

    def failing(batch):
        if any("bad" in text.text for text in batch):
            raise RuntimeError
        return compute(batch)

    engine.compute = failing
    answers = answering(engine, max_batch_tokens=6).answer([asking("a"), asking("bad x y z"), asking("b")])
    assert [isinstance(answer, EngineFailedError) for answer in answers] == [False, True, False]


def test_a_batch_that_does_not_fit_into_memory_says_so(engine):
    engine.error = EngineOutOfMemoryError("no")
    (answer,) = answering(engine).answer([asking("a")])
    assert isinstance(answer, OutOfMemoryError)


def test_of_a_batch_that_fails_all_spans_say_so(engine, monkeypatch):
    engine.error = RuntimeError("secret")
    with receiving_soon(monkeypatch) as received:
        tracer = start_tracing(os.environ, model="m", task=TASK)
        span = tracer.join({"traceparent": f"00-{'4' * 32}-{'5' * 16}-01"})
        question = Question(["a"], default_parameters(TASK), Timeline(span, describe_inference("classify", "m")))
        answering(engine).answer([question])
        tracer.stop()
        inference, batch = received.named("classify m", "batch")
    assert attributes(inference.attributes)["error.type"] == "EngineFailedError"
    assert attributes(batch.attributes)["error.type"] == "RuntimeError"


def test_no_request_needs_no_engine(engine):
    assert answering(engine).answer([]) == []
    assert engine.batches == []
