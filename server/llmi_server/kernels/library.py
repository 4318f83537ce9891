"""The compiled kernels: found, loaded for this processor, and called on PyTorch's tensors.

All tensors are 32-bit floats on the CPU. Threads are those of PyTorch, as many as it would use itself.
"""

import ctypes
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

import torch

from llmi_server.logs import facts
from llmi_server.machine import adds_products_of_bytes

_FOLDER = Path(__file__).resolve().parent
_LEVELS = {"AVX512": "x86_64_v4", "AVX2": "x86_64_v3"}
"""What PyTorch calls this processor's instructions, and the library that compile.py makes for them."""

_WIDTH_STEP, _WIDEST = 16, 256
"""Widths of a head that attention knows: multiples of the one up to the other."""

_ADDRESS, _COUNT, _CODE, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_float


class Combination(IntEnum):
    """What is done with another tensor of the result's shape, after the activation."""

    ALONE = 0
    PLUS = 1
    TIMES = 2


ACTIVATIONS = {name: code for code, name in enumerate(("none", "relu", "gelu", "gelu_tanh", "silu", "tanh"))}
"""Names of functions and their numbers, which are those in product.h."""


@dataclass(frozen=True, kw_only=True)
class PackedWeights:
    """What a product multiplies by.

    Attributes:
        packed: What `Kernels.pack` gave for weights [out, in].
        bias: [out], or None.
        out: Number of results.
    """

    packed: torch.Tensor
    bias: torch.Tensor | None
    out: int


class Kernels:
    """Calls the kernels.

    Args:
        library: The compiled library.
        level: Its instruction set, for people.
        threads: Addresses of OpenMP's ``GOMP_parallel`` and ``GOMP_barrier``.

    Attributes:
        has_int8: Whether it multiplies in eight bits here, which `kernels.int8` calls.
    """

    def __init__(self, library: ctypes.CDLL, *, level: str, threads: tuple[int, int]) -> None:
        self.level = level
        library.llmi_use_threads(*map(_ADDRESS, threads))
        self._size = _function(library, "llmi_packed_size", _COUNT, _COUNT, result=_COUNT)
        self._pack = _function(library, "llmi_pack", _ADDRESS, _ADDRESS, _COUNT, _COUNT, _CODE)
        self._product = _function(library, "llmi_product", *[_ADDRESS] * 5, *[_COUNT] * 3, *[_CODE] * 3)
        self._rms_norm = _function(library, "llmi_rms_norm", _ADDRESS, _ADDRESS, _COUNT, _COUNT, _FLOAT)
        self._turn = _function(library, "llmi_turn", *[_ADDRESS] * 6, *[_COUNT] * 6, result=_CODE)
        attend = [*[_ADDRESS] * 5, *[_COUNT] * 6, _FLOAT, _CODE]
        self._attend = _function(library, "llmi_attend", *attend, result=_CODE)
        self._decode = _function(library, "llmi_decode", _ADDRESS, result=_CODE)
        self._encode = _function(library, "llmi_encode", _ADDRESS)
        self.decoder_claims = _function(library, "llmi_decoder_claims", _COUNT, result=_COUNT)
        self.encoder_claims = _function(library, "llmi_encoder_claims", _COUNT, _CODE, result=_COUNT)
        self.desk_size = _function(library, "llmi_desk_size", _COUNT, _COUNT, result=_COUNT)
        self.has_int8 = hasattr(library, "llmi_int8_product") and adds_products_of_bytes()
        if self.has_int8:
            self.int8_pack = _function(library, "llmi_int8_pack", *[_ADDRESS] * 3, *[_COUNT] * 2, _CODE)
            self.int8_product = _function(library, "llmi_int8_product", *[_ADDRESS] * 7, *[_COUNT] * 3, *[_CODE] * 2)

    def pack(self, weight: torch.Tensor) -> torch.Tensor:
        """Lay out weights [out, in] for `product`."""
        weight = _dense(weight)
        out, depth = weight.shape
        packed = torch.zeros(self.packed_size(out, depth), dtype=torch.float32)
        self._pack(packed.data_ptr(), weight.data_ptr(), out, depth, torch.get_num_threads())
        return packed

    def packed_size(self, out: int, depth: int) -> int:
        """Return how many numbers packed weights [out, depth] are."""
        return self._size(out, depth)

    def product(
        self,
        rows: torch.Tensor,
        packed: torch.Tensor,
        bias: torch.Tensor | None,
        out: int,
        *,
        activation: str = "none",
        other: torch.Tensor | None = None,
        combination: Combination = Combination.ALONE,
    ) -> torch.Tensor:
        """Return activation(rows times weights plus bias), plus or times ``other``.

        Args:
            rows: [..., in].
            packed: What `pack` gave for the weights.
            bias: [out], or None.
            out: Number of the weights' rows.
            activation: ``none``, ``relu``, ``gelu``, ``gelu_tanh``, ``silu`` or ``tanh``.
            other: [..., out]; needed unless the combination is ``ALONE``.
            combination: What is done with it.

        Raises:
            TypeError: Something is no tensor of 32-bit floats.
            ValueError: Shapes do not fit each other.
        """
        rows = _dense(rows)
        depth = rows.shape[-1]
        count = rows.numel() // depth
        if packed.numel() != self.packed_size(out, depth):
            raise ValueError(f"weights for {out} x {depth} were expected, and these are packed for another shape")
        result = torch.empty((*rows.shape[:-1], out), dtype=torch.float32)
        added = None if bias is None else _dense(bias)
        if added is not None and added.numel() != out:
            raise ValueError(f"a bias of {out} numbers was expected, not {added.numel()}")
        beside = None if other is None else _dense(other)
        if combination is not Combination.ALONE and (beside is None or beside.shape != result.shape):
            raise ValueError("what is combined must have the result's shape")
        self._product(
            result.data_ptr(),
            rows.data_ptr(),
            packed.data_ptr(),
            None if added is None else added.data_ptr(),
            None if beside is None else beside.data_ptr(),
            count,
            depth,
            out,
            ACTIVATIONS[activation],
            combination,
            torch.get_num_threads(),
        )
        return result

    def rms_norm(self, rows: torch.Tensor, epsilon: float) -> torch.Tensor:
        """Return each row divided by the root of its mean square, [..., width]."""
        rows = _dense(rows)
        width = rows.shape[-1]
        result = torch.empty_like(rows)
        self._rms_norm(result.data_ptr(), rows.data_ptr(), rows.numel() // width, width, epsilon)
        return result

    def turn(
        self,
        mixed: torch.Tensor,
        turns: torch.Tensor,
        block: torch.Tensor,
        *,
        heads: int,
        rows: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Turn queries and keys by their positions, write keys and values into ``block``, return the queries.

        Args:
            mixed: Queries, keys and values side by side, [tokens, heads + 2 key heads, width]; the two numbers of a
                pair that is turned together are neighbours.
            turns: Cosine and sine of each pair at each position, [capacity, 1/2 width, 2].
            block: Keys and values, [2, grid rows, key heads, capacity, width].
            heads: Number of the queries' heads.
            rows: Each token's row of the grid, int64.
            positions: Each token's place in its text, int64.

        Returns:
            [tokens, heads, width].

        Raises:
            IndexError: A token is outside of the block.
            TypeError: A number format is another one.
            ValueError: Shapes do not fit each other.
        """
        mixed = _dense(mixed)
        _, grid_rows, key_heads, capacity, width = block.shape
        tokens = len(mixed)
        _require(mixed.shape == (tokens, heads + 2 * key_heads, width) and turns.shape == (capacity, width // 2, 2))
        _require_kept(block, turns)
        _require_places(tokens, rows, positions)
        queries = torch.empty(tokens, heads, width, dtype=torch.float32)
        done = self._turn(
            queries.data_ptr(),
            block.data_ptr(),
            mixed.data_ptr(),
            turns.data_ptr(),
            rows.data_ptr(),
            positions.data_ptr(),
            tokens,
            heads,
            grid_rows,
            key_heads,
            capacity,
            width,
        )
        if not done:
            raise IndexError("a token is outside of the block of keys and values")
        return queries

    def attend(
        self, queries: torch.Tensor, block: torch.Tensor, *, rows: torch.Tensor, positions: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Return what the last token of each text sees of its text.

        Args:
            queries: [texts, heads, width]; the width is one for which `can_attend` holds.
            block: Keys and values, [2, grid rows, key heads, capacity, width].
            rows: Each text's row of the grid, int64, at least as many as texts.
            positions: Where each text ends, likewise.
            scale: What scores are multiplied by.

        Returns:
            [texts, heads x width].

        Raises:
            IndexError: A text ends outside of the block.
            TypeError: A number format is another one.
            ValueError: Shapes do not fit each other, or the heads are of another width.
        """
        queries = _dense(queries)
        texts, heads, width = queries.shape
        _, grid_rows, key_heads, capacity, key_width = block.shape
        _require(key_width == width and can_attend(width) and heads % key_heads == 0)
        _require_kept(block)
        _require_places(texts, rows, positions)
        seen = torch.empty(texts, heads * width, dtype=torch.float32)
        done = self._attend(
            seen.data_ptr(),
            queries.data_ptr(),
            block.data_ptr(),
            rows.data_ptr(),
            positions.data_ptr(),
            texts,
            heads,
            grid_rows,
            key_heads,
            capacity,
            width,
            scale,
            torch.get_num_threads(),
        )
        if not done:
            raise IndexError("a text ends outside of the block of keys and values")
        return seen

    def decode(self, job: ctypes.Structure) -> bool:
        """Compute all layers of a decoder, as `FusedDecoder` asks for it; False where a token has no place."""
        return bool(self._decode(ctypes.addressof(job)))

    def encode(self, job: ctypes.Structure) -> None:
        """Compute all layers of an encoder, as `FusedEncoder` asks for it."""
        self._encode(ctypes.addressof(job))

    def fits(self, weights: PackedWeights, out: int, depth: int) -> bool:
        """Say whether weights are packed for [out, depth]."""
        packed = is_dense(weights.packed, self.packed_size(out, depth))
        return packed and weights.out == out and (weights.bias is None or is_dense(weights.bias, out))


def is_dense(tensor: torch.Tensor, *shape: int) -> bool:
    """Say whether a tensor is one of 32-bit floats without gaps, of this shape."""
    return tensor.dtype == torch.float32 and tensor.shape == shape and tensor.is_contiguous()


def can_attend(width: int) -> bool:
    """Say whether `Kernels.attend` knows heads of this width."""
    return width % _WIDTH_STEP == 0 and width <= _WIDEST


@cache
def find_kernels() -> Kernels | None:
    """Return the kernels for this processor; None where there are none, and PyTorch's own compute instead."""
    level = _LEVELS.get(torch.backends.cpu.get_cpu_capability(), "")
    try:
        library = ctypes.CDLL(str(_FOLDER / f"{level}.so"))
        # The one that PyTorch computes with: its libraries are visible to the whole process.
        openmp = ctypes.CDLL(None)
        fork = ctypes.cast(openmp.GOMP_parallel, _ADDRESS).value or 0
        barrier = ctypes.cast(openmp.GOMP_barrier, _ADDRESS).value or 0
    except (OSError, AttributeError) as error:
        logging.getLogger("llmi_server.kernels").info(
            "PyTorch's own kernels are used", extra=facts(processor=level or "unknown", reason=str(error)[:200])
        )
        return None
    return Kernels(library, level=level, threads=(fork, barrier))


def _function(library: ctypes.CDLL, name: str, *arguments: type, result: type | None = None) -> Callable[..., int]:
    function: ctypes._NamedFuncPointer = getattr(library, name)
    function.argtypes, function.restype = arguments, result
    return function


def _require(fits: bool) -> None:  # noqa: FBT001 - one condition
    if not fits:
        raise ValueError("shapes do not fit each other, or heads are of a width that there is no kernel for")


def _require_kept(*tensors: torch.Tensor) -> None:
    """Refuse tensors that would have to be copied: they are written to, or used for long."""
    for tensor in tensors:
        if tensor.dtype != torch.float32 or not tensor.is_contiguous():
            raise TypeError("32-bit floats without gaps were expected")


def _require_places(count: int, *tensors: torch.Tensor) -> None:
    for tensor in tensors:
        if tensor.dtype != torch.int64 or not tensor.is_contiguous() or len(tensor) < count:
            raise TypeError(f"at least {count} 64-bit integers without gaps were expected")


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor as floats without gaps."""
    if tensor.dtype != torch.float32:
        raise TypeError(f"32-bit floats were expected, not {tensor.dtype}")
    return tensor.contiguous()
