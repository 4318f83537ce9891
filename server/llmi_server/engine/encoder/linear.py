"""A linear step on weights that are laid out for this processor."""

from typing import Protocol

import torch
from torch.nn import functional

from llmi_server.engine.encoder.family import NotOursError
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

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return [rows, out]."""
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

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return [rows, out]."""
        return activate(functional.linear(rows, self._weight, self._bias), self._activation)


class Linear:
    """Rows times weights plus bias, and a function of that.

    In float32 on a CPU that oneDNN knows, and in bfloat16 on one that computes it, the weights are packed: up to three
    times as fast for the few rows of a short text, and the function costs nothing.

    Args:
        weight: [out, in].
        bias: [out], or None.
        activation: A name that `activation_named` gives.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "none") -> None:
        self._bias = bias
        self._activation = activation
        self._packed = weight.dtype in _packable()
        self._weight = _pack(weight, _ROWS) if _pack is not None and self._packed else weight

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return [rows, out]."""
        if _multiply is None or not self._packed:
            return activate(functional.linear(rows, self._weight, self._bias), self._activation)
        done: torch.Tensor = _multiply(rows, self._weight, self._bias, *_FUSED[self._activation])
        return done
