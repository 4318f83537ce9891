"""How much memory a model takes in each precision, out of its files' headers, and whether that is there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmi_api.failure import FailureCode
from llmi_api.launch import Precision
from llmi_server.engine.protocol import LoadWatcher
from llmi_server.errors import StartupError
from llmi_server.model import files

_MIB = 1 << 20
_RUNTIME_BYTES = 350 * _MIB
"""What Python, PyTorch and Transformers take besides the weights."""

_SHARE_OF_OVERHEAD = 10
"""Of the weights, what their layout for the processor and the work on a batch take besides: one in so many parts."""

_ELEMENT_BYTES = {Precision.FLOAT32: 4, Precision.BFLOAT16: 2, Precision.FLOAT16: 2, Precision.INT8: 4}
"""Of int8 those numbers that stay as they are: tables, norms and heads."""


@dataclass(frozen=True, kw_only=True)
class MemoryNeeds:
    """A model's files, and what its use takes besides its weights.

    Attributes:
        generates: Whether it writes text, which is not computed in int8.
        more_bytes: From the configuration and the bytes of a number.
    """

    weights: list[Path]
    config: dict[str, Any]
    generates: bool
    more_bytes: Callable[[dict[str, Any], int], int] | None

    def weight_bytes(self, precision: Precision) -> int:
        """Return what the weights take."""
        in_layers = 1 if precision is Precision.INT8 else _ELEMENT_BYTES[precision]
        return files.weight_bytes(self.weights, _ELEMENT_BYTES[precision], in_layers)

    def use_bytes(self, precision: Precision) -> int:
        """Return what is needed to generate; 0 for a model that does not."""
        return self.more_bytes(self.config, _ELEMENT_BYTES[precision]) if self.more_bytes else 0

    def total_bytes(self, precision: Precision) -> int:
        """Return what all takes."""
        weights = self.weight_bytes(precision)
        return weights + weights // _SHARE_OF_OVERHEAD + self.use_bytes(precision) + _RUNTIME_BYTES

    def choices(self, *, on_gpu: bool) -> tuple[Precision, ...]:
        """Return the precisions that an owner could choose, the most exact first."""
        if on_gpu:
            return (Precision.FLOAT32, Precision.BFLOAT16, Precision.FLOAT16)
        return (Precision.FLOAT32, Precision.BFLOAT16, *(() if self.generates else (Precision.INT8,)))


def refuse_if_too_large(
    needs: MemoryNeeds, precision: Precision, *, on_gpu: bool, free: int, watcher: LoadWatcher
) -> None:
    """Predict what the model takes in every precision that it could have, and refuse one that does not fit.

    Raises:
        StartupError: It does not fit, with the numbers, and the precision in which it would.
    """
    totals = {one: needs.total_bytes(one) for one in dict.fromkeys((*needs.choices(on_gpu=on_gpu), precision))}
    needed = totals[precision]
    watcher.predict(memory_bytes=needed, by_precision={one.value: total for one, total in totals.items()})
    if needed <= free:
        return
    weights, use = needs.weight_bytes(precision), needs.use_bytes(precision)
    smaller = next((one for one, total in totals.items() if total <= free), None)
    instead = f"set precision to {smaller} (about {totals[smaller] // _MIB} MiB), " if smaller else ""
    raise StartupError(
        FailureCode.OUT_OF_MEMORY,
        f"The model needs about {needed // _MIB} MiB of memory in {precision} ({weights // _MIB} MiB of it weights"
        f"{f', {use // _MIB} MiB to generate' if use else ''}) and {free // _MIB} MiB are free.",
        next_step=f"Raise the memory limit above {needed * 5 // 4 // _MIB} MiB, {instead}or choose a smaller model.",
    )
