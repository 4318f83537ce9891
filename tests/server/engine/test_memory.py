"""What is predicted of a model's memory, against what a server of its own holds when it is ready."""

import pytest

from llmi_api.launch import Task
from llmi_testing.models import bert_large, llama_134m, medium_model
from llmi_testing.served import served

pytestmark = pytest.mark.timeout(300)  # starting a server imports PyTorch

CLOSE = 0.15
MIB = 1 << 20


def weigh(folder, task, precision):
    """Return the bytes that were predicted, and those that were measured."""
    with served(folder, task, precision=precision, threads=2) as server:
        report = server.http.get("/readyz").json()
        return report["predicted_memory_bytes"], report["measured_memory_bytes"]


def check_int8(folder):
    predicted, measured = weigh(folder, Task.FILL_MASK, "int8")
    assert abs(predicted / measured - 1) < CLOSE, (predicted // MIB, measured // MIB)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "mpnet", "modernbert"])
def test_an_encoder_takes_what_was_predicted(family):
    predicted, measured = weigh(medium_model(family), Task.FILL_MASK, "float32")
    assert abs(predicted / measured - 1) < CLOSE, (predicted // MIB, measured // MIB)


def test_in_int8_it_takes_what_was_predicted():
    check_int8(medium_model("modernbert"))


@pytest.mark.soak
@pytest.mark.parametrize("folder", [lambda: medium_model("bert"), bert_large], ids=["medium", "large"])
def test_in_int8_other_shapes_take_what_was_predicted(folder):
    check_int8(folder())


@pytest.mark.soak
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_generator_takes_what_was_predicted(precision):
    predicted, measured = weigh(llama_134m(), Task.TEXT_GENERATION, precision)
    assert abs(predicted / measured - 1) < CLOSE, (predicted // MIB, measured // MIB)
