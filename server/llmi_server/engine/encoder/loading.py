"""Loading a model into one of our own encoders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from llmi_api.launch import Precision, Task
from llmi_server.engine.encoder.family import NotOursError, family_of
from llmi_server.engine.encoder.heads import Encoder, Head, build
from llmi_server.engine.encoder.tensors import Tensors

NAME = f"padding-free, torch {torch.__version__}"


def load_encoder(
    config: Mapping[str, Any], weights: Sequence[Path], *, task: Task, precision: Precision
) -> tuple[Encoder, Head | None]:
    """Return an encoder and its head.

    Raises:
        NotOursError: The model is not exactly of a shape that we compute.
    """
    family_of(config, task)
    with torch.inference_mode():
        encoder, head = build(config, task, Tensors(weights, getattr(torch, precision)))
    if head is not None and task is not Task.FILL_MASK and len(labels_of(config, head.labels)) != head.labels:
        raise NotOursError("id2label")
    return encoder, head


def labels_of(config: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Return the names of the classes; where the configuration has none, those that Transformers gives."""
    stated = config.get("id2label")
    if not isinstance(stated, dict):
        return tuple(f"LABEL_{number}" for number in range(count if config.get("num_labels", 2) == count else 0))
    names = {int(number): str(name) for number, name in stated.items()}
    return tuple(names[number] for number in sorted(names))
