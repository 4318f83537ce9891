"""A linear step on weights that are laid out for this processor, or as they are on a GPU."""

from typing import Protocol

import torch
from torch.nn import functional

from llmi_server.engine.encoder.family import NotOursError
from llmi_server.kernels.library import Combination, PackedWeights, find_kernels
from llmi_server.machine import computes_bfloat16

_ROWS = 64
"""Number of tokens that the layout is made for; others are served well too."""

_pack = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
_multiply = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
"""What torch.compile emits too; builds without oneDNN lack them."""

_CAN_PACK: bool = torch.backends.mkldnn.is_available() and None not in (_pack, _multiply)  # type: ignore[no-untyped-call]


def _packable() -> frozenset[torch.dtype]:
    """Return the number formats whose weights oneDNN lays out for this processor."""
    if not _CAN_PACK:
        return frozenset()
    return frozenset({torch.float32, torch.bfloat16} if computes_bfloat16() else {torch.float32})


_FUSED: dict[str, tuple[str, list[float], str]] = {
    "none": ("none", [], ""), "relu": ("relu", [], ""), "tanh": ("tanh", [], ""), "silu": ("swish", [], ""),
    "gelu": ("gelu", [], "none"), "gelu_tanh": ("gelu", [], "tanh"),
}  # fmt: skip
_ACTIVATIONS = {"gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
                "gelu_fast": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu", "tanh": "tanh",
                "none": "none"}  # fmt: skip
"""Names in configurations, and which function each is."""


def activation_named(name: object) -> str:
    """Return the function that a configuration names.

    Raises:
        NotOursError: It is one that we do not have.
    """
    found = _ACTIVATIONS.get(str(name))
    if found is None:
        raise NotOursError(str(name))
    return found


def activate(rows: torch.Tensor, activation: str) -> torch.Tensor:
    """Apply a function by its name."""
    match activation:
        case "none":
            return rows
        case "gelu":
            return functional.gelu(rows)
        case "gelu_tanh":
            return functional.gelu(rows, approximate="tanh")
        case "relu":
            return functional.relu(rows)
        case "silu":
            return functional.silu(rows)
    return torch.tanh(rows)


class Step(Protocol):
    """A linear step, however its weights lie in memory."""

    def __call__(self, rows: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Return [rows, out], plus another tensor of that shape if one is given."""
        ...


class Lay(Protocol):
    """Lays out the weights of a linear step."""

    def __call__(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "none") -> Step:
        """Return the step: weight [out, in], bias [out] or None, and a name that `activation_named` gives."""
        ...


class Plain:
    """Rows times weights as they are: for what is computed once."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "none") -> None:
        self._weight, self._bias, self._activation = weight, bias, activation

    def __call__(self, rows: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Return [rows, out], plus another tensor of that shape if one is given."""
        done = activate(functional.linear(rows, self._weight, self._bias), self._activation)
        return done if plus is None else done.add_(plus)


class Linear:
    """Rows times weights plus bias, and a function of that.

    The weights are packed: up to three times as fast for the few rows of a short text, and the function costs nothing.
    In float32 our own kernels do that where there are some for the CPU, else oneDNN, as it does in bfloat16 on a CPU
    that computes it.

    Args:
        weight: [out, in].
        bias: [out], or None.
        activation: A name that `activation_named` gives.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "none") -> None:
        self._bias = bias
        self._activation = activation
        on_cpu = weight.device.type == "cpu"
        self._kernels = find_kernels() if on_cpu and weight.dtype == torch.float32 else None
        self._packed = on_cpu and weight.dtype in _packable()
        self._out = len(weight)
        self._weight = self._laid_out(weight)

    def __call__(self, rows: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Return [rows, out], plus another tensor of that shape if one is given."""
        if self._kernels is not None:
            how = Combination.ALONE if plus is None else Combination.PLUS
            return self._kernels.product(
                rows, self._weight, self._bias, self._out, activation=self._activation, other=plus, combination=how
            )
        done: torch.Tensor
        if _multiply is None or not self._packed:
            done = activate(functional.linear(rows, self._weight, self._bias), self._activation)
        else:
            done = _multiply(rows, self._weight, self._bias, *_FUSED[self._activation])
        return done if plus is None else done.add_(plus)

    def packed(self) -> PackedWeights | None:
        """Return the weights as our own kernels multiply by them; None where others do."""
        if self._kernels is None:
            return None
        return PackedWeights(packed=self._weight, bias=self._bias, out=self._out)

    def _laid_out(self, weight: torch.Tensor) -> torch.Tensor:
        if self._kernels is not None:
            return self._kernels.pack(weight)
        laid_out: torch.Tensor = _pack(weight, _ROWS) if _pack is not None and self._packed else weight
        return laid_out
