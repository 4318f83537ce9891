"""BERT and its kin: the norm comes after each half of a layer."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from llmi_server.engine.encoder.attention import Hear, attend, groups_of
from llmi_server.engine.encoder.family import MPNET_PADDING, Family
from llmi_server.engine.encoder.linear import Linear, Step, activation_named
from llmi_server.engine.encoder.norm import Norm
from llmi_server.engine.encoder.tensors import Tensors
from llmi_server.engine.protocol import EncodedText
from llmi_server.kernels.encoder import EncoderLayer, FusedEncoder, can_encode
from llmi_server.kernels.library import find_kernels

_BUCKETS, _FARTHEST = 32, 128
"""Of MPNet's bias by distance; its configuration says otherwise and its code does not listen."""


@dataclass(frozen=True, kw_only=True)
class _Build:
    width: int
    heads: int
    activation: str
    epsilon: float


class _Layer:
    def __init__(self, tensors: Tensors, family: Family, number: int, build: "_Build") -> None:
        names, prefix, width = family.names, family.layer.format(number), build.width
        parts = (names.query, names.key, names.value)
        mixing = torch.cat([tensors.own(f"{prefix}{part}.weight", width, width) for part in parts])
        self._mix = tensors.lay(mixing, torch.cat([tensors.own(f"{prefix}{part}.bias", width) for part in parts]))

        def linear(name: str, *shape: int | None, activation: str = "none") -> Step:
            bias = tensors.own(f"{prefix}{name}.bias", shape[0])
            return tensors.lay(tensors.own(f"{prefix}{name}.weight", *shape), bias, activation)

        self._out = linear(names.out, width, width)
        self._up = linear(names.up, None, width, activation=build.activation)
        self._down = linear(names.down, width, None)
        self._out_norm = Norm.of(tensors, prefix + names.out_norm, width, build.epsilon)
        self._down_norm = Norm.of(tensors, prefix + names.down_norm, width, build.epsilon)

    def __call__(self, rows: torch.Tensor, hear: Hear) -> torch.Tensor:
        rows = self._out_norm(self._out(hear(self._mix(rows)), rows))
        return self._down_norm(self._down(self._up(rows), rows))

    def packed(self) -> EncoderLayer | None:
        """Return its weights, if its products are by our own kernels."""
        steps = (self._mix, self._out, self._up, self._down)
        mix, out, up, down = (step.packed() if isinstance(step, Linear) else None for step in steps)
        out_norm, down_norm = self._out_norm.parts(), self._down_norm.parts()
        if mix is None or out is None or up is None or down is None or out_norm is None or down_norm is None:
            return None
        return EncoderLayer(mix=mix, out=out, up=up, down=down, out_norm=out_norm, down_norm=down_norm)


def _fused(layers: Iterable[_Layer], build: _Build) -> FusedEncoder | None:
    """Return what computes all layers in one call; None where their products are not by our own kernels."""
    kernels = find_kernels()
    if kernels is None or not can_encode(build.width // build.heads):
        return None
    packed = [layer.packed() for layer in layers]
    ours = [each for each in packed if each is not None]
    if not ours or len(ours) < len(packed):
        return None
    return FusedEncoder(kernels, ours, heads=build.heads, epsilon=build.epsilon, activation=build.activation)


class PostNormEncoder:
    """Token ids in, one vector for each token out.

    Attributes:
        heads: Number of heads.
        by_distance: Whether scores depend on the distance between tokens.

    Raises:
        NotOursError: A weight is missing or of another shape.
    """

    def __init__(self, config: Mapping[str, Any], family: Family, tensors: Tensors) -> None:
        tensors.choose_prefix(family.base, "embeddings.word_embeddings.weight")
        self._family = family
        width, heads = family.read(config, "hidden_size"), family.read(config, "num_attention_heads")
        self.heads, self.by_distance = heads, family.relative_bias is not None
        epsilon = family.read(config, "layer_norm_eps")
        self._padding = MPNET_PADDING if family.relative_bias else family.read(config, "pad_token_id")
        self.words = tensors.table("embeddings.word_embeddings.weight", config.get("vocab_size"), width)
        self._positions = tensors.table(
            "embeddings.position_embeddings.weight", config.get("max_position_embeddings"), width
        )
        self._types = tensors.table("embeddings.token_type_embeddings.weight", None, width) if family.types else None
        self._norm = Norm.of(tensors, "embeddings.LayerNorm", width, epsilon)
        self._distances = tensors.own(family.relative_bias, _BUCKETS, heads) if family.relative_bias else None
        activation = activation_named(family.read(config, "hidden_act"))
        build = _Build(width=width, heads=heads, activation=activation, epsilon=epsilon)
        count = family.read(config, "num_hidden_layers")
        self._layers = tensors.layers(lambda number: _Layer(tensors, family, number, build), count)
        self._fused = _fused(self._layers, build) if tensors.held and self._distances is None else None
        self.divides = tensors.held and self._fused is None
        self.width, self.epsilon = width, epsilon

    def __call__(self, batch: Sequence[EncodedText]) -> torch.Tensor:
        """Return [tokens of all texts, hidden]."""
        lengths = list(map(len, batch))
        rows = self.embed(torch.from_numpy(self.indices(batch)))
        if self._fused is not None:
            return self._fused.compute(rows, lengths)
        groups = groups_of(lengths)
        biases = [self._bias(group.tokens) for group in groups]
        turns = [None] * len(groups)
        return self.layers(rows, lambda mixed: attend(mixed, self.heads, groups, biases=biases, turns=turns))

    def indices(self, batch: Sequence[EncodedText]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return each token's rows in the tables of words, positions and types, [3, tokens of all texts]."""
        return np.concatenate([np.array([text.ids, self._places(text), text.type_ids]) for text in batch], axis=1)

    def embed(self, indices: torch.Tensor) -> torch.Tensor:
        """Return the rows that layers begin with, [tokens, hidden], from what `indices` gives."""
        ids, places, types = indices
        rows = functional.embedding(ids, self.words) + functional.embedding(places, self._positions)
        if self._types is not None:
            rows += functional.embedding(types, self._types)
        return self._norm(rows)

    def layers(self, rows: torch.Tensor, hear: Hear) -> torch.Tensor:
        """Return the rows after all layers, one by one, with attention as it is given."""
        for layer in self._layers:
            rows = layer(rows, hear)
        return rows

    def _places(self, text: EncodedText) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return each token's row in the table of positions; padding that a text spells out has one of its own."""
        if not self._family.offset_positions:
            return np.arange(len(text), dtype=np.int64)
        counted = (np.array(text.ids) != self._padding).astype(np.int64)
        places: np.ndarray[Any, np.dtype[np.int64]] = np.cumsum(counted) * counted + self._padding
        return places

    def _bias(self, tokens: int) -> torch.Tensor | None:
        if self._distances is None:
            return None
        places = torch.arange(tokens)
        distance = places[:, None] - places[None, :]
        return functional.embedding(_bucket(distance), self._distances).permute(2, 0, 1).contiguous()


def _bucket(distance: torch.Tensor) -> torch.Tensor:
    """Return the bucket of each distance: near ones have their own, far ones share by logarithm."""
    half = _BUCKETS // 2
    own = half // 2
    ahead, size = (distance < 0).long() * half, distance.abs()
    scale = math.log(_FARTHEST / own)
    shared = own + (torch.log(size.float() / own) / scale * (half - own)).long()
    return ahead + torch.where(size < own, size, shared.clamp(max=half - 1))
