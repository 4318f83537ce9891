"""Measures our matrix kernels against PyTorch's, in one process, call by call in turn: ``make bench-kernels``.

PyTorch's are oneDNN in float32 and FBGEMM in int8. Every product has weights of its own, as in a model, so that they
come from memory and not from a cache. The tables in docs/decisions/0044 and 0031 come from here.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from llmi_api.markdown import write_table
from llmi_server.engine.encoder.int8 import FbgemmLinear, Int8Linear, kernels_for_int8
from llmi_server.kernels.library import Kernels, find_kernels

Multiply = Callable[[torch.Tensor], torch.Tensor]
Lay = Callable[[torch.Tensor, int], Multiply]
"""Makes weights [out, in] ready for so many rows."""
_ROWS = (1, 8, 24, 60, 128, 512)
_TURNS = 9
_COPIES_BYTES = 512 << 20
"""Of each product's weights in all: more than a cache holds."""


@dataclass(frozen=True)
class Shape:
    """Weights of a product, and whose they are."""

    title: str
    out: int
    depth: int


DECODER = (Shape("Llama of 134 M, up", 1536, 576), Shape("Llama of 134 M, down", 576, 1536))
ENCODER = (Shape("BERT-large, up", 4096, 1024), Shape("BERT-large, down", 1024, 4096))


@dataclass(frozen=True)
class Contest:
    """Ours and another way to multiply, and the weights to multiply by."""

    precision: str
    ours: Lay
    other: Lay
    shapes: Sequence[Shape]


def contests() -> list[Contest]:
    """Return those for which this processor has kernels of ours."""
    found, kernels, eight_bits = [], find_kernels(), kernels_for_int8()
    if kernels is not None:
        found.append(Contest("float32", partial(_ours, kernels), _one_dnn, (*DECODER, *ENCODER)))
    if eight_bits is not None:
        found.append(Contest("int8", partial(_ours_in_int8, eight_bits), _fbgemm, ENCODER))
    return found


@torch.inference_mode()
def compare(contest: Contest, shape: Shape, rows: int) -> tuple[float, float]:
    """Return operations a second of ours and of the other's, each the median of its turns."""
    count = _COPIES_BYTES // (4 * shape.out * shape.depth)
    weights = [torch.randn(shape.out, shape.depth) for _ in range(count)]
    ours, others = ([lay(weight, rows) for weight in weights] for lay in (contest.ours, contest.other))
    del weights
    inputs = torch.randn(rows, shape.depth)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(_TURNS):
        for kept, products in zip(seconds, (ours, others), strict=True):
            began = time.perf_counter()
            for multiply in products:
                multiply(inputs)
            kept.append(time.perf_counter() - began)
    work = 2 * rows * shape.out * shape.depth * count
    return work / statistics.median(seconds[0]), work / statistics.median(seconds[1])


def _ours(kernels: Kernels, weight: torch.Tensor, _rows: int) -> Multiply:
    packed, out = kernels.pack(weight), len(weight)
    return lambda inputs: kernels.product(inputs, packed, None, out)


def _one_dnn(weight: torch.Tensor, rows: int) -> Multiply:
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)  # noqa: SLF001 - its only name
    multiply = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 - likewise
    return lambda inputs: multiply(inputs, packed, None, "none", [], "")


def _ours_in_int8(kernels: Kernels, weight: torch.Tensor, _rows: int) -> Multiply:
    return Int8Linear(kernels, weight, None)


def _fbgemm(weight: torch.Tensor, _rows: int) -> Multiply:
    return FbgemmLinear(weight, None)


def main() -> None:
    """Compare all shapes, on one thread and on all, and print the table."""
    found = contests()
    if not found:
        sys.exit("bench: there are no kernels of ours for this processor, or they are not compiled: make init")
    everyone = torch.get_num_threads()
    print(f"ours against those of PyTorch {torch.__version__}; billions of operations a second\n")
    lines = []
    for contest in found:
        for threads in sorted({1, everyone}):
            torch.set_num_threads(threads)
            for shape in contest.shapes:
                for rows in _ROWS:
                    ours, other = compare(contest, shape, rows)
                    figures = [f"{ours / 1e9:.0f}", f"{other / 1e9:.0f}", f"{ours / other:.2f}"]
                    lines.append([contest.precision, shape.title, str(threads), str(rows), *figures])
                    print("  ".join(lines[-1]), file=sys.stderr, flush=True)
    print(write_table(("precision", "weights", "threads", "rows", "ours", "PyTorch's", "ratio"), lines))


if __name__ == "__main__":
    main()
