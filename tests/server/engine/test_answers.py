"""Answers are the Transformers pipeline's, for every task and family."""

import inspect
import itertools
import warnings

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoTokenizer

from llmi_api.launch import Device, Precision, Task
from llmi_server.engine.encoder import linear
from llmi_server.engine.loading import load_model
from llmi_server.engine.preparation import LoadRequest
from llmi_testing.minilm import minilm
from llmi_testing.models import small_model, tiny_bert
from llmi_testing.server import running_server
from llmi_testing.watching import Watching

FAMILIES = ["bert", "roberta", "distilbert", "xlm-roberta", "mpnet", "modernbert", "electra"]
TEXTS = [
    "The capital of France is Paris.",
    "Snow is cold, and the sun is hot; Rome isn't unhappiness!",
    "Water",
    "the dog eats meat in Berlin and the cat drinks milk in Tokyo",
]


def load(folder, task):
    request = LoadRequest(
        folder=folder, task=task, precision=Precision.FLOAT32, device=Device.CPU, max_batch_tokens=8192, threads=1
    )
    return load_model(request, watcher=Watching())


def pipeline(name, folder, **options):
    transformers.logging.set_verbosity_error()
    return transformers.pipeline(name, str(folder), device="cpu", **options)


def assert_same(ours, theirs):
    """Equal in shape and values, numbers within 1e-4."""
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif isinstance(theirs, (float, np.floating)):
        assert ours == pytest.approx(float(theirs), abs=1e-4)
    else:
        assert ours == theirs


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", ["base", "fill-mask", "text-classification", "token-classification"])
def test_our_own_encoders_take_their_families_and_transformers_the_rest(family, head):
    task = Task.EMBEDDINGS if head == "base" else Task(head)
    engine = load(small_model(family, head), task).engine.facts.engine
    assert engine.startswith("transformers" if family == "electra" else "padding-free")


@pytest.mark.parametrize("family", FAMILIES)
def test_fill_mask_answers_as_the_pipeline_does(family):
    folder = small_model(family, "fill-mask")
    judge = pipeline("fill-mask", folder)
    mask = judge.tokenizer.mask_token
    texts = [f"The capital of {mask} is Paris.", f"{mask} is cold", f"The {mask} of {mask} is Rome, truly."]
    with running_server(load(folder, Task.FILL_MASK), task=Task.FILL_MASK) as server:
        for text in texts:
            assert_same(server.http.post("/", json={"inputs": text}).json(), judge(text))
        assert_same(server.http.post("/", json={"inputs": texts}).json(), judge(texts))
        few = {"inputs": texts[0], "parameters": {"top_k": 2}}
        assert_same(server.http.post("/", json=few).json(), judge(texts[0], top_k=2))
        words = {"inputs": texts[0], "parameters": {"targets": ["Paris", "snow", "unheardof"]}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = judge(texts[0], targets=["Paris", "snow", "unheardof"])
        assert_same(server.http.post("/", json=words).json(), expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("problem", ["single_label_classification", "multi_label_classification", "regression", None])
def test_text_classification_answers_as_the_pipeline_does(family, problem):
    folder = small_model(family, "text-classification", problem_type=problem)
    judge = pipeline("text-classification", folder)
    with running_server(load(folder, Task.TEXT_CLASSIFICATION), task=Task.TEXT_CLASSIFICATION) as server:
        assert_same(server.http.post("/", json={"inputs": TEXTS}).json(), judge(TEXTS, top_k=None))
        for function in ("sigmoid", "softmax", "none"):
            body = {"inputs": TEXTS, "parameters": {"top_k": 2, "function_to_apply": function}}
            assert_same(server.http.post("/", json=body).json(), judge(TEXTS, top_k=2, function_to_apply=function))


@pytest.mark.parametrize("family", FAMILIES)
def test_token_classification_answers_as_the_pipeline_does(family):
    folder = small_model(family, "token-classification")
    judge = pipeline("token-classification", folder)
    with running_server(load(folder, Task.TOKEN_CLASSIFICATION), task=Task.TOKEN_CLASSIFICATION) as server:
        for strategy in ("none", "simple", "first", "average", "max"):
            body = {"inputs": TEXTS, "parameters": {"aggregation_strategy": strategy, "ignore_labels": []}}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = [judge(text, aggregation_strategy=strategy, ignore_labels=[]) for text in TEXTS]
            assert_same(server.http.post("/", json=body).json(), expected)
        assert_same(server.http.post("/", json={"inputs": TEXTS[0]}).json(), judge(TEXTS[0]))


@pytest.mark.parametrize("family", FAMILIES)
def test_zero_shot_classification_answers_as_the_pipeline_does(family):
    folder = small_model(family, "inference")
    judge = pipeline("zero-shot-classification", folder)
    labels = ["weather", "food", "a capital city"]
    task = Task.ZERO_SHOT_CLASSIFICATION
    with running_server(load(folder, task), task=task) as server:
        for options in ({}, {"multi_label": True}, {"hypothesis_template": "It is about {}"}):
            expected = [judge(text, labels, **options) for text in TEXTS]
            body = {"inputs": TEXTS, "parameters": {"candidate_labels": labels, **options}}
            answer = server.http.post("/", json=body).json()
            for one, other in zip(answer, expected, strict=True):
                assert [element["label"] for element in one] == other["labels"]
                assert [element["score"] for element in one] == pytest.approx(other["scores"], abs=1e-4)
        alone = {"inputs": TEXTS[0], "parameters": {"candidate_labels": "food"}}
        assert server.http.post("/", json=alone).json()[0]["score"] == pytest.approx(
            judge(TEXTS[0], ["food"])["scores"][0], abs=1e-4
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_rerank_scores_as_the_model_itself_does(family):
    folder = small_model(family, "rerank")
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(str(folder)).eval()
    takes = inspect.signature(model.forward).parameters
    expected = []
    for text in TEXTS:
        inputs = tokenizer("What is cold?", text, return_tensors="pt")
        with torch.inference_mode():
            logit = model(**{key: value for key, value in inputs.items() if key in takes}).logits[0, 0]
        expected.append(float(torch.sigmoid(logit)))
    body = {"model": "test-model", "query": "What is cold?", "documents": TEXTS}
    with running_server(load(folder, Task.RERANK), task=Task.RERANK) as server:
        results = server.http.post("/v1/rerank", json=body).json()["results"]
    assert [entry["relevance_score"] for entry in results] == sorted(
        (entry["relevance_score"] for entry in results), reverse=True
    )
    for entry in results:
        assert entry["relevance_score"] == pytest.approx(expected[entry["index"]], abs=1e-4)
        assert entry["document"]["text"] == TEXTS[entry["index"]]


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_are_the_mean_of_the_pipelines_token_vectors(family):
    folder = small_model(family, "base")
    judge = pipeline("feature-extraction", folder)
    with running_server(load(folder, Task.EMBEDDINGS)) as server:
        answer = server.http.post("/v1/embeddings", json={"model": "test-model", "input": TEXTS}).json()
    for entry, text in zip(answer["data"], TEXTS, strict=True):
        mean = np.array(judge(text)[0]).mean(axis=0)
        np.testing.assert_allclose(entry["embedding"], mean / np.linalg.norm(mean), atol=1e-4)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@pytest.mark.parametrize("packed", [True, False])
def test_answers_stay_the_pipelines_on_a_processor_that_we_have_no_kernels_for(monkeypatch, family, packed):
    monkeypatch.setattr(linear, "find_kernels", lambda: None)
    if not packed:  # nor has oneDNN
        monkeypatch.setattr(linear, "_CAN_PACK", False)
    folder = small_model(family, "text-classification", problem_type="single_label_classification")
    judge = pipeline("text-classification", folder)
    with running_server(load(folder, Task.TEXT_CLASSIFICATION), task=Task.TEXT_CLASSIFICATION) as server:
        assert_same(server.http.post("/", json={"inputs": TEXTS}).json(), judge(TEXTS, top_k=None))


def test_answers_stay_the_pipelines_with_heads_so_narrow_that_layers_are_computed_step_by_step():
    problem = "single_label_classification"
    folder = small_model("bert", "text-classification", problem_type=problem, num_attention_heads=4)
    judge = pipeline("text-classification", folder)
    with running_server(load(folder, Task.TEXT_CLASSIFICATION), task=Task.TEXT_CLASSIFICATION) as server:
        assert_same(server.http.post("/", json={"inputs": TEXTS}).json(), judge(TEXTS, top_k=None))


def test_minilm_ranks_sentences_by_meaning():
    sentences = ["A man is eating food.", "Someone has a meal.", "The stock market fell today."]
    with running_server(load(minilm(), Task.EMBEDDINGS)) as server:
        answer = server.http.post("/v1/embeddings", json={"model": "test-model", "input": sentences}).json()
    eating, meal, market = (np.array(entry["embedding"]) for entry in answer["data"])
    assert eating @ meal > 0.5
    assert eating @ market < 0.2
    assert np.linalg.norm(eating) == pytest.approx(1)
    judge = pipeline("feature-extraction", minilm())
    mean = np.array(judge(sentences[0])[0]).mean(axis=0)
    np.testing.assert_allclose(eating, mean / np.linalg.norm(mean), atol=1e-4)


def test_a_baked_in_padding_of_the_tokenizer_is_switched_off():
    codec = load(minilm(), Task.EMBEDDINGS).codec
    assert len(codec.encode(["hello"])[0]) == 3
    assert len(codec.encode(["hello " * 200])[0]) == 202


def test_truncation_cuts_as_the_tokenizer_itself_does():
    folder = small_model("bert", "base")
    codec, text = load(folder, Task.EMBEDDINGS).codec, "The dog eats meat. " * 30
    encoded = codec.encode([text])[0]
    for side in ("right", "left"):
        judge = AutoTokenizer.from_pretrained(str(folder), truncation_side=side)
        expected = judge(text, truncation=True, max_length=20)["input_ids"]
        assert list(codec.truncate(encoded, 20, keep_end=side == "left").ids) == expected


def test_windows_cover_a_text_in_order_share_tokens_and_begin_with_the_prompt():
    codec, text = load(small_model("bert", "base"), Task.EMBEDDINGS).codec, "The dog eats meat in Berlin. " * 9
    whole, prompt = codec.encode([text])[0].ids, codec.encode(["Snow is"])[0].ids[1:-1]
    windows = codec.windows(text, 20, prompt="Snow is ", overlap=3)
    assert all(len(window) <= 20 and window.ids[0] == whole[0] and window.ids[-1] == whole[-1] for window in windows)
    assert all(window.ids[1 : 1 + len(prompt)] == prompt for window in windows)
    parts = [window.ids[1 + len(prompt) : -1] for window in windows]
    assert all(one[-3:] == other[:3] for one, other in itertools.pairwise(parts))
    assert [*parts[0], *(token for part in parts[1:] for token in part[3:])] == list(whole[1:-1])
    assert codec.windows(text, 20, prompt=text, overlap=3) == []


def test_the_tiny_bert_knows_the_capital_of_france():
    with running_server(load(tiny_bert(), Task.FILL_MASK), task=Task.FILL_MASK) as server:
        best = server.http.post("/", json={"inputs": "The capital of France is [MASK]."}).json()[0]
    assert best["token_str"] == "paris"
    assert best["score"] > 0.5
