"""What Triton's Python back end calls, with Triton's own module replaced: texts in, tensors or errors out."""

import contextlib
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from llmi_api.failure import FailureCode
from llmi_api.launch import Task
from llmi_server.engine.protocol import EngineOutOfMemoryError
from llmi_server.errors import StartupError
from llmi_server.triton import back_end
from llmi_server.triton.back_end import TritonPythonModel
from llmi_testing.engine import FakeEngine, fake_model


class FakeRequest:
    def __init__(self, texts, parameters=""):
        self.texts = texts
        self._parameters = parameters

    def parameters(self):
        return self._parameters


class FakeTensor(SimpleNamespace):
    def as_numpy(self):
        return self.values


class FakeError:
    INVALID_ARG, UNAVAILABLE, INTERNAL = 400, 503, 500

    def __init__(self, text, code):
        self.text = text
        self.code = code


class FakeFamily:
    """One gauge, and all that it was ever set to."""

    GAUGE = "gauge"

    def __init__(self, name, description, kind):
        self.name = name
        self.values = []

    def Metric(self, labels):  # noqa: N802 - Triton's name
        return SimpleNamespace(set=self.values.append)


TOOLS = SimpleNamespace(
    get_input_tensor_by_name=lambda request, name: FakeTensor(values=np.array(request.texts, dtype=object)),
    Tensor=lambda name, values: (name, values),
    TritonError=FakeError,
    InferenceResponse=lambda output_tensors=None, error=None: error or output_tensors[0],
    MetricFamily=FakeFamily,
)


@pytest.fixture
def engine():
    return FakeEngine(Task.TEXT_CLASSIFICATION)


@pytest.fixture
def initialized(monkeypatch, engine):
    """Initialize with a fake model."""

    def make(task=Task.TEXT_CLASSIFICATION, **environment):
        monkeypatch.setitem(sys.modules, "triton_python_backend_utils", TOOLS)
        engine.task = task
        monkeypatch.setattr(back_end, "load_model", lambda request, watcher: fake_model(task, engine))
        monkeypatch.setattr(back_end, "set_up_logs", lambda *_: None)
        monkeypatch.setattr(back_end.gc, "freeze", lambda: None)  # it would be for the whole test run
        for name, value in {"MODEL_NAME": "m", "TASK": task, **environment}.items():
            monkeypatch.setenv(f"LLMI_{name}", value)
        model = TritonPythonModel()
        model.initialize({})
        return model

    return make


def test_answers_are_the_task_routes_as_json(initialized):
    (answer,) = initialized().execute([FakeRequest([b"a", b"b"], '{"top_k": 1, "binary_data_output": true}')])
    name, values = answer
    assert name == "answer"
    assert [len(json.loads(value)) for value in values] == [1, 1]


def test_vectors_are_numbers(initialized):
    ((name, values),) = initialized(Task.EMBEDDINGS).execute([FakeRequest([b"a", b"b"])])
    assert (name, values.shape, values.dtype) == ("embedding", (2, 4), np.float32)


@pytest.mark.parametrize(
    ("request_", "says"),
    [(FakeRequest([b"\xff"]), "not valid UTF-8"), (FakeRequest([b""]), "empty"), (FakeRequest([]), "no input"),
     (FakeRequest([b"a"], '{"top_j": 1}'), "top_j is not supported"), (FakeRequest([1]), "not a text")],
)  # fmt: skip
def test_what_is_no_question_is_an_invalid_argument_and_the_next_one_is_answered(initialized, request_, says):
    refused, answer = initialized().execute([request_, FakeRequest([b"a"])])
    assert refused.code == 400
    assert says in refused.text
    assert answer[0] == "answer"


@pytest.mark.parametrize(("error", "code"), [(EngineOutOfMemoryError(""), 503), (ValueError("secret"), 500)])
def test_what_the_engine_cannot_do_is_told_without_its_words(initialized, engine, error, code):
    model = initialized()
    engine.error = error
    (refused,) = model.execute([FakeRequest([b"a"])])
    assert refused.code == code
    assert "secret" not in refused.text


@pytest.mark.parametrize("error", [None, MemoryError()])
def test_what_is_computed_is_told_until_it_is_answered_or_fails(initialized, engine, monkeypatch, error):
    model = initialized()
    seen = []

    def answer(questions):
        seen.extend(model._metrics.values)
        if error:
            raise error
        return [[] for _ in questions]

    monkeypatch.setattr(model._answering, "answer", answer)
    with contextlib.suppress(MemoryError):
        model.execute([FakeRequest([b"a"]), FakeRequest([b"b"])])
    assert (model._metrics.name, seen, model._metrics.values) == ("llmi_requests_running", [2], [2, 0])


def test_an_answer_that_is_not_the_expected_one_stops_the_start(initialized):
    questions = json.dumps([{"input": "a", "expect": "good"}])
    with pytest.raises(StartupError) as caught:
        initialized(VERIFY=questions)
    assert caught.value.failure.code is FailureCode.VERIFY_FAILED
