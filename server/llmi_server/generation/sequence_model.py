"""What the engine knows about a model that continues texts: slices in, scores out."""

from collections.abc import Sequence
from typing import Protocol

import torch

from llmi_server.generation.steps import Copy, Relayout, Slice


class SequenceModel(Protocol):
    """Computes slices of texts whose beginnings it remembers, each in its row."""

    def relayout(self, relayout: Relayout) -> None:
        """Take another shape."""
        ...

    def copy(self, copy: Copy) -> None:
        """Let a row begin as another does."""
        ...

    def compute(self, slices: Sequence[Slice]) -> torch.Tensor:
        """Return the scores of the next token for each slice that samples, [sampling slices, vocabulary]."""
        ...


class UnsuitableModelError(Exception):
    """The model does something that this way of computing it does not do."""
