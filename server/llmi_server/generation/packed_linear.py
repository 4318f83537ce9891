"""Linear layers whose weights lie in memory as the processor's matrix kernels want them."""

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
        self.bias = None if bias is None else torch.nn.Parameter(bias, requires_grad=False)
        self._packed: Any = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _TYPICAL_ROWS)  # noqa: SLF001 - its only name

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs times weights plus bias."""
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self._packed, self.bias, "none", [], "")  # noqa: SLF001 - its only name
        return result


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
