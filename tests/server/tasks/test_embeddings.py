"""What a Sentence Transformers model wants done to a text."""

import json

import pytest

from llmi_server.errors import InvalidRequestError, StartupError
from llmi_server.model.files import TextRecipe, read_pooling, read_text_recipe
from llmi_server.tasks.embeddings import EmbeddingParameters, Embeddings
from llmi_testing.engine import FakeCodec

PROMPTS = {"query": "query: ", "passage": "passage: "}


def encoded(recipe, text="Snow", **parameters):
    task = Embeddings(FakeCodec(), limit=32, normalize=True, recipe=recipe)
    return task.encode([text], EmbeddingParameters(**parameters))[0].text


def test_a_prompt_that_is_asked_for_comes_before_the_text():
    assert encoded(TextRecipe(prompts=PROMPTS), prompt_name="query") == "query: Snow"


def test_the_models_default_prompt_comes_before_every_text():
    recipe = TextRecipe(prompts=PROMPTS, default_prompt="passage")
    assert encoded(recipe) == "passage: Snow"
    assert encoded(recipe, prompt_name="query") == "query: Snow"


def test_without_prompts_the_text_stays_as_it_is():
    assert encoded(TextRecipe()) == "Snow"


def test_an_unknown_prompt_is_refused_with_those_that_there_are():
    with pytest.raises(InvalidRequestError, match="it has query, passage"):
        encoded(TextRecipe(prompts=PROMPTS), prompt_name="other")


def test_a_blank_text_is_refused_even_with_a_prompt():
    with pytest.raises(InvalidRequestError, match="is empty"):
        encoded(TextRecipe(prompts=PROMPTS, default_prompt="query"), text=" ")


def test_lower_case_is_made_where_the_model_wants_it():
    assert encoded(TextRecipe(lower_case=True), text="SNOW") == "snow"


def test_the_recipe_is_read_from_the_models_own_files(tmp_path):
    assert read_text_recipe(tmp_path) == TextRecipe()
    content = {"prompts": {**PROMPTS, "none": ""}, "default_prompt_name": "query"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(content))
    (tmp_path / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    assert read_text_recipe(tmp_path) == TextRecipe(prompts=PROMPTS, default_prompt="query", lower_case=True)


def test_a_default_prompt_that_is_not_there_is_told(tmp_path):
    (tmp_path / "config_sentence_transformers.json").write_text('{"prompts": {}, "default_prompt_name": "query"}')
    with pytest.raises(StartupError, match="has no prompt query"):
        read_text_recipe(tmp_path)


def test_prompts_that_are_left_out_of_the_pooling_are_told(tmp_path):
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"prompts": PROMPTS}))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"include_prompt": false}')
    with pytest.raises(StartupError, match="leaves prompts out"):
        read_text_recipe(tmp_path)


@pytest.mark.parametrize("content", [{"pooling_mode_lasttoken": True}, {"pooling_mode": "lasttoken"}])
def test_the_pooling_of_the_last_token_is_known(tmp_path, content):
    modules = [{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(content))
    assert read_pooling(tmp_path).mode == "last"
