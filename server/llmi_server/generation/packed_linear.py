"""Linear layers whose weights lie in memory as the processor's matrix kernels want them."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

_TYPICAL_ROWS = 8
"""How many texts a step is expected to have; the packing suits every other number too."""


class PackedLinear(torch.nn.Module):
    """Computes what a linear layer does, from packed weights only."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self._product = Product(weight, None if bias is None else bias.detach())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs times weights plus bias."""
        return self._product(inputs)


def can_pack(model: PreTrainedModel) -> bool:
    """Say whether packing works and pays: 32-bit weights on a CPU for which PyTorch has the kernels."""
    return model.device.type == "cpu" and model.dtype == torch.float32 and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def pack_linears(module: torch.nn.Module) -> None:
    """Replace the linear layers inside ``module``; each layer's own weights are let go as soon as they are packed."""
    for name, child in module.named_children():
        if type(child) is torch.nn.Linear:
            setattr(module, name, PackedLinear(child.weight, child.bias))
        elif type(child) is Conv1D:
            setattr(module, name, PackedLinear(child.weight.t(), child.bias))
        else:
            pack_linears(child)


class Product:
    """A linear layer from packed weights, and what can be done in the same pass over its results."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._packed, self._bias = _pack(weight), bias

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs times weights plus bias."""
        return self._one(inputs, "none")

    def swish(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the activation x · sigmoid(x) of that."""
        return self._one(inputs, "swish")

    def plus(self, inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return that plus ``other``."""
        return self._two(inputs, other, "add")

    def times(self, inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return that times ``other``."""
        return self._two(inputs, other, "mul")

    def _one(self, inputs: torch.Tensor, function: str) -> torch.Tensor:
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self._packed, self._bias, function, [], "")  # noqa: SLF001 - its only name
        return result

    def _two(self, inputs: torch.Tensor, other: torch.Tensor, function: str) -> torch.Tensor:
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(  # noqa: SLF001 - its only name
            inputs, other, self._packed, self._bias, function
        )
        return result


def take(linears: Sequence[torch.nn.Linear], scale: torch.Tensor | None = None) -> Product:
    """Make one product of linear layers with the same inputs; their own weights are let go.

    Args:
        linears: The layers; their results stand side by side.
        scale: Factors of the inputs, which become part of the weights.
    """
    weight = torch.cat([linear.weight.detach() for linear in linears])
    biases = [linear.bias for linear in linears]
    bias = None if biases[0] is None else torch.cat([bias.detach() for bias in biases])
    if scale is not None:
        weight = weight * scale.detach()
    for linear in linears:
        linear.weight, linear.bias = None, None  # type: ignore[assignment]
    return Product(weight, bias)


def _pack(weight: torch.Tensor) -> Any:  # noqa: ANN401 - PyTorch gives the type of oneDNN's tensors no name
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _TYPICAL_ROWS)  # noqa: SLF001 - its only name
