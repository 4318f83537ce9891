"""What comes after the encoder: logits over the vocabulary, or over labels."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.nn import functional

from llmi_api.launch import Task
from llmi_server.engine.encoder.family import NotOursError, Projection, family_of, post_norm_family
from llmi_server.engine.encoder.linear import Linear, activation_named
from llmi_server.engine.encoder.modern import ModernEncoder
from llmi_server.engine.encoder.norm import Norm
from llmi_server.engine.encoder.post_norm import PostNormEncoder
from llmi_server.engine.encoder.tensors import Tensors
from llmi_server.engine.protocol import EncodedText


class Encoder(Protocol):
    """Token ids in, one vector for each token out.

    Attributes:
        words: Table of the words' vectors.
        width: Numbers of a vector.
        epsilon: Of the norms.
        divides: Whether threads may compute shares of a batch, each through all layers at its own pace. Not where
            layers are read as they are used: each thread would hold some of its own. Nor where all threads share every
            step out among them: then none waits for one whose core is slower.
    """

    words: torch.Tensor
    width: int
    epsilon: float
    divides: bool

    def __call__(self, batch: Sequence[EncodedText]) -> torch.Tensor:
        """Return [tokens of all texts, hidden]."""
        ...


class Head:
    """A chain of steps over rows."""

    def __init__(self, *steps: Callable[[torch.Tensor], torch.Tensor], labels: int = 0, pooling: str = "cls") -> None:
        self._steps = steps
        self.labels = labels
        self.pooling = pooling

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the logits of the rows."""
        for step in self._steps:
            rows = step(rows)
        return rows


class _Tied:
    """The vocabulary's embeddings as the last step: not packed, since they are in use elsewhere."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return functional.linear(rows, self._weight, self._bias)


def build(config: Mapping[str, Any], task: Task, tensors: Tensors) -> tuple[Encoder, Head | None]:
    """Return an encoder and the head that the task needs.

    Raises:
        NotOursError: The model is not of a shape that we compute.
    """
    kind = family_of(config, task)
    modern = kind == "modernbert"
    encoder: Encoder = (
        ModernEncoder(config, tensors) if modern else PostNormEncoder(config, post_norm_family(kind), tensors)
    )
    if task is Task.EMBEDDINGS:
        return encoder, None
    return encoder, (_modern_head if modern else _post_norm_head)(config, task, tensors, encoder)


def _post_norm_head(config: Mapping[str, Any], task: Task, tensors: Tensors, encoder: Encoder) -> Head:
    family = post_norm_family(family_of(config, task))
    width = encoder.width
    if task is Task.FILL_MASK:
        dense, norm, decoder, biases = family.vocabulary_head
        activation = activation_named(family.vocabulary_activation or family.read(config, "hidden_act"))
        return Head(
            _linear(tensors, Projection(name=dense, activation=activation), width, width),
            _norm(tensors, norm, width, encoder.epsilon),
            _decoder(config, tensors, encoder, decoder, biases),
        )
    if task is Task.TOKEN_CLASSIFICATION:
        return Head(_linear(tensors, Projection(name="classifier"), None, width), labels=_labels(tensors, "classifier"))
    first, last = family.text_head
    steps = _linear(tensors, first, width, width), _linear(tensors, last, None, width)
    return Head(*steps, labels=_labels(tensors, last.name))


def _modern_head(config: Mapping[str, Any], task: Task, tensors: Tensors, encoder: Encoder) -> Head:
    width, biased = encoder.width, bool(config.get("classifier_bias", False))
    activation = activation_named(config.get("classifier_activation", "gelu"))
    dense = Linear(
        tensors.get("head.dense.weight", width, width),
        tensors.get("head.dense.bias", width) if biased else None,
        activation,
    )
    norm = _norm(tensors, "head.norm", width, encoder.epsilon, biased=bool(config.get("norm_bias", False)))
    if task is Task.FILL_MASK:
        biases = ("decoder.bias",) if config.get("decoder_bias", True) else ()
        return Head(dense, norm, _decoder(config, tensors, encoder, "decoder.weight", biases))
    pooling = config.get("classifier_pooling", "cls")
    if pooling not in ("cls", "mean"):
        raise NotOursError(str(pooling))
    last = _linear(tensors, Projection(name="classifier"), None, width)
    return Head(dense, norm, last, labels=_labels(tensors, "classifier"), pooling=pooling)


def _labels(tensors: Tensors, name: str) -> int:
    return len(tensors.get(f"{name}.bias", None))


def _linear(tensors: Tensors, step: Projection, *shape: int | None) -> Linear:
    weight = tensors.get(f"{step.name}.weight", *shape)
    return Linear(weight, tensors.get(f"{step.name}.bias", len(weight)), step.activation)


def _norm(tensors: Tensors, name: str, width: int, epsilon: float, *, biased: bool = True) -> Norm:
    bias = tensors.get(f"{name}.bias", width) if biased else None
    return Norm(tensors.get(f"{name}.weight", width), bias, epsilon)


def _decoder(config: Mapping[str, Any], tensors: Tensors, encoder: Encoder, name: str, biases: Sequence[str]) -> _Tied:
    size = len(encoder.words)
    tied = config.get("tie_word_embeddings", True)
    weight = encoder.words if tied else tensors.get(name, size, encoder.width)
    there = [bias for bias in biases if tensors.has(bias)]
    if biases and not there:
        raise NotOursError(biases[0])
    return _Tied(weight, tensors.get(there[0], size) if there else None)
