"""Matrix products in eight bits, where the processor adds products of bytes (AVX-512 VNNI)."""

from dataclasses import dataclass

import torch

from llmi_server.kernels.library import ACTIVATIONS, Kernels, is_dense
from llmi_server.kernels.structures import require_fit

_REGISTER = 16
"""Widths and depths are rounded up to it, as in product_int8.c."""
_DEEPEST = 2**31 // (255 * 127)
"""Sums of so many products of bytes fit into 32 bits."""


@dataclass(frozen=True, kw_only=True)
class Int8Weights:
    """Weights in eight bits, as `product` reads them.

    Attributes:
        packed: The weights, in an order of its own.
        columns: What one level of a channel is, what all its weights come to, and its bias; [3, out rounded up].
        out: Number of results.
        depth: Numbers of a row.
    """

    packed: torch.Tensor
    columns: torch.Tensor
    out: int
    depth: int


def pack(kernels: Kernels, weight: torch.Tensor, bias: torch.Tensor | None) -> Int8Weights:
    """Return weights [out, in] in eight bits, each output channel by a scale of its own.

    Args:
        kernels: What lays them out.
        weight: [out, in].
        bias: [out], or None.

    Raises:
        ValueError: Something is not of 32-bit floats without gaps, or deeper than a sum of 32 bits holds.
    """
    weight = weight.contiguous()
    out, depth = weight.shape
    require_fit(is_dense(weight, out, depth) and depth <= _DEEPEST and (bias is None or is_dense(bias, out)))
    packed = torch.zeros(_rounded(out) * _rounded(depth), dtype=torch.int8)
    columns = torch.zeros(3, _rounded(out))
    kernels.int8_pack(packed.data_ptr(), columns.data_ptr(), weight.data_ptr(), out, depth, torch.get_num_threads())
    if bias is not None:
        columns[2, :out] = bias
    return Int8Weights(packed=packed, columns=columns, out=out, depth=depth)


def product(
    kernels: Kernels,
    rows: torch.Tensor,
    weights: Int8Weights,
    *,
    activation: str = "none",
    plus: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return activation(rows times weights plus bias), plus another tensor, [rows, out].

    Args:
        kernels: What multiplies.
        rows: [rows, in].
        weights: What `pack` gave.
        activation: ``none``, ``relu``, ``gelu``, ``gelu_tanh``, ``silu`` or ``tanh``.
        plus: [rows, out], or None.

    Raises:
        ValueError: Shapes or number formats do not fit.
    """
    count, rows = len(rows), rows.contiguous()
    require_fit(is_dense(rows, count, weights.depth) and (plus is None or is_dense(plus, count, weights.out)))
    result = torch.empty(count, weights.out)
    levels, ranges = torch.empty(count * _rounded(weights.depth), dtype=torch.uint8), torch.empty(count, 2)
    kernels.int8_product(
        result.data_ptr(), rows.data_ptr(), weights.packed.data_ptr(), weights.columns.data_ptr(),
        None if plus is None else plus.data_ptr(), levels.data_ptr(), ranges.data_ptr(),
        count, weights.depth, weights.out, ACTIVATIONS[activation], torch.get_num_threads(),
    )  # fmt: skip
    return result


def _rounded(count: int) -> int:
    return -(-count // _REGISTER) * _REGISTER
