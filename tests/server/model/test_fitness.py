"""Judgements over a model's configuration."""

import pytest

from llmi_api.launch import Task
from llmi_server.model.fitness import tasks_of, token_limit


@pytest.mark.parametrize(
    ("architecture", "task"),
    [("BertForMaskedLM", Task.FILL_MASK), ("BertForPreTraining", Task.FILL_MASK), ("BertModel", Task.EMBEDDINGS),
     ("DistilBertForSequenceClassification", Task.TEXT_CLASSIFICATION),
     ("RobertaForTokenClassification", Task.TOKEN_CLASSIFICATION)],
)  # fmt: skip
def test_an_architecture_fits_its_task_and_embeddings(architecture, task):
    assert set(tasks_of(architecture)) == {task, Task.EMBEDDINGS}


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "GPT2LMHeadModel", "T5ForConditionalGeneration", "Odd"])
def test_generators_and_the_unheard_of_fit_nothing(architecture):
    assert tasks_of(architecture) == ()


@pytest.mark.parametrize(
    ("config", "tokenizer", "made_for", "expected"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, {}, None, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, {}, None, 512),
        ({"model_type": "bert", "max_position_embeddings": 512}, {"model_max_length": 128}, None, 128),
        ({"model_type": "bert", "max_position_embeddings": 512}, {"model_max_length": int(1e30)}, None, 512),
        ({"model_type": "bert", "max_position_embeddings": 512}, {}, 256, 256),
        ({"model_type": "t5"}, {}, None, 512),
    ],
)
def test_the_token_limit_is_the_smallest_that_is_stated(config, tokenizer, made_for, expected):
    assert token_limit(config, tokenizer, made_for=made_for) == expected
