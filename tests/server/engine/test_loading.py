"""Loading refuses what cannot be served, by name, before it costs anything."""

import json
import shutil
import struct

import numpy as np
import pytest
import torch

from llmi_api.failure import FailureCode
from llmi_api.launch import Device, Precision, Task
from llmi_server.engine import preparation
from llmi_server.engine.loading import load_model
from llmi_server.engine.preparation import LoadRequest
from llmi_server.errors import StartupError
from llmi_server.model import files
from llmi_server.model.memory import Computing, MemoryNeeds
from llmi_server.model.weights import Tensor
from llmi_server.tasks.rerank import Rerank
from llmi_server.tasks.zero_shot_classification import ZeroShotClassification
from llmi_testing.models import small_model
from llmi_testing.watching import Watching


def load(folder, task, precision=Precision.AUTO, device=Device.CPU):
    request = LoadRequest(
        folder=folder, task=task, precision=precision, device=device, max_batch_tokens=8192, threads=1
    )
    return load_model(request, watcher=Watching())


def refusal(folder, task=Task.FILL_MASK, **options):
    with pytest.raises(StartupError) as caught:
        load(folder, task, **options)
    assert caught.value.failure.next
    return caught.value.failure


@pytest.fixture
def model(tmp_path):
    """A copy of a small fill-mask model that the test may damage."""
    folder = tmp_path / "model"
    shutil.copytree(small_model("bert", "fill-mask"), folder)
    return folder


def change_json(path, **values):
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | values))


def test_no_folder_and_no_configuration_are_told_apart(tmp_path):
    missing = refusal(tmp_path / "nowhere")
    assert missing.code is FailureCode.MODEL_NOT_FOUND
    assert "does not exist" in missing.message
    assert "has no config.json" in refusal(tmp_path).message


def test_pickles_are_never_loaded(model):
    canary = model / "canary"
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.")
    found = refusal(model)
    assert found.code is FailureCode.NO_SAFETENSORS
    assert "pytorch_model.bin" in found.message
    assert not canary.exists()


@pytest.mark.parametrize("key", ["auto_map", "custom_pipelines", "_attn_implementation_internal"])
def test_code_of_the_repository_is_never_run(model, key):
    canary = model / "canary"
    (model / "evil.py").write_text(f"open({str(canary)!r}, 'w')")
    change_json(model / "config.json", **{key: {"AutoModelForMaskedLM": "evil.Model"}})
    assert refusal(model).code is FailureCode.REMOTE_CODE_NEEDED
    assert not canary.exists()


def test_code_of_the_tokenizer_is_never_run(model):
    change_json(model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", None]})
    assert refusal(model).code is FailureCode.REMOTE_CODE_NEEDED


@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION])
def test_a_head_for_another_task_is_refused_with_the_tasks_that_fit(model, task):
    found = refusal(model, task)
    assert found.code is FailureCode.TASK_MISMATCH
    assert "BertForMaskedLM" in found.message
    assert "fill-mask or embeddings" in found.message


def test_a_generator_is_refused(model):
    change_json(model / "config.json", architectures=["LlamaForCausalLM"])
    assert refusal(model, Task.EMBEDDINGS).code is FailureCode.TASK_MISMATCH


def test_a_missing_head_is_found_in_the_weights_too(model):
    change_json(model / "config.json", architectures=["BertForSequenceClassification"])
    found = refusal(model, Task.TEXT_CLASSIFICATION)
    assert found.code is FailureCode.TASK_MISMATCH
    assert "classifier" in found.message
    assert "random" in found.message


def test_a_model_with_a_head_gives_embeddings(model):
    loaded = load(model, Task.EMBEDDINGS)
    assert loaded.engine.compute(loaded.codec.encode(["Snow is cold"]))[0].ndim == 1


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\xff" * 100, struct.pack("<Q", 5) + b"{}{}{", struct.pack("<Q", 2) + b"[]"]
)
def test_damaged_weights_are_told(model, content):
    (model / "model.safetensors").write_bytes(content)
    assert refusal(model).code is FailureCode.MODEL_INVALID


def test_weights_that_were_cut_off_are_told(model):
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[:-100])
    found = refusal(model)
    assert found.code is FailureCode.MODEL_INVALID
    assert "cut off" in found.message


def test_a_missing_part_of_the_weights_is_named(model):
    (model / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "../../etc/passwd"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00001-of-00002.safetensors" in refusal(model).message


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model_type": "unheard-of"}', '{"model_type": 5}'])
def test_a_damaged_configuration_is_told(model, content):
    (model / "config.json").write_text(content)
    assert refusal(model).code is FailureCode.MODEL_INVALID


def test_a_damaged_tokenizer_is_told(model):
    (model / "tokenizer.json").write_text("{}")
    assert refusal(model).code in {FailureCode.MODEL_INVALID, FailureCode.LOAD_FAILED}


def test_weights_of_another_shape_are_told(model):
    change_json(model / "config.json", hidden_size=64)
    assert refusal(model).code in {FailureCode.MODEL_INVALID, FailureCode.LOAD_FAILED, FailureCode.TASK_MISMATCH}


def test_too_little_memory_is_told_with_the_numbers_before_loading(model, monkeypatch):
    monkeypatch.setattr(preparation, "free_memory_bytes", lambda: 100 << 20)
    found = refusal(model)
    assert found.code is FailureCode.OUT_OF_MEMORY
    assert "100 MiB are free" in found.message
    assert "set precision" not in found.next


def test_what_fits_in_a_smaller_precision_is_named():
    table = Tensor("embeddings", "F32", (100 << 10, 1 << 10))
    layers = [Tensor(f"layer.{number}.up", "F32", (10 << 10, 1 << 10)) for number in range(90)]
    needs = MemoryNeeds(tensors=(table, *layers), computing=Computing.OWN)
    watcher = Watching()
    for free, precision in ((3000, "bfloat16"), (2000, "int8")):
        with pytest.raises(StartupError) as caught:
            preparation.refuse_if_too_large(needs, Precision.FLOAT32, on_gpu=False, free=free << 20, watcher=watcher)
        size = watcher.by_precision[precision] >> 20
        assert f"set precision to {precision} (about {size} MiB)" in caught.value.failure.next
    assert list(watcher.by_precision) == ["float32", "bfloat16", "int8"]


def test_a_gpu_and_a_generator_do_not_compute_int8(model):
    tensors = files.read_tensors(files.weight_files(model))
    needs = MemoryNeeds(tensors=tensors, computing=Computing.GENERATION)
    assert needs.choices(on_gpu=False) == (Precision.FLOAT32, Precision.BFLOAT16)
    assert Precision.INT8 not in needs.choices(on_gpu=True)


def test_an_absent_gpu_is_told(model):
    if torch.cuda.is_available():
        pytest.skip("There is a GPU here.")
    assert refusal(model, device=Device.CUDA).code is FailureCode.ACCELERATOR_ABSENT


def test_half_precision_on_a_cpu_is_told(model):
    assert refusal(model, precision=Precision.FLOAT16).code is FailureCode.PRECISION_UNSUPPORTED


def test_bfloat16_on_a_cpu_is_possible_when_asked_for(model):
    loaded = load(model, Task.FILL_MASK, precision=Precision.BFLOAT16)
    assert loaded.engine.facts.precision == "bfloat16"
    assert loaded.engine.compute(loaded.codec.encode(["Snow is cold"]))[0].shape[1] > 100


@pytest.mark.parametrize(("computed", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_the_processor_computes_it(model, monkeypatch, computed, chosen):
    monkeypatch.setattr(preparation, "computes_bfloat16", lambda: computed)
    assert load(model, Task.FILL_MASK).engine.facts.precision == chosen
    assert load(model, Task.FILL_MASK, precision=Precision.FLOAT32).engine.facts.precision == "float32"


def test_auto_is_float32_for_what_transformers_computes_on_a_cpu(monkeypatch):
    monkeypatch.setattr(preparation, "computes_bfloat16", lambda: True)
    assert load(small_model("electra", "base"), Task.EMBEDDINGS).engine.facts.precision == "float32"


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "xlm-roberta", "mpnet", "modernbert"])
def test_bfloat16_gives_nearly_what_float32_gives(family):
    exact, reduced = (
        load(small_model(family, "base"), Task.EMBEDDINGS, precision=precision)
        for precision in (Precision.FLOAT32, Precision.BFLOAT16)
    )
    batch = exact.codec.encode(["The capital of France is Paris.", "Snow is cold, and the sun is hot"])
    for one, other in zip(exact.engine.compute(batch), reduced.engine.compute(batch), strict=True):
        assert one @ other > 0.999 * np.linalg.norm(one) * np.linalg.norm(other)


def test_pooling_and_normalisation_are_the_models(model):
    prefix = "sentence_transformers.models."
    modules = [{"type": f"{prefix}Transformer"},
               {"type": f"{prefix}Pooling", "path": "1_Pooling"}]  # fmt: skip
    (model / "modules.json").write_text(json.dumps(modules))
    (model / "1_Pooling").mkdir()
    (model / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    results = {}
    modes = ("cls_token", "max_tokens", "mean_tokens", "lasttoken")
    for mode in modes:
        chosen = {f"pooling_mode_{name}": name == mode for name in modes}
        change_json(model / "1_Pooling" / "config.json", **chosen)
        loaded = load(model, Task.EMBEDDINGS)
        assert loaded.normalize is False
        assert loaded.engine.facts.max_tokens == 16
        short, _ = loaded.engine.compute(loaded.codec.encode(["Snow", "Snow is cold and white"]))
        alone = loaded.engine.compute(loaded.codec.encode(["Snow"]))[0]
        assert short == pytest.approx(alone, abs=1e-4)
        results[mode] = tuple(short)
    assert len(set(results.values())) == 4


def test_a_classifier_without_entailment_does_no_zero_shot(tmp_path):
    loaded = load(small_model("bert", "text-classification"), Task.ZERO_SHOT_CLASSIFICATION)
    with pytest.raises(StartupError, match="no label entailment"):
        ZeroShotClassification(loaded.codec, limit=9, labels=loaded.engine.facts.labels)


def test_a_classifier_of_several_labels_does_no_rerank(tmp_path):
    loaded = load(small_model("bert", "text-classification"), Task.RERANK)
    with pytest.raises(StartupError, match="gives 3 numbers"):
        Rerank(loaded.codec, limit=9, labels=loaded.engine.facts.labels)


def test_an_unknown_pooling_is_told(model):
    (model / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]')
    found = refusal(model, Task.EMBEDDINGS)
    assert found.code is FailureCode.MODEL_INVALID
    assert "Dense" in found.message
