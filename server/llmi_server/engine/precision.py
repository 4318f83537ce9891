"""Which device and which number format a model is computed in, or why not in the one that is wanted."""

import logging

from llmi_api.failure import FailureCode
from llmi_api.launch import Device, Precision
from llmi_server.errors import StartupError
from llmi_server.machine import computes_bfloat16

_FLASH_ATTENTION_SINCE = (8, 0)
"""Ampere's compute capability."""


def choose_device(wanted: Device, *, cuda: bool) -> str:
    """Return where the model runs.

    Raises:
        StartupError: A GPU is wanted and there is none.
    """
    if wanted is Device.CUDA and not cuda:
        raise StartupError(
            FailureCode.ACCELERATOR_ABSENT,
            "A CUDA device was asked for and none is usable here.",
            next_step="Check that the pod requests a GPU, that the node's driver works, and that the image has CUDA.",
        )
    return "cuda" if cuda and wanted is not Device.CPU else "cpu"


def choose_precision(wanted: Precision, device: str, *, bf16: bool) -> Precision:
    """Choose bfloat16 where it is computed, and else float32 on a CPU and float16 on a GPU.

    Args:
        wanted: What the settings say.
        device: Where the model runs.
        bf16: Whether the device computes bfloat16, and on a CPU our own encoders do.

    Raises:
        StartupError: The device does not compute in the wanted format.
    """
    if device == "cpu":
        if wanted is Precision.FLOAT16:
            raise precision_unsupported("float16 is not computed on a CPU.", "float32 or bfloat16")
        if wanted is Precision.INT8:
            _refuse_int8_where_it_is_not_computed()
        if wanted is Precision.BFLOAT16:
            _warn_where_bfloat16_is_slow()
        return choose_on_cpu(wanted, bf16=bf16)
    if wanted is Precision.INT8:
        raise precision_unsupported("int8 is computed on a CPU only, and this is a GPU.", "float16 or bfloat16")
    if wanted is Precision.BFLOAT16 and not bf16:
        raise precision_unsupported("This GPU does not compute bfloat16.", "float16 or float32")
    if wanted is Precision.AUTO:
        return Precision.BFLOAT16 if bf16 else Precision.FLOAT16
    return wanted


def choose_on_cpu(wanted: Precision, *, bf16: bool) -> Precision:
    """Choose as `choose_precision` does, and refuse nothing yet."""
    if wanted is not Precision.AUTO:
        return wanted
    return Precision.BFLOAT16 if bf16 else Precision.FLOAT32


def packs_on_gpu(precision: Precision, *, capability: tuple[int, int], built: bool) -> bool:
    """Say whether a GPU computes packed batches: FlashAttention knows two formats, and GPUs from Ampere on.

    Args:
        precision: Number format that was chosen.
        capability: The GPU's compute capability.
        built: Whether PyTorch has FlashAttention for NVIDIA's GPUs.
    """
    return built and precision in (Precision.BFLOAT16, Precision.FLOAT16) and capability >= _FLASH_ATTENTION_SINCE


def _refuse_int8_where_it_is_not_computed() -> None:
    from llmi_server.engine.encoder.int8 import unsupported  # noqa: PLC0415 - imports torch

    if (why := unsupported()) is not None:
        raise precision_unsupported(f"int8 is not computed here: {why}.", "float32")


def _warn_where_bfloat16_is_slow() -> None:
    if not computes_bfloat16():
        logging.getLogger(__name__).warning(
            "This processor has no bfloat16 instructions: float32 is several times as fast here"
        )


def precision_unsupported(message: str, instead: str) -> StartupError:
    """Return the error that says so, and what to set instead."""
    return StartupError(FailureCode.PRECISION_UNSUPPORTED, message, next_step=f"Set precision to {instead}, or auto.")
