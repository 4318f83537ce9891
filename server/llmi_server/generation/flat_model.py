"""Decoders built as Llama is, over one flat list of tokens: nothing is padded, prompts and answers go together.

Between the matrix products as little is done as can be, because with few texts each small operation costs as much as
its dispatch: the queries and keys of all heads are turned by one complex product, and activations, residuals and the
norms' weights are part of the products.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from llmi_server.generation.flat_grid import FlatGrid, Places, lay_out
from llmi_server.generation.packed_linear import take
from llmi_server.generation.sequence_model import UnsuitableModelError
from llmi_server.generation.steps import Copy, Relayout, Slice

_ARCHITECTURES = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
_ROTATIONS = frozenset({"default", "linear", "llama3", "yarn"})
"""Position encodings that turn every token by its place alone."""


class FlatModel:
    """Computes slices as the tokens of one list; only attention looks at one text after another."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Take the weights over: the model itself cannot compute afterwards.

        Raises:
            UnsuitableModelError: It is built in another way.
        """
        _refuse_unsuitable(model)
        inner: Any = model.model
        self._embed = inner.embed_tokens
        self._rotary = inner.rotary_emb
        self._layers = [_Layer(layer, number) for number, layer in enumerate(inner.layers)]
        self._eps = float(inner.norm.variance_epsilon)
        self._head = take([model.lm_head], scale=inner.norm.weight)
        self._grid = FlatGrid(layers=len(self._layers), heads=self._layers[0].key_heads, width=self._layers[0].width)
        self._turns = self._turns_of(1)

    @torch.inference_mode()
    def relayout(self, relayout: Relayout) -> None:
        """Take another shape."""
        self._grid.relayout(relayout)
        self._turns = self._turns_of(relayout.layout.capacity)

    @torch.inference_mode()
    def copy(self, copy: Copy) -> None:
        """Let a row begin as another does."""
        self._grid.copy(copy)

    @torch.inference_mode()
    def compute(self, slices: Sequence[Slice]) -> torch.Tensor:
        """Return the scores of the next token for each slice that samples, [sampling slices, vocabulary]."""
        places = lay_out(slices, heads=self._layers[0].key_heads)
        states = self._embed(places.tokens)
        turns = self._turns[places.positions][:, None]
        for layer in self._layers:
            states = layer.compute(states, turns, self._grid, places)
        return self._head(_normed(states[places.ends], self._eps))

    def _turns_of(self, count: int) -> torch.Tensor:
        """Return how far each place turns each pair of numbers, as complex factors [places, 1/2 width]."""
        cosines, sines = self._rotary(torch.zeros(1), torch.arange(count)[None])
        half = cosines.shape[-1] // 2
        if 2 * half != self._layers[0].width:
            raise UnsuitableModelError("only a part of each head is turned")
        return torch.complex(cosines[0, :, :half].contiguous(), sines[0, :, :half].contiguous())


class _Layer:
    """One layer's weights, taken from a layer of Transformers."""

    def __init__(self, layer: Any, number: int) -> None:  # noqa: ANN401 - each architecture has a class of its own
        attention, feed = layer.self_attn, layer.mlp
        self._number = number
        self.width = int(attention.head_dim)
        self.key_heads = attention.k_proj.out_features // self.width
        self._heads = attention.q_proj.out_features // self.width
        self._scale = float(attention.scaling)
        self._eps = float(layer.input_layernorm.variance_epsilon)
        self._head_norm = self._head_norm_of(attention)
        before, between = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        turned = [_interleaved(attention.q_proj, self.width), _interleaved(attention.k_proj, self.width)]
        self._mix = take([*turned, attention.v_proj], scale=before)
        self._gather = take([attention.o_proj])
        self._gate = take([feed.gate_proj], scale=between)
        self._up = take([feed.up_proj], scale=between)
        self._down = take([feed.down_proj])

    def compute(self, states: torch.Tensor, turns: torch.Tensor, grid: FlatGrid, places: Places) -> torch.Tensor:
        """Return the states after this layer, [tokens, hidden size]."""
        turned = self._heads + self.key_heads
        mixed = self._mix(_normed(states, self._eps)).view(len(states), -1, self.width)
        heads = mixed[:, :turned]
        if self._head_norm is not None:
            heads = _normed(heads, self._eps) * self._head_norm
        pairs = torch.view_as_complex(heads.reshape(len(states), turned, -1, 2)) * turns
        heads = torch.view_as_real(pairs).view(len(states), turned, self.width)
        grid.write(self._number, places, heads[:, self._heads :], mixed[:, turned:])
        states = self._gather.plus(grid.attend(self._number, places, heads[:, : self._heads], self._scale), states)
        inputs = _normed(states, self._eps)
        return self._down.plus(self._up.times(inputs, self._gate.swish(inputs)), states)

    def _head_norm_of(self, attention: Any) -> torch.Tensor | None:  # noqa: ANN401 - likewise
        """Return the weights of the norms of queries and keys, where a model has them, [heads, width]."""
        if not hasattr(attention, "q_norm"):
            return None
        query = attention.q_norm.weight.expand(self._heads, self.width)
        key = attention.k_norm.weight.expand(self.key_heads, self.width)
        return torch.cat([query, key]).view(-1, 2, self.width // 2).transpose(1, 2).reshape(-1, self.width).detach()


def _interleaved(linear: torch.nn.Linear, width: int) -> torch.nn.Linear:
    """Put the two numbers of each turned pair side by side: Transformers has them half a head apart."""
    for tensor in (linear.weight, linear.bias):
        if tensor is not None:
            halves = tensor.data.view(-1, 2, width // 2, *tensor.shape[1:])
            tensor.data = halves.transpose(1, 2).reshape(tensor.shape)
    return linear


def _normed(states: torch.Tensor, eps: float) -> torch.Tensor:
    return torch.nn.functional.rms_norm(states, states.shape[-1:], None, eps)


def _refuse_unsuitable(model: PreTrainedModel) -> None:
    config = model.config
    if type(model).__name__ not in _ARCHITECTURES:
        raise UnsuitableModelError("it is not built as Llama is")
    if config.hidden_act not in {"silu", "swish"}:
        raise UnsuitableModelError(f"its activation is {config.hidden_act}")
    if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()) or (
        getattr(config, "sliding_window", None) and not hasattr(config, "layer_types")
    ):
        raise UnsuitableModelError("its attention has a window")
    rotation = getattr(config, "rope_parameters", None) or {}
    if rotation.get("rope_type", "default") not in _ROTATIONS:
        raise UnsuitableModelError("its position encoding depends on more than a token's place")
