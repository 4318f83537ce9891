"""Linear steps in eight bits: weights once, by output channel; rows as they come, each by its own range.

Weights are symmetric, each output channel with a scale of its own. A row is mapped from between its least and its
greatest number onto all levels; what that shifted is added again after the product. No row's numbers depend on the rows
beside it, so an answer does not depend on the batch that it is computed in.
"""

import warnings

import torch

from llmi_server.engine.encoder.linear import Step, activate
from llmi_server.kernels.int8 import pack, product
from llmi_server.kernels.library import Kernels, find_kernels

_LEVELS = 255
_LEVELS_WITHOUT_VNNI = 127
"""Older processors add pairs of products in 16 bits, which eight bits of a row would overflow."""

_SMALLEST = 1e-12

_multiply = getattr(torch.ops.quantized, "linear_with_input_q_dq_qweight_dq_output_fp32", None)
_pack = getattr(torch.ops.quantized, "linear_prepack", None)
_KERNELS = "fbgemm"


def unsupported() -> str | None:
    """Say why this build of PyTorch or this processor does not compute in int8; None if it does."""
    if kernels_for_int8() is not None:
        return None
    if _multiply is None or _pack is None:
        return "this build of PyTorch has no operators for it"
    if _KERNELS not in torch.backends.quantized.supported_engines:
        return "this processor has none of the instructions (AVX2) that it needs"
    return None


def kernels_for_int8() -> Kernels | None:
    """Return our kernels, if they multiply in eight bits on this processor."""
    kernels = find_kernels()
    return kernels if kernels is not None and kernels.has_int8 else None


def _has_vnni() -> bool:
    checks = (getattr(torch.cpu, name, None) for name in ("_is_vnni_supported", "_is_avx512_vnni_supported"))
    return any(check() for check in checks if check is not None)


def lay_in_int8(weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "none") -> Step:
    """Return a linear step in eight bits, by our own kernels where the processor has the instructions for them.

    Args:
        weight: [out, in], float32.
        bias: [out], or None.
        activation: A name that `linear.activation_named` gives.
    """
    kernels = kernels_for_int8()
    if kernels is None:
        return FbgemmLinear(weight, bias, activation)
    return Int8Linear(kernels, weight, bias, activation)


class Int8Linear:
    """Rows times weights plus bias, and a function of that, multiplied in int8 by our own kernels.

    Args:
        kernels: Some that have int8.
        weight: [out, in], float32.
        bias: [out], or None.
        activation: A name that `linear.activation_named` gives.
    """

    def __init__(
        self, kernels: Kernels, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "none"
    ) -> None:
        self._kernels, self._activation = kernels, activation
        self._weights = pack(kernels, weight, bias)

    def __call__(self, rows: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Return [rows, out], plus another tensor of that shape if one is given."""
        return product(self._kernels, rows, self._weights, activation=self._activation, plus=plus)


class FbgemmLinear:
    """The same with PyTorch's operators, for processors that our kernels are not for.

    Args:
        weight: [out, in], float32.
        bias: [out], or None.
        activation: A name that `linear.activation_named` gives.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "none") -> None:
        torch.backends.quantized.engine = _KERNELS
        scales = (weight.abs().amax(dim=1) / 127).clamp_(min=_SMALLEST)
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch announces, once, that this type will go some day
            quantized = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        self._packed = _pack(quantized, None) if _pack is not None else None
        self._sums = quantized.int_repr().sum(dim=1, dtype=torch.int64).float() * scales
        self._bias = torch.zeros_like(scales) if bias is None else bias
        self._activation = activation
        self._step = 1 / (_LEVELS if _has_vnni() else _LEVELS_WITHOUT_VNNI)

    def __call__(self, rows: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Return [rows, out], plus another tensor of that shape if one is given."""
        if _multiply is None:
            raise NotImplementedError
        least, greatest = rows.aminmax(dim=1, keepdim=True)
        span = (greatest - least).clamp_(min=_SMALLEST)
        product = _multiply((rows - least).div_(span), self._step, 0, self._packed)
        done = torch.addcmul(self._bias, least, self._sums).addcmul_(product, span)
        done = activate(done, self._activation)
        return done if plus is None else done.add_(plus)
