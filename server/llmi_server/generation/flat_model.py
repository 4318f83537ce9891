"""Decoders built as Llama is, over one flat list of tokens: nothing is padded, prompts and answers go together.

Between the matrix products as little is done as can be, because with few texts each small operation costs as much as
its dispatch: the queries and keys of all heads are turned by one complex product, and activations, residuals and the
norms' weights are part of the products.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from llmi_server.generation.flat_grid import FlatGrid, Places, grid_of, lay_out
from llmi_server.generation.packed_linear import OwnProduct, take
from llmi_server.generation.sequence_model import UnsuitableModelError
from llmi_server.generation.steps import Copy, Relayout, Slice
from llmi_server.kernels.decoder import DecoderLayer, FusedDecoder
from llmi_server.kernels.library import can_attend, find_kernels

_ARCHITECTURES = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
_ROTATIONS = frozenset({"default", "linear", "llama3", "yarn"})
"""Position encodings that turn every token by its place alone."""

_NEAR = 512
"""Tokens up to which a prompt is computed by the kernels token by token; PyTorch's attention of many is faster then."""


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
        self._grid = grid_of(layers=len(self._layers), heads=self._layers[0].key_heads, width=self._layers[0].width)
        self._turns = self._turns_of(1)
        self._decoder = _decoder_of(self._layers)

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
        states = self._through_layers(self._embed(places.tokens), places)
        return self._head(_normed(states[places.ends], self._eps))

    def _through_layers(self, states: torch.Tensor, places: Places) -> torch.Tensor:
        if self._decoder is not None and all(prompt.length <= _NEAR for prompt in places.prompts):
            blocks, rows, positions = self._grid.blocks, places.rows, places.positions
            return self._decoder.compute(states, self._turns, blocks, rows=rows, positions=positions)
        for layer in self._layers:
            states = layer.compute(states, self._turns, self._grid, places)
        return states

    def _turns_of(self, count: int) -> torch.Tensor:
        """Return how far each place turns each pair of numbers, as cosine and sine [places, 1/2 width, 2]."""
        cosines, sines = self._rotary(torch.zeros(1), torch.arange(count)[None])
        half = cosines.shape[-1] // 2
        if 2 * half != self._layers[0].width:
            raise UnsuitableModelError("only a part of each head is turned")
        return torch.stack((cosines[0, :, :half], sines[0, :, :half]), dim=-1).contiguous()


class _Layer:
    """One layer's weights, taken from a layer of Transformers."""

    def __init__(self, layer: Any, number: int) -> None:  # noqa: ANN401 - each architecture has a class of its own
        attention, feed = layer.self_attn, layer.mlp
        self._number = number
        self.width = int(attention.head_dim)
        self.key_heads = attention.k_proj.out_features // self.width
        self.heads = attention.q_proj.out_features // self.width
        self.scale = float(attention.scaling)
        self.eps = float(layer.input_layernorm.variance_epsilon)
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
        mixed = self._mix(_normed(states, self.eps)).view(len(states), -1, self.width)
        if self._head_norm is not None:
            turned = self.heads + self.key_heads
            heads = _normed(mixed[:, :turned], self.eps) * self._head_norm
            mixed = torch.cat([heads, mixed[:, turned:]], dim=1)
        queries = grid.turn(self._number, places, mixed, turns, queries=self.heads)
        states = self._gather.plus(grid.attend(self._number, places, queries, self.scale), states)
        inputs = _normed(states, self.eps)
        return self._down.plus(self._up.times(inputs, self._gate.swish(inputs)), states)

    def packed(self) -> DecoderLayer | None:
        """Return its weights, if it does what `FusedDecoder` does and no more, and by our own kernels."""
        names = ("mix", "gather", "gate", "up", "down")
        products = {name: getattr(self, f"_{name}") for name in names}
        if self._head_norm is not None or not all(isinstance(each, OwnProduct) for each in products.values()):
            return None
        return DecoderLayer(**{name: each.weights for name, each in products.items()})

    def _head_norm_of(self, attention: Any) -> torch.Tensor | None:  # noqa: ANN401 - likewise
        """Return the weights of the norms of queries and keys, where a model has them, [heads, width]."""
        if not hasattr(attention, "q_norm"):
            return None
        query = attention.q_norm.weight.expand(self.heads, self.width)
        key = attention.k_norm.weight.expand(self.key_heads, self.width)
        return torch.cat([query, key]).view(-1, 2, self.width // 2).transpose(1, 2).reshape(-1, self.width).detach()


def _decoder_of(layers: Sequence[_Layer]) -> FusedDecoder | None:
    """Return what computes all layers in one call; None where one of them needs more than that."""
    kernels, first = find_kernels(), layers[0]
    packed = [layer.packed() for layer in layers]
    alike = len({(layer.heads, layer.key_heads, layer.width, layer.eps, layer.scale) for layer in layers}) == 1
    whole = [each for each in packed if each is not None]
    if kernels is None or len(whole) < len(layers) or not alike or not can_attend(first.width):
        return None
    return FusedDecoder(
        kernels,
        whole,
        heads=first.heads,
        key_heads=first.key_heads,
        width=first.width,
        epsilon=first.eps,
        scale=first.scale,
    )


def _interleaved(linear: torch.nn.Linear, width: int) -> torch.nn.Linear:
    """Put the two numbers of each turned pair side by side: Transformers has them half a head apart."""
    for tensor in (linear.weight, linear.bias):
        if tensor is not None:
            halves = tensor.data.view(-1, 2, width // 2, *tensor.shape[1:])
            tensor.data = halves.transpose(1, 2).reshape(tensor.shape)
    return linear


def _normed(states: torch.Tensor, eps: float) -> torch.Tensor:
    kernels = find_kernels()
    if kernels is not None:
        return kernels.rms_norm(states, eps)
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
