"""Loading a model into one of our own encoders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llmi_api.launch import Precision, Task
from llmi_server.engine.encoder.family import NotOursError, family_of
from llmi_server.engine.encoder.heads import Encoder, Head, build
from llmi_server.engine.encoder.int8 import Int8Linear
from llmi_server.engine.encoder.tensors import Tensors

NAME = f"padding-free, torch {torch.__version__}"


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
    config: Mapping[str, Any], weights: Sequence[Path], *, task: Task, precision: Precision
) -> LoadedEncoder:
    """Return an encoder and its head.

    Raises:
        NotOursError: The model is not exactly of a shape that we compute.
    """
    family_of(config, task)
    eight_bits = precision is Precision.INT8
    tensors = Tensors(weights, torch.float32, Int8Linear) if eight_bits else Tensors(weights, getattr(torch, precision))
    with torch.inference_mode():
        encoder, head = build(config, task, tensors)
    if head is not None and task is not Task.FILL_MASK and len(labels_of(config, head.labels)) != head.labels:
        raise NotOursError("id2label")
    return LoadedEncoder(encoder=encoder, head=head, reference=lambda: build(config, task, tensors.reference()))


def labels_of(config: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Return the names of the classes; where the configuration has none, those that Transformers gives."""
    stated = config.get("id2label")
    if not isinstance(stated, dict):
        return tuple(f"LABEL_{number}" for number in range(count if config.get("num_labels", 2) == count else 0))
    names = {int(number): str(name) for number, name in stated.items()}
    return tuple(names[number] for number in sorted(names))
