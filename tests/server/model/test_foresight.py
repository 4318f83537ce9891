"""A model that cannot fit is told before its weights are downloaded, from their headers alone."""

import json
import struct

import pytest

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError
from llmi_server.model import fetch as fetching
from llmi_server.model.fetch import fetch
from llmi_server.model.foresight import weights_by_precision
from llmi_server.model.memory import Computing, MemoryNeeds
from llmi_server.model.weights import Tensor
from llmi_server.settings import FetchSettings
from llmi_testing.hub import Behaviour, running_hub

MIB = 1 << 20
REPOSITORY = "owner/model"
TABLE = {"bert.embeddings.word_embeddings.weight": [3000, 256]}
LAYER = {"bert.encoder.layer.0.output.dense.weight": [4096, 256]}
HEAD = {"cls.predictions.decoder.weight": [20_000, 256]}
ENCODER, DECODER = "BertForMaskedLM", "LlamaForCausalLM"


def safetensors(shapes, *, padding=0):
    """A file of zeros; padding makes the header longer."""
    header, end = {"__metadata__": {"x": "y" * padding}}, 0
    for name, shape in shapes.items():
        size = shape[0] * shape[1] * 4
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "hub" / REPOSITORY
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": [ENCODER]}))
    (folder / "model.safetensors").write_bytes(safetensors(TABLE | LAYER))
    return tmp_path / "hub"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(fetching, "may_have_gpu", lambda: False)
    monkeypatch.setattr(fetching, "has_device_driver", lambda: False)


def limit(monkeypatch, size):
    monkeypatch.setattr(fetching, "memory_limit_bytes", lambda: size)


def settings(hub, tmp_path, **extra):
    values = {"attempts": 2, "retry_seconds": 0, "timeout_seconds": 5, "port": 0, **extra}
    return FetchSettings(model_id=REPOSITORY, hub_endpoint=hub.url, model_dir=tmp_path / "model", **values)


def refused(hub, tmp_path):
    with pytest.raises(StartupError) as caught:
        fetch(settings(hub, tmp_path))
    assert not list((tmp_path / "model").rglob("*.safetensors*")), "nothing was downloaded"
    assert all(seen.is_look for seen in hub.requests[1:])
    return caught.value.failure


def test_weights_that_cannot_fit_in_any_precision_are_refused_before_the_download(root, tmp_path, monkeypatch):
    limit(monkeypatch, 3 * MIB)
    with running_hub(root) as hub:
        found = refused(hub, tmp_path)
    assert found.code is FailureCode.OUT_OF_MEMORY
    # The table stays as it is in int8, so bfloat16 is the smaller one.
    assert "take 3 MiB even in bfloat16, and the memory limit is 3 MiB" in found.message
    assert "Raise spec.resources.limits.memory to 3" in found.next
    assert list(found.predicted_by_precision) == ["float32", "bfloat16", "int8"]


def test_weights_that_fit_alone_are_only_warned_of(root, tmp_path, monkeypatch, caplog):
    limit(monkeypatch, 4 * MIB)
    with running_hub(root) as hub:
        fetch(settings(hub, tmp_path))
    assert "The model may not fit into memory" in caplog.text


def test_a_head_that_may_be_left_out_does_not_count(root, tmp_path, monkeypatch):
    (root / REPOSITORY / "model.safetensors").write_bytes(safetensors(TABLE | LAYER | HEAD))
    limit(monkeypatch, 4 * MIB)
    with running_hub(root) as hub:
        fetch(settings(hub, tmp_path))


def test_a_generator_is_not_computed_in_int8(root, tmp_path, monkeypatch):
    (root / REPOSITORY / "config.json").write_text(json.dumps({"architectures": [DECODER]}))
    limit(monkeypatch, 3 * MIB)
    with running_hub(root) as hub:
        found = refused(hub, tmp_path)
    assert list(found.predicted_by_precision) == ["float32", "bfloat16"]


def test_where_a_gpu_may_compute_nothing_is_refused(root, tmp_path, monkeypatch):
    limit(monkeypatch, 1)
    monkeypatch.setattr(fetching, "may_have_gpu", lambda: True)
    with running_hub(root) as hub:
        fetch(settings(hub, tmp_path))


def test_on_a_machine_with_devices_nothing_is_refused_because_another_image_may_compute_there(
    root, tmp_path, monkeypatch
):
    limit(monkeypatch, 1)
    monkeypatch.setattr(fetching, "has_device_driver", lambda: True)
    with running_hub(root) as hub:
        fetch(settings(hub, tmp_path))


def test_the_weights_are_told_without_a_head_that_may_be_left_out():
    tensors = tuple(Tensor(name, "F32", tuple(shape)) for name, shape in (TABLE | LAYER | HEAD).items())
    weights = weights_by_precision(MemoryNeeds(tensors=tensors, computing=Computing.OWN), may_have_gpu=True)
    numbers = 3000 * 256 + 4096 * 256
    assert (weights["float32"], weights["bfloat16"], weights["float16"]) == (4 * numbers, 2 * numbers, 2 * numbers)


def test_a_fetch_for_elsewhere_refuses_nothing(root, tmp_path, monkeypatch):
    limit(monkeypatch, 1)
    with running_hub(root) as hub:
        fetch(settings(hub, tmp_path, check_memory=False))


@pytest.mark.parametrize("ignore_range", [False, True])
def test_weights_in_parts_and_long_headers_are_counted_whole(root, tmp_path, monkeypatch, ignore_range):
    folder = root / REPOSITORY
    (folder / "model.safetensors").unlink()
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for name, shapes in zip(names, (TABLE, LAYER), strict=True):
        (folder / name).write_bytes(safetensors(shapes, padding=600_000))
    limit(monkeypatch, 3 * MIB)
    with running_hub(root, {REPOSITORY: Behaviour(ignore_range=ignore_range)}) as hub:
        assert "take 3 MiB" in refused(hub, tmp_path).message


@pytest.mark.parametrize("damage", [b"", b"\x00" * 20, b"\xff" * 400, struct.pack("<Q", 2) + b"[]"])
def test_damaged_weights_are_left_for_the_server_to_tell(root, tmp_path, monkeypatch, damage):
    (root / REPOSITORY / "model.safetensors").write_bytes(damage)
    limit(monkeypatch, 1)
    with running_hub(root) as hub:
        fetch(settings(hub, tmp_path))


def test_a_repository_without_configuration_is_fetched_all_the_same(root, tmp_path, monkeypatch):
    (root / REPOSITORY / "config.json").unlink()
    limit(monkeypatch, 1)
    with running_hub(root) as hub:
        fetch(settings(hub, tmp_path))
