"""Layer norm."""

from typing import Self

import torch
from torch.nn import functional

from llmi_server.engine.encoder.tensors import Tensors


class Norm:
    """Scales each row to mean 0 and variance 1, and then by weights."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, epsilon: float) -> None:
        self._weight, self._bias, self._epsilon = weight, bias, epsilon

    @classmethod
    def of(cls, tensors: Tensors, name: str, width: int, epsilon: float, *, biased: bool = True) -> Self:
        """Return the encoder's norm of this name."""
        bias = tensors.own(f"{name}.bias", width) if biased else None
        return cls(tensors.own(f"{name}.weight", width), bias, epsilon)

    def parts(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return what rows are multiplied by and moved by; None if they are not moved."""
        return None if self._bias is None else (self._weight, self._bias)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the scaled rows."""
        return functional.layer_norm(rows, self._weight.shape, self._weight, self._bias, self._epsilon)
