"""ModernBERT: the norm comes before each half of a layer, positions turn vectors, most layers look near by only."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from llmi_server.engine.encoder.attention import Group, Turn, attend, groups_of
from llmi_server.engine.encoder.family import NotOursError
from llmi_server.engine.encoder.linear import Step, activate, activation_named
from llmi_server.engine.encoder.norm import Norm
from llmi_server.engine.encoder.tensors import Tensors
from llmi_server.engine.protocol import EncodedText

BASE = "model."
_LOCAL, _GLOBAL = "sliding_attention", "full_attention"
_DEFAULTS: dict[str, Any] = {"norm_eps": 1e-5, "norm_bias": False, "attention_bias": False, "mlp_bias": False,
                             "hidden_activation": "gelu", "num_attention_heads": 12, "num_hidden_layers": 22,
                             "hidden_size": 768, "local_attention": 128, "global_attn_every_n_layers": 3,
                             "global_rope_theta": 160_000.0, "local_rope_theta": 10_000.0}  # fmt: skip


class _Layer:
    def __init__(self, tensors: Tensors, config: Mapping[str, Any], number: int, kind: str) -> None:
        width, prefix = config["hidden_size"], f"layers.{number}."

        def norm(name: str) -> Norm:
            return Norm.of(tensors, prefix + name, width, config["norm_eps"], biased=config["norm_bias"])

        def linear(name: str, *shape: int | None, biased: bool) -> Step:
            bias = tensors.own(f"{prefix}{name}.bias", shape[0]) if biased else None
            return tensors.lay(tensors.own(f"{prefix}{name}.weight", *shape), bias)

        self.kind = kind
        self._heads = config["num_attention_heads"]
        self._activation = activation_named(config["hidden_activation"])
        self._attention_norm = norm("attn_norm") if number else None
        self._mix = linear("attn.Wqkv", 3 * width, width, biased=config["attention_bias"])
        self._out = linear("attn.Wo", width, width, biased=config["attention_bias"])
        self._norm = norm("mlp_norm")
        self._up = linear("mlp.Wi", None, width, biased=config["mlp_bias"])
        self._down = linear("mlp.Wo", width, None, biased=config["mlp_bias"])

    def __call__(
        self,
        rows: torch.Tensor,
        groups: Sequence[Group],
        biases: Sequence[torch.Tensor | None],
        turns: Sequence[Turn | None],
    ) -> torch.Tensor:
        mixed = self._mix(self._attention_norm(rows) if self._attention_norm else rows)
        rows = self._out(attend(mixed, self._heads, groups, biases=biases, turns=turns), rows)
        value, gate = self._up(self._norm(rows)).chunk(2, dim=-1)
        return self._down(activate(value, self._activation) * gate, rows)


class ModernEncoder:
    """Token ids in, one vector for each token out.

    Raises:
        NotOursError: A weight is missing or of another shape, or the configuration asks for what we do not do.
    """

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        whole = _DEFAULTS | dict(config)
        tensors.choose_prefix(BASE, "embeddings.tok_embeddings.weight")
        self.width, self.epsilon = whole["hidden_size"], whole["norm_eps"]
        self.words = tensors.table("embeddings.tok_embeddings.weight", config.get("vocab_size"), self.width)
        self._norm = Norm.of(tensors, "embeddings.norm", self.width, self.epsilon, biased=whole["norm_bias"])
        kinds = _kinds(whole)
        self._layers = tensors.layers(lambda number: _Layer(tensors, whole, number, kinds[number]), len(kinds))
        self.divides = tensors.held
        self._last_norm = Norm.of(tensors, "final_norm", self.width, self.epsilon, biased=whole["norm_bias"])
        self._reach = whole["local_attention"] // 2
        size = self.width // whole["num_attention_heads"]
        self._speeds = {kind: _speeds(_theta(whole, kind), size) for kind in (_LOCAL, _GLOBAL)}

    def __call__(self, batch: Sequence[EncodedText]) -> torch.Tensor:
        """Return [tokens of all texts, hidden]."""
        groups = groups_of(list(map(len, batch)))
        ids = torch.from_numpy(np.concatenate([np.array(text.ids, dtype=np.int64) for text in batch]))
        rows = self._norm(functional.embedding(ids, self.words))
        biases: dict[str, list[torch.Tensor | None]] = {
            _GLOBAL: [None] * len(groups),
            _LOCAL: [self._nearby(group.tokens) for group in groups],
        }
        turns = {
            kind: [_turn(group.tokens, speeds, rows.dtype) for group in groups] for kind, speeds in self._speeds.items()
        }
        for layer in self._layers:
            rows = layer(rows, groups, biases[layer.kind], turns[layer.kind])
        return self._last_norm(rows)

    def _nearby(self, tokens: int) -> torch.Tensor | None:
        if tokens <= self._reach + 1:
            return None
        places = torch.arange(tokens)
        near: torch.Tensor = (places[:, None] - places[None, :]).abs() <= self._reach
        return near[None]


def _kinds(config: Mapping[str, Any]) -> list[str]:
    stated = config.get("layer_types")
    if stated is None:
        every = config["global_attn_every_n_layers"]
        return [_LOCAL if number % every else _GLOBAL for number in range(config["num_hidden_layers"])]
    if len(stated) != config["num_hidden_layers"] or not set(stated) <= {_LOCAL, _GLOBAL}:
        raise NotOursError("layer_types")
    return list(stated)


def _theta(config: Mapping[str, Any], kind: str) -> float:
    stated = config.get("rope_parameters")
    if stated is None:
        return float(config["local_rope_theta" if kind == _LOCAL else "global_rope_theta"])
    parameters = stated.get(kind)
    if not isinstance(parameters, dict) or parameters.get("rope_type", "default") != "default":
        raise NotOursError("rope_parameters")
    return float(parameters["rope_theta"])


def _speeds(theta: float, size: int) -> torch.Tensor:
    """Return how fast each pair of a head's numbers turns with the position."""
    return 1.0 / (theta ** (torch.arange(0, size, 2, dtype=torch.float) / size))


def _turn(tokens: int, speeds: torch.Tensor, kind: torch.dtype) -> Turn:
    angles = torch.arange(tokens).float()[:, None] * speeds
    angles = torch.cat((angles, angles), dim=-1)
    cos, sin = angles.cos().to(kind).float(), angles.sin().to(kind).float()

    def turn(vectors: torch.Tensor) -> torch.Tensor:
        exact = vectors.float()
        one, other = exact.chunk(2, dim=-1)
        return (exact * cos + torch.cat((-other, one), dim=-1) * sin).to(vectors.dtype)

    return turn
