"""Triton's description of a model says what the settings say; a real Triton reads it in test_watch.py."""

import pytest

from llmi_api.launch import Task
from llmi_server.settings import TritonSettings
from llmi_server.triton.description import describe_model

TASKS = [task for task in Task if task is not Task.TEXT_GENERATION]


def described(task=Task.FILL_MASK, name="owner/model", **settings):
    return describe_model(TritonSettings(model_name=name, task=task, **settings))


@pytest.mark.parametrize("task", TASKS)
def test_the_model_is_called_without_its_owner(task):
    assert described(task).startswith('name: "model"\n')
    assert described(task, "mine").startswith('name: "mine"\n')


def test_vectors_have_a_length_of_their_own_and_all_else_is_one_value_for_each_text():
    assert '{ name: "embedding" data_type: TYPE_FP32 dims: [ -1 ] }' in described(Task.EMBEDDINGS)
    assert '{ name: "score" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } }' in described(Task.RERANK)
    assert '{ name: "answer" data_type: TYPE_STRING dims: [ 1 ] reshape { shape: [ ] } }' in described()


def test_the_queue_is_bounded_as_the_limits_say_and_nothing_waits_for_company():
    text = described(max_queued_requests=7, request_timeout_seconds=9, max_inputs_per_request=5)
    assert "max_queue_size: 7" in text
    assert "default_timeout_microseconds: 9000000" in text
    assert "max_queue_delay_microseconds: 0" in text
    assert "max_batch_size: 5" in text
