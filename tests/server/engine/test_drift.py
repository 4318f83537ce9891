"""How far int8 is from float32 is measured at the start, per task, and told."""

import re

import numpy as np
import pytest

from llmi_api.failure import FailureCode
from llmi_api.launch import Device, Precision, Task
from llmi_server.engine.drift import compare
from llmi_server.engine.encoder import int8
from llmi_server.engine.loading import load_model, load_parts
from llmi_server.engine.precision import choose_precision
from llmi_server.engine.preparation import LoadRequest
from llmi_server.errors import StartupError
from llmi_server.model import files
from llmi_server.model.weights import weight_bytes
from llmi_testing.minilm import minilm
from llmi_testing.models import small_model
from llmi_testing.server import running_server
from llmi_testing.watching import Watching

needs_int8 = pytest.mark.skipif(int8.unsupported() is not None, reason=f"int8: {int8.unsupported()}")


def request_for(folder, task):
    return LoadRequest(
        folder=folder, task=task, precision=Precision.INT8, device=Device.CPU, max_batch_tokens=8192, threads=1
    )


def load(folder, task):
    return load_model(request_for(folder, task), watcher=Watching())


def test_vectors_are_compared_by_angle():
    one, other = np.array([1, 0], np.float32), np.array([1, 1], np.float32)
    drift = compare([one, one], [one, other], Task.EMBEDDINGS)
    assert drift.texts == 2
    assert drift.min_cosine == pytest.approx(0.5**0.5)
    assert drift.mean_cosine == pytest.approx((1 + 0.5**0.5) / 2)
    assert drift.same_best is None


def test_scores_are_compared_by_what_is_best_and_how_much_they_differ():
    exact = [np.array([0, 0], np.float32), np.array([9, 0], np.float32)]
    drift = compare(exact, [exact[0], exact[1][::-1]], Task.TEXT_CLASSIFICATION)
    assert drift.same_best == 0.5
    assert drift.largest_difference == pytest.approx(1, abs=1e-3)
    assert drift.mean_cosine is None


def test_a_single_number_has_no_best():
    drift = compare([np.array([0], np.float32)], [np.array([1], np.float32)], Task.RERANK)
    assert drift.same_best is None
    assert drift.largest_difference == pytest.approx(0.231, abs=1e-3)


@needs_int8
@pytest.mark.parametrize("family", ["bert", "distilbert", "mpnet", "modernbert"])
@pytest.mark.parametrize("head", ["base", "fill-mask", "token-classification", "rerank", "inference"])
def test_every_task_and_family_measures_its_drift(family, head):
    tasks = {"base": Task.EMBEDDINGS, "inference": Task.ZERO_SHOT_CLASSIFICATION}
    task = tasks.get(head) or Task(head)
    facts = load(small_model(family, head), task).engine.facts
    assert facts.precision == "int8"
    assert facts.drift.texts >= 10  # small models take few tokens: some pairs do not fit even when cut
    if task is Task.EMBEDDINGS:
        assert 0.98 < facts.drift.min_cosine <= facts.drift.mean_cosine <= 1.000001
        assert facts.drift.mean_cosine != 1
    else:
        assert 0 < facts.drift.largest_difference < 0.2


@needs_int8
def test_the_real_model_drifts_by_less_than_half_a_percent_and_status_and_metrics_tell():
    with running_server(load(minilm(), Task.EMBEDDINGS)) as server:
        told = server.http.get("/status").json()
        metrics = server.http.get("/metrics").text
    assert told["precision"] == "int8"
    assert told["drift"]["mean_cosine"] > 0.995
    assert told["drift"]["min_cosine"] > 0.99
    shown = re.search(r'llmi_precision_drift{measure="mean_cosine"} (\S+)', metrics)[1]
    assert float(shown) == pytest.approx(told["drift"]["mean_cosine"])


@needs_int8
def test_an_architecture_that_is_not_our_own_is_refused_in_eight_bits():
    with pytest.raises(StartupError) as caught:
        load(small_model("electra", "base"), Task.EMBEDDINGS)
    assert caught.value.failure.code is FailureCode.PRECISION_UNSUPPORTED
    assert "this one differs (electra)" in caught.value.failure.message


def test_generation_is_refused_in_eight_bits():
    with pytest.raises(StartupError) as caught:
        load_parts(request_for(small_model("bert", "base"), Task.TEXT_GENERATION), watcher=Watching())
    assert caught.value.failure.code is FailureCode.PRECISION_UNSUPPORTED
    assert "generates text" in caught.value.failure.message


def test_a_processor_that_cannot_is_told(monkeypatch):
    monkeypatch.setattr(int8, "unsupported", lambda: "this processor has no AVX2")
    with pytest.raises(StartupError) as caught:
        load(small_model("bert", "base"), Task.EMBEDDINGS)
    assert caught.value.failure.code is FailureCode.PRECISION_UNSUPPORTED
    assert "no AVX2" in caught.value.failure.message


def test_a_gpu_is_told_that_eight_bits_are_for_a_processor():
    with pytest.raises(StartupError, match="on a CPU only"):
        choose_precision(Precision.INT8, "cuda", bf16=True)


@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert"])
def test_memory_is_foretold_with_one_byte_for_numbers_in_layers(family):
    tensors = files.read_tensors(files.weight_files(small_model(family, "fill-mask")))
    all_float, all_bytes = weight_bytes(tensors, 4), weight_bytes(tensors, 1)
    mixed = weight_bytes(tensors, 4, 1)
    assert all_bytes < mixed < all_float
    assert (all_float - mixed) % 3 == 0
