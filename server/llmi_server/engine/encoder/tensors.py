"""Weights by name, read from safetensors files into memory of our own, one at a time."""

import copy
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from llmi_server.engine.encoder.family import NotOursError
from llmi_server.engine.encoder.linear import Lay, Linear, Plain

_LayerT = TypeVar("_LayerT")

_KINDS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_OLD_NAMES = {"weight": "gamma", "bias": "beta"}
"""What layer norms' weights were called in the first checkpoints."""


@dataclass(frozen=True)
class _Place:
    path: Path
    kind: torch.dtype
    shape: tuple[int, ...]
    begin: int
    size: int


class _Passing(Generic[_LayerT]):
    """Layers that are made when they are come to, and not kept."""

    def __init__(self, make: Callable[[int], _LayerT], count: int) -> None:
        self._make, self._count = make, count

    def __iter__(self) -> Iterator[_LayerT]:
        return map(self._make, range(self._count))


class Tensors:
    """The weights of a model.

    Files are read, not mapped: what is packed afterwards shall not be in memory twice.

    Args:
        files: The safetensors files, known to be whole.
        kind: Number format that the weights are wanted in.
        lay: How the linear steps of layers are laid out.
        device: Where they are put.

    Attributes:
        held: Whether layers are made once and kept, rather than read each time they are used.
    """

    def __init__(self, files: Sequence[Path], kind: torch.dtype, lay: Lay = Linear, device: str = "cpu") -> None:
        self._kind = kind
        self._device = device
        self.lay = lay
        self.held = True
        self._tables: dict[str, torch.Tensor] = {}
        self._places = {name: place for path in files for name, place in _places(path).items()}
        self.prefix = ""

    def choose_prefix(self, base: str, witness: str) -> None:
        """Find out whether the encoder's names have a prefix, as they do beside a head.

        Raises:
            NotOursError: The witness has neither name.
        """
        for prefix in (base, ""):
            if prefix + witness in self._places:
                self.prefix = prefix
                return
        raise NotOursError(witness)

    def own(self, name: str, *shape: int | None) -> torch.Tensor:
        """Return a weight of the encoder by its name below the prefix; see `get`."""
        return self.get(self.prefix + name, *shape)

    def reference(self) -> "Tensors":
        """Return the same weights as they are, for computing once: layers are read when they are used, and left."""
        other = copy.copy(self)
        other.lay, other.held = Plain, False
        return other

    def table(self, name: str, *shape: int | None) -> torch.Tensor:
        """Return a weight of the encoder that is looked up in, shared with `reference`; see `get`."""
        whole = self.prefix + name
        if whole not in self._tables:
            self._tables[whole] = self.get(whole, *shape)
        return self._tables[whole]

    def layers(self, make: Callable[[int], _LayerT], count: int) -> Iterable[_LayerT]:
        """Return layers by their numbers, to be gone through many times."""
        return [make(number) for number in range(count)] if self.held else _Passing(make, count)

    def has(self, name: str) -> bool:
        """Say whether there is a weight of this whole name."""
        return name in self._places

    def get(self, name: str, *shape: int | None) -> torch.Tensor:
        """Return a weight by its whole name.

        Args:
            name: The name.
            *shape: What its shape must be; None is any size.

        Raises:
            NotOursError: It is not there, or of another shape.
        """
        place = self._places.get(name) or self._places.get(_old_name(name))
        if place is None or len(place.shape) != len(shape):
            raise NotOursError(name)
        if any(wanted is not None and wanted != size for wanted, size in zip(shape, place.shape, strict=True)):
            raise NotOursError(name)
        return _read(place).to(self._device).to(self._kind)


def _old_name(name: str) -> str:
    stem, _, last = name.rpartition(".")
    return f"{stem}.{_OLD_NAMES.get(last, last)}"


def _places(path: Path) -> dict[str, _Place]:
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        header = json.loads(handle.read(length))
    return {
        name: _Place(
            path, _KINDS[entry["dtype"]], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] in _KINDS
    }  # fmt: skip


def _read(place: _Place) -> torch.Tensor:
    raw = torch.empty(place.size, dtype=torch.uint8)
    view = memoryview(raw.numpy())  # type: ignore[arg-type]
    done = 0
    with place.path.open("rb", buffering=0) as handle:
        while done < place.size:
            count = os.preadv(handle.fileno(), [view[done:]], place.begin + done)
            if not count:
                raise NotOursError(place.path.name)
            done += count
    return raw.view(place.kind).view(place.shape)
