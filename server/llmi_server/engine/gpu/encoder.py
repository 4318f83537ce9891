"""An encoder of our own on a GPU."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch.nn.attention.varlen import varlen_attn

from llmi_server.engine.encoder.family import NotOursError
from llmi_server.engine.encoder.heads import Encoder
from llmi_server.engine.encoder.post_norm import PostNormEncoder
from llmi_server.engine.gpu.layout import MOST_TEXTS, lay_out, length_of, size_for
from llmi_server.engine.gpu.recording import Run
from llmi_server.engine.protocol import EncodedText

_LARGEST_HEAD = 256
_HEAD_STEP = 8

Attend = Callable[[torch.Tensor, int, torch.Tensor, int], torch.Tensor]
"""From query, key and value side by side, [tokens, 3 * hidden], the number of heads, the texts' bounds, [texts + 1],
and the length that none exceeds to what each token hears, [tokens, hidden]."""


class Replayed(Protocol):
    """A run over inputs of one size, made ready."""

    def replay(self, inputs: torch.Tensor) -> torch.Tensor:
        """Run over other inputs of the same size; what it returns is overwritten by the next run."""
        ...


Record = Callable[[Run, int], Replayed]
"""Makes a run ready for inputs of so many numbers."""


def attend_packed(mixed: torch.Tensor, heads: int, bounds: torch.Tensor, longest: int) -> torch.Tensor:
    """Attend by FlashAttention's kernel for texts of different lengths, which lie one after another."""
    tokens, width = mixed.shape
    query, key, value = mixed.view(tokens, 3, heads, -1).unbind(1)
    heard: Any = varlen_attn(query, key, value, bounds, bounds, longest, longest)
    result: torch.Tensor = heard.reshape(tokens, width // 3)
    return result


class GpuEncoder:
    """Token ids in, one vector for each token out, on a GPU.

    A layer is some ten kernels of microseconds, which Python launches no faster than the GPU computes them for a few
    hundred tokens. So batches up to the sizes of `llmi_server.engine.gpu.layout` are replayed from recordings, each
    made when its size is first needed: all of them at the start would keep a replica from its work for six seconds.

    Args:
        encoder: Whose weights are on the GPU.
        device: Which.
        record: How a size is recorded.
        attend: How tokens hear each other.

    Raises:
        NotOursError: It is not of a shape that FlashAttention computes.
    """

    divides = False

    def __init__(self, encoder: Encoder, *, device: str, record: Record, attend: Attend = attend_packed) -> None:
        if not isinstance(encoder, PostNormEncoder) or encoder.by_distance:
            raise NotOursError("attention on a GPU")
        size = encoder.width // encoder.heads
        if size > _LARGEST_HEAD or size % _HEAD_STEP:
            raise NotOursError(f"heads of {size} numbers on a GPU")
        self._encoder, self._device, self._record, self._attend = encoder, device, record, attend
        self._recordings: dict[int, Replayed] = {}
        self.words, self.width, self.epsilon = encoder.words, encoder.width, encoder.epsilon

    def __call__(self, batch: Sequence[EncodedText]) -> torch.Tensor:
        """Return [tokens of all texts, hidden], to be used before the next batch."""
        lengths = list(map(len, batch))
        indices, tokens = self._encoder.indices(batch), sum(lengths)
        size = size_for(tokens, len(batch))
        if size is not None:
            numbers = lay_out(indices, lengths, size=size, texts=MOST_TEXTS)
            return self._recorded(size).replay(torch.from_numpy(numbers))[:tokens]
        numbers = lay_out(indices, lengths, size=tokens, texts=len(batch))
        return self._run_of(tokens, longest=max(lengths))(torch.from_numpy(numbers).to(self._device))

    def _recorded(self, size: int) -> Replayed:
        if size not in self._recordings:
            self._recordings[size] = self._record(self._run_of(size, longest=size), length_of(size, MOST_TEXTS))
        return self._recordings[size]

    def _run_of(self, size: int, *, longest: int) -> Run:
        """Return what computes batches of one size, none of whose texts is longer than ``longest``."""

        def run(numbers: torch.Tensor) -> torch.Tensor:
            bounds = numbers[3 * size :]
            rows = self._encoder.embed(numbers[: 3 * size].view(3, size))
            heads = self._encoder.heads
            return self._encoder.layers(rows, lambda mixed: self._attend(mixed, heads, bounds, longest))

        return run
