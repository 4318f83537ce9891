"""All layers of a decoder in one call: what Python does between two products takes as long as one of few rows."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

from llmi_server.kernels.library import Kernels, PackedWeights, can_attend, is_dense
from llmi_server.kernels.structures import ADDRESS, COUNT, product_fields, require_fit, tell_weights


@dataclass(frozen=True, kw_only=True)
class DecoderLayer:
    """A layer as Llama has it, its norms' weights part of the products after them.

    Attributes:
        mix: To queries, keys and values side by side, the two numbers that are turned together as neighbours.
        gather: From what all heads have seen.
        gate: What SiLU is taken of.
        up: What that is multiplied by.
        down: Back again.
    """

    mix: PackedWeights
    gather: PackedWeights
    gate: PackedWeights
    up: PackedWeights
    down: PackedWeights


class _Layer(ctypes.Structure):
    _fields_ = [
        *product_fields(("mix", "gather", "gate", "up", "down")),
        ("block", ADDRESS),
    ]


class _Job(ctypes.Structure):
    _fields_ = [
        *((name, ADDRESS) for name in ("states", "halfway", "normed", "mixed", "queries", "seen", "fed", "layers")),
        *((name, ADDRESS) for name in ("turns", "rows", "positions", "claims")),
        *((name, COUNT) for name in ("count", "tokens", "hidden", "inner", "heads", "grid_rows", "key_heads")),
        *((name, COUNT) for name in ("capacity", "width")),
        ("epsilon", ctypes.c_float),
        ("scale", ctypes.c_float),
        ("threads", ctypes.c_int),
    ]


class FusedDecoder:
    """Computes a list of tokens through all layers; each token sees its text up to itself.

    Args:
        kernels: What it computes with.
        layers: The layers, all of the same shape.
        heads: Number of the queries' heads.
        key_heads: Number of the keys' heads.
        width: Of a head; one for which `can_attend` holds.
        epsilon: Of the norms.
        scale: What scores are multiplied by.

    Raises:
        ValueError: Shapes do not fit each other, or there is no kernel for the heads.
    """

    def __init__(
        self,
        kernels: Kernels,
        layers: Sequence[DecoderLayer],
        *,
        heads: int,
        key_heads: int,
        width: int,
        epsilon: float,
        scale: float,
    ) -> None:
        self._kernels, self._kept = kernels, tuple(layers)
        self._heads, self._key_heads, self._width = heads, key_heads, width
        self._epsilon, self._scale = epsilon, scale
        self._hidden, self._inner = layers[0].down.out, layers[0].up.out
        if not can_attend(width) or heads % key_heads:
            raise ValueError(f"there is no kernel for {heads} heads of {width} numbers to {key_heads} of keys")
        for layer in layers:
            self._check(layer)
        self._layers = (_Layer * len(layers))(*map(_addresses, layers))

    def compute(
        self,
        states: torch.Tensor,
        turns: torch.Tensor,
        blocks: Sequence[torch.Tensor],
        *,
        rows: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Return the states after the last layer, and write keys and values into the blocks.

        Args:
            states: [tokens, hidden].
            turns: Cosine and sine of each pair at each position, [capacity, 1/2 width, 2].
            blocks: Each layer's keys and values, [2, grid rows, key heads, capacity, width].
            rows: Each token's row of the grid, int64.
            positions: Each token's place in its text, int64; no place twice, and none that nothing was computed for.

        Raises:
            IndexError: A token is outside of the blocks.
            ValueError: Shapes or number formats do not fit.
        """
        tokens, (_, grid_rows, _, capacity, _) = len(states), blocks[0].shape
        block = (2, grid_rows, self._key_heads, capacity, self._width)
        require_fit(len(blocks) == len(self._layers) and all(is_dense(each, *block) for each in blocks))
        require_fit(states.shape == (tokens, self._hidden) and is_dense(turns, capacity, self._width // 2, 2))
        require_fit(_are_places(rows, tokens) and _are_places(positions, tokens))
        for layer, each in zip(self._layers, blocks, strict=True):
            layer.block = each.data_ptr()
        done = states.clone(memory_format=torch.contiguous_format)
        between = torch.empty(tokens * sum(self._sizes()))
        claims = torch.zeros(self._kernels.decoder_claims(len(self._layers)), dtype=torch.int64)
        job = _Job(
            done.data_ptr(), *self._parts(between, tokens), ctypes.addressof(self._layers), turns.data_ptr(),
            rows.data_ptr(), positions.data_ptr(), claims.data_ptr(), len(self._layers), tokens, self._hidden,
            self._inner, self._heads, grid_rows, self._key_heads, capacity, self._width, self._epsilon, self._scale,
            torch.get_num_threads(),
        )  # fmt: skip
        if not self._kernels.decode(job):
            raise IndexError("a token is outside of the blocks of keys and values")
        return done

    def _sizes(self) -> tuple[int, ...]:
        """Return how many numbers a token has in each array between the products, in the order of the job's fields."""
        seen = self._heads * self._width
        mixed = seen + 2 * self._key_heads * self._width
        return self._hidden, self._hidden, mixed, seen, seen, 2 * self._inner

    def _parts(self, between: torch.Tensor, tokens: int) -> list[int]:
        addresses, at = [], between.data_ptr()
        for size in self._sizes():
            addresses.append(at)
            at += size * tokens * between.element_size()
        return addresses

    def _check(self, layer: DecoderLayer) -> None:
        hidden, inner, seen = self._hidden, self._inner, self._heads * self._width
        mixed = seen + 2 * self._key_heads * self._width
        shapes = {"mix": (mixed, hidden), "gather": (hidden, seen), "gate": (inner, hidden), "up": (inner, hidden),
                  "down": (hidden, inner)}  # fmt: skip
        for name, (out, depth) in shapes.items():
            require_fit(self._kernels.fits(getattr(layer, name), out, depth))


def _addresses(layer: DecoderLayer) -> _Layer:
    filled = _Layer()
    for field in fields(layer):
        tell_weights(filled, field.name, getattr(layer, field.name))
    return filled


def _are_places(tensor: torch.Tensor, count: int) -> bool:
    return tensor.dtype == torch.int64 and tensor.shape == (count,) and tensor.is_contiguous()
