"""All layers of an encoder in one call, attention included: nothing of them is left to Python."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from llmi_server.kernels.library import ACTIVATIONS, Kernels, PackedWeights, is_dense
from llmi_server.kernels.structures import ADDRESS, COUNT, product_fields, require_fit, tell_weights

_WIDTH_STEP = 16
"""Widths of a head are multiples of it: whole registers."""

_PRODUCTS, _NORMS = ("mix", "out", "up", "down"), ("out", "down")


@dataclass(frozen=True, kw_only=True)
class EncoderLayer:
    """A layer as BERT has it.

    Attributes:
        mix: To queries, keys and values side by side.
        out: From what all heads have heard.
        up: What the activation is taken of.
        down: Back again.
        out_norm: Gain and shift of the norm after attention, [hidden] each.
        down_norm: Those of the norm at the end.
    """

    mix: PackedWeights
    out: PackedWeights
    up: PackedWeights
    down: PackedWeights
    out_norm: tuple[torch.Tensor, torch.Tensor]
    down_norm: tuple[torch.Tensor, torch.Tensor]


class _Layer(ctypes.Structure):
    _fields_ = [
        *product_fields(_PRODUCTS),
        *((f"{name}_{part}", ADDRESS) for name in _NORMS for part in ("gain", "shift")),
    ]


class _Job(ctypes.Structure):
    _fields_ = [
        *((name, ADDRESS) for name in ("states", "halfway", "between", "desks", "layers", "begins", "claims")),
        *((name, COUNT) for name in ("count", "texts", "tokens", "hidden", "inner", "heads", "longest")),
        ("epsilon", ctypes.c_float),
        ("activation", ctypes.c_int),
        ("threads", ctypes.c_int),
    ]


class FusedEncoder:
    """Computes texts that lie one after the other through all layers; each token hears its own text.

    Args:
        kernels: What it computes with.
        layers: The layers, all of the same shape.
        heads: Number of heads.
        epsilon: Of the norms.
        activation: ``none``, ``relu``, ``gelu``, ``gelu_tanh``, ``silu`` or ``tanh``.

    Raises:
        ValueError: Shapes do not fit each other, or there is no kernel for the heads.
    """

    def __init__(
        self, kernels: Kernels, layers: Sequence[EncoderLayer], *, heads: int, epsilon: float, activation: str
    ) -> None:
        self._kernels, self._kept = kernels, tuple(layers)
        self._heads, self._epsilon, self._activation = heads, epsilon, ACTIVATIONS[activation]
        self._hidden, self._inner = layers[0].down.out, layers[0].up.out
        self._width = self._hidden // heads
        if self._width * heads != self._hidden or not can_encode(self._width):
            raise ValueError(f"there is no kernel for {heads} heads in {self._hidden} numbers")
        for layer in layers:
            self._check(layer)
        self._layers = (_Layer * len(layers))(*map(_addresses, layers))

    def compute(self, states: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Return the states after the last layer, [tokens, hidden].

        Args:
            states: Those of all texts before the first layer, [tokens, hidden].
            lengths: Each text's tokens, in the order of the states; best shortest first.

        Raises:
            ValueError: Shapes or number formats do not fit.
        """
        tokens, longest, threads = sum(lengths), max(lengths, default=0), torch.get_num_threads()
        require_fit(is_dense(states, tokens, self._hidden) and min(lengths, default=0) >= 0)
        done = states.clone()
        halfway = torch.empty_like(done)
        between = torch.empty(tokens * max(4 * self._hidden, self._inner))
        desks = torch.empty(threads * self._kernels.desk_size(longest, self._width))
        begins = torch.tensor([0, *accumulate(lengths)])
        claims = torch.zeros(self._kernels.encoder_claims(len(self._layers), threads), dtype=torch.int64)
        job = _Job(
            done.data_ptr(), halfway.data_ptr(), between.data_ptr(), desks.data_ptr(), ctypes.addressof(self._layers),
            begins.data_ptr(), claims.data_ptr(), len(self._layers), len(lengths), tokens, self._hidden, self._inner,
            self._heads, longest, self._epsilon, self._activation, threads,
        )  # fmt: skip
        if tokens:
            self._kernels.encode(job)
        return done

    def _check(self, layer: EncoderLayer) -> None:
        hidden, inner = self._hidden, self._inner
        require_fit(self._kernels.fits(layer.mix, 3 * hidden, hidden) and self._kernels.fits(layer.out, hidden, hidden))
        require_fit(self._kernels.fits(layer.up, inner, hidden) and self._kernels.fits(layer.down, hidden, inner))
        require_fit(all(is_dense(part, hidden) for norm in (layer.out_norm, layer.down_norm) for part in norm))


def can_encode(width: int) -> bool:
    """Say whether `FusedEncoder` knows heads of this width."""
    return width > 0 and width % _WIDTH_STEP == 0


def _addresses(layer: EncoderLayer) -> _Layer:
    filled = _Layer()
    for name in _PRODUCTS:
        tell_weights(filled, name, getattr(layer, name))
    for name in _NORMS:
        gain, shift = getattr(layer, f"{name}_norm")
        setattr(filled, f"{name}_gain", gain.data_ptr())
        setattr(filled, f"{name}_shift", shift.data_ptr())
    return filled
