"""Judgements over a model's configuration."""

import pytest

from llmi_api.launch import Task
from llmi_server.model.fitness import tasks_of, token_limit


@pytest.mark.parametrize(
    ("architecture", "tasks"),
    [("BertForMaskedLM", {Task.FILL_MASK}), ("BertForPreTraining", {Task.FILL_MASK}), ("BertModel", set()),
     ("DistilBertForSequenceClassification",
      {Task.TEXT_CLASSIFICATION, Task.ZERO_SHOT_CLASSIFICATION, Task.RERANK}),
     ("RobertaForTokenClassification", {Task.TOKEN_CLASSIFICATION})],
)  # fmt: skip
def test_an_encoder_fits_the_tasks_of_its_head_and_embeddings(architecture, tasks):
    assert set(tasks_of(architecture)) == {*tasks, Task.EMBEDDINGS}


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "GPT2LMHeadModel", "XLMWithLMHeadModel"])
def test_a_decoder_generates_text_and_nothing_else(architecture):
    assert tasks_of(architecture) == (Task.TEXT_GENERATION,)


@pytest.mark.parametrize("architecture", ["T5ForConditionalGeneration", "Odd"])
def test_what_no_task_is_known_for_fits_nothing(architecture):
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
