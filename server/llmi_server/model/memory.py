"""How much memory a model takes in each precision, out of its files' headers: arithmetic, measured against in tests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from llmi_api.launch import Precision
from llmi_server.model.weights import Tensor, largest_layer, stored_bytes, weight_bytes

MIB = 1 << 20
_SHARE_OF_OVERHEAD = 10
"""Of the weights, what their layout for the processor and the work on a batch take besides: one in so many parts."""

_DRIFT_BYTES = 72 * MIB
"""What the numbers of the texts take while int8 is compared with float32, besides a layer in float32: as measured."""

_ELEMENT_BYTES = {Precision.FLOAT32: 4, Precision.BFLOAT16: 2, Precision.FLOAT16: 2, Precision.INT8: 4}
"""Of int8 those numbers that stay as they are: tables, norms and heads."""


class Computing(Enum):
    """What computes a model."""

    OWN = auto()  # an encoder of ours
    TRANSFORMERS = auto()  # an encoder of Transformers
    GENERATION = auto()  # a process of its own


_BASE = {Computing.OWN: 310 * MIB, Computing.TRANSFORMERS: 420 * MIB, Computing.GENERATION: 500 * MIB}
"""What a server with next to no weights holds when it is ready, libraries' mapped files included."""

_LEAST_BASE = {Computing.OWN: 310 * MIB, Computing.TRANSFORMERS: 350 * MIB, Computing.GENERATION: 350 * MIB}
"""What of that it cannot do without: the kernel takes mapped files back."""


@dataclass(frozen=True)
class Use:
    """Bytes that answering takes besides the weights.

    Attributes:
        least: Without which it cannot work.
        usual: What it takes at its start where there is room.
    """

    least: int
    usual: int


@dataclass(frozen=True, kw_only=True)
class MemoryNeeds:
    """A model's weights, and what their use takes besides.

    Attributes:
        computing: What computes it.
        config: The model's configuration.
        find_use: What answering takes, from the configuration and the bytes of a number; None where that is in the
            overhead.
    """

    tensors: tuple[Tensor, ...]
    computing: Computing
    config: dict[str, Any] = field(default_factory=dict)
    find_use: Callable[[dict[str, Any], int], Use] | None = None

    def weight_bytes(self, precision: Precision) -> int:
        """Return what the weights take."""
        in_layers = 1 if precision is Precision.INT8 else _ELEMENT_BYTES[precision]
        return weight_bytes(self.tensors, _ELEMENT_BYTES[precision], in_layers)

    def use(self, precision: Precision) -> Use:
        """Return what answering takes besides."""
        return self.find_use(self.config, _ELEMENT_BYTES[precision]) if self.find_use else Use(0, 0)

    def least_bytes(self, precision: Precision) -> int:
        """Return what it cannot do without."""
        return _LEAST_BASE[self.computing] + self._loaded_bytes(precision) + self.use(precision).least

    def expected_bytes(self, precision: Precision, *, on_gpu: bool = False) -> int:
        """Return what it will hold at most until it is ready, mapped files included, as it is measured then."""
        if on_gpu:
            return self.least_bytes(precision)
        if self.computing is Computing.OWN:
            return _BASE[self.computing] + self._loaded_bytes(precision)
        return _BASE[self.computing] + max(self._reading_bytes(precision), self._running_bytes(precision))

    def choices(self, *, on_gpu: bool) -> tuple[Precision, ...]:
        """Return the precisions that an owner could choose, the most exact first."""
        if on_gpu:
            return (Precision.FLOAT32, Precision.BFLOAT16, Precision.FLOAT16)
        generates = self.computing is Computing.GENERATION
        return (Precision.FLOAT32, Precision.BFLOAT16, *(() if generates else (Precision.INT8,)))

    def _loaded_bytes(self, precision: Precision) -> int:
        weights = self.weight_bytes(precision)
        drift = _DRIFT_BYTES + 4 * largest_layer(self.tensors) if precision is Precision.INT8 else 0
        return weights + weights // _SHARE_OF_OVERHEAD + drift

    def _reading_bytes(self, precision: Precision) -> int:
        """Transformers maps the files, and converts what is in another format."""
        return stored_bytes(self.tensors) + (self.weight_bytes(precision) if self._converts(precision) else 0)

    def _running_bytes(self, precision: Precision) -> int:
        """Weights that were not converted stay mapped, though layers in float32 are laid out anew beside them."""
        packs = self.computing is Computing.GENERATION and precision is Precision.FLOAT32
        if packs and not self._converts(precision):
            kept = stored_bytes(self.tensors) + sum(tensor.bytes_as(4) for tensor in self.tensors if tensor.layer)
        else:
            kept = self.weight_bytes(precision)
        return kept + self.use(precision).usual

    def _converts(self, precision: Precision) -> bool:
        return stored_bytes(self.tensors) != self.weight_bytes(precision)
