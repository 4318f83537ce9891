"""Loading a model into one of our own encoders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llmi_api.launch import Precision, Task
from llmi_server.engine.encoder.family import NotOursError, family_of
from llmi_server.engine.encoder.heads import Encoder, Head, build
from llmi_server.engine.encoder.int8 import kernels_for_int8, lay_in_int8
from llmi_server.engine.encoder.tensors import Tensors
from llmi_server.kernels.library import Kernels, find_kernels


@dataclass(frozen=True, kw_only=True)
class LoadedEncoder:
    """An encoder and its head.

    Attributes:
        encoder: The encoder.
        head: What comes after it; None for embeddings.
        reference: Makes both in float32, to be used once: it reads layers as it comes to them.
    """

    encoder: Encoder
    head: Head | None
    reference: Callable[[], tuple[Encoder, Head | None]]


def load_encoder(
    config: Mapping[str, Any], weights: Sequence[Path], *, task: Task, precision: Precision, device: str = "cpu"
) -> LoadedEncoder:
    """Return an encoder and its head.

    Args:
        config: The model's configuration.
        weights: Its safetensors files.
        task: What it is wanted for.
        precision: Number format of its arithmetic.
        device: Where the weights are put; `llmi_server.engine.gpu` computes on a GPU.

    Raises:
        NotOursError: The model is not exactly of a shape that we compute.
    """
    family_of(config, task)
    if precision is Precision.INT8:
        tensors = Tensors(weights, torch.float32, lay_in_int8)
    else:
        tensors = Tensors(weights, getattr(torch, precision), device=device)
    with torch.inference_mode():
        encoder, head = build(config, task, tensors)
    if head is not None and task is not Task.FILL_MASK and len(labels_of(config, head.labels)) != head.labels:
        raise NotOursError("id2label")
    return LoadedEncoder(encoder=encoder, head=head, reference=lambda: build(config, task, tensors.reference()))


def kernels_in(precision: str) -> Kernels | None:
    """Return the kernels of ours that compute in a precision; None where PyTorch's do."""
    if precision == Precision.INT8:
        return kernels_for_int8()
    return find_kernels() if precision == Precision.FLOAT32 else None


def engine_name(precision: Precision, device: str = "cpu") -> str:
    """Return what computes, for people: ours, whose kernels, and PyTorch's version."""
    kernels = kernels_in(precision) if device == "cpu" else None
    own = [f"kernels for {kernels.level}"] if kernels else ["CUDA graphs"] if device != "cpu" else []
    return ", ".join(["padding-free", *own, f"torch {torch.__version__}"])


def labels_of(config: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Return the names of the classes; where the configuration has none, those that Transformers gives."""
    stated = config.get("id2label")
    if not isinstance(stated, dict):
        return tuple(f"LABEL_{number}" for number in range(count if config.get("num_labels", 2) == count else 0))
    names = {int(number): str(name) for number, name in stated.items()}
    return tuple(names[number] for number in sorted(names))
