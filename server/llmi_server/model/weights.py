"""What the headers of safetensors files tell of a model's weights: arithmetic on names, shapes and number formats."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from llmi_server.model.refusals import invalid

LENGTH_BYTES = 8
"""At a file's beginning: the length of the header that follows."""

LARGEST_HEADER_BYTES = 100_000_000
FLOATING = frozenset({"F64", "F32", "F16", "BF16"})
_ELEMENT_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
_LAYER = re.compile(r"(?:^|\.)layers?\.\d+\.")


@dataclass(frozen=True)
class Tensor:
    """One tensor of a model's files.

    Attributes:
        kind: Its number format, as safetensors names it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def layer(self) -> str | None:
        """The layer that it is of, by name and number; None outside all layers."""
        found = _LAYER.search(self.name)
        return self.name[: found.end()] if found else None

    def bytes_as(self, element_bytes: int) -> int:
        """Return its size where a floating number takes so many bytes; whole numbers stay as they are."""
        return self.numbers * (element_bytes if self.kind in FLOATING else self.element_bytes)

    @property
    def element_bytes(self) -> int:
        """What one of its numbers takes on disk."""
        return _ELEMENT_BYTES.get(self.kind, 1)


def header_length(start: bytes, *, file_name: str, file_bytes: int) -> int:
    """Return the length of the header from a file's first bytes.

    Raises:
        StartupError: It is not a safetensors file, or cut off.
    """
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if not 0 < length <= min(LARGEST_HEADER_BYTES, file_bytes):
        raise invalid(f"{file_name} is not a safetensors file or is cut off.")
    return length


def parse_header(header: bytes, *, file_name: str, file_bytes: int) -> list[Tensor]:
    """Return the tensors that a header tells of.

    Raises:
        StartupError: It is not a header, or tells of more than the file holds.
    """
    try:
        entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        tensors = [Tensor(name, entry["dtype"], tuple(map(int, entry["shape"]))) for name, entry in entries.items()]
        cut_off = LENGTH_BYTES + len(header) + end > file_bytes
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise invalid(f"{file_name} is not a safetensors file.") from None
    if cut_off:
        raise invalid(f"{file_name} is cut off: it holds less than its header says.")
    return tensors


def count_numbers(tensors: Iterable[Tensor]) -> int:
    """Return the number of a model's parameters."""
    return sum(tensor.numbers for tensor in tensors)


def weight_bytes(tensors: Iterable[Tensor], element_bytes: int, layer_element_bytes: int | None = None) -> int:
    """Return the size of the weights in memory.

    Args:
        tensors: The weights.
        element_bytes: What a floating number takes.
        layer_element_bytes: What one in a matrix of a layer takes, if that differs.
    """
    total = 0
    for tensor in tensors:
        in_matrix = len(tensor.shape) > 1 and tensor.layer is not None
        own = layer_element_bytes if in_matrix and layer_element_bytes is not None else element_bytes
        total += tensor.bytes_as(own)
    return total


def stored_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the size of the weights on disk."""
    return sum(tensor.numbers * tensor.element_bytes for tensor in tensors)


def largest_layer(tensors: Iterable[Tensor]) -> int:
    """Return the number of parameters of the largest layer; 0 where there are none that we know."""
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.layer is not None:
            sizes[tensor.layer] += tensor.numbers
    return max(sizes.values(), default=0)
