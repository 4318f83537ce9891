"""Linear layers whose weights lie in memory as the processor's matrix kernels want them.

The kernels are our own where there are some for the processor, and else oneDNN's.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from llmi_server.kernels.library import Combination, Kernels, PackedWeights, find_kernels

_TYPICAL_ROWS = 8
"""How many texts a step is expected to have; the packing suits every other number too."""


class PackedLinear(torch.nn.Module):
    """Computes what a linear layer does, from packed weights only."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self._product = product_of(weight.detach(), None if bias is None else bias.detach())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs times weights plus bias."""
        return self._product(inputs)


def can_pack(model: PreTrainedModel) -> bool:
    """Say whether packing works and pays: 32-bit weights on a CPU for which there are kernels."""
    if model.device.type != "cpu" or model.dtype != torch.float32:
        return False
    return find_kernels() is not None or bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def pack_linears(module: torch.nn.Module) -> None:
    """Replace the linear layers inside ``module``; each layer's own weights are let go as soon as they are packed."""
    for name, child in module.named_children():
        if type(child) is torch.nn.Linear:
            setattr(module, name, PackedLinear(child.weight, child.bias))
        elif type(child) is Conv1D:
            setattr(module, name, PackedLinear(child.weight.t(), child.bias))
        else:
            pack_linears(child)


class Product(Protocol):
    """A linear layer from packed weights, and what can be done in the same pass over its results."""

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs times weights plus bias."""
        ...

    def swish(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the activation x · sigmoid(x) of that."""
        ...

    def plus(self, inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return that plus ``other``."""
        ...

    def times(self, inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return that times ``other``."""
        ...


def product_of(weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
    """Return the product with weights [out, in] and a bias [out]."""
    kernels = find_kernels()
    return _OneDnnProduct(weight, bias) if kernels is None else OwnProduct(kernels, weight, bias)


class OwnProduct:
    """The product by our own kernels."""

    def __init__(self, kernels: Kernels, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._kernels = kernels
        self.weights = PackedWeights(packed=kernels.pack(weight), bias=bias, out=len(weight))

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs times weights plus bias."""
        return self._product(inputs)

    def swish(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the activation x · sigmoid(x) of that."""
        return self._product(inputs, activation="silu")

    def plus(self, inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return that plus ``other``."""
        return self._product(inputs, other=other, combination=Combination.PLUS)

    def times(self, inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return that times ``other``."""
        return self._product(inputs, other=other, combination=Combination.TIMES)

    def _product(
        self,
        inputs: torch.Tensor,
        *,
        activation: str = "none",
        other: torch.Tensor | None = None,
        combination: Combination = Combination.ALONE,
    ) -> torch.Tensor:
        own = self.weights
        return self._kernels.product(
            inputs, own.packed, own.bias, own.out, activation=activation, other=other, combination=combination
        )


class _OneDnnProduct:
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._packed, self._bias = _pack(weight), bias

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        return self._one(inputs, "none")

    def swish(self, inputs: torch.Tensor) -> torch.Tensor:
        return self._one(inputs, "swish")

    def plus(self, inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return self._two(inputs, other, "add")

    def times(self, inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
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
    return product_of(weight, bias)


def _pack(weight: torch.Tensor) -> Any:  # noqa: ANN401 - PyTorch gives the type of oneDNN's tensors no name
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _TYPICAL_ROWS)  # noqa: SLF001 - its only name
