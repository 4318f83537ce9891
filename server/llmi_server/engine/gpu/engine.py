"""The engine on our own encoders on a GPU: texts lie in one matrix, and nothing is computed for padding."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from llmi_api.launch import Task
from llmi_server.engine.encoder.answers import Pool, answers_of
from llmi_server.engine.encoder.heads import Encoder, Head
from llmi_server.engine.out_of_memory import out_of_memory_told
from llmi_server.engine.protocol import EncodedText, ModelFacts, Output


class GpuEngine:
    """Runs batches through an encoder and its head, and picks what the task wants.

    Args:
        encoder: From texts to a vector for each token.
        head: From those to what the task wants; None for embeddings.
        task: What that is.
        facts: What the loaded model says about itself.
        pooling: How embeddings are pooled.
    """

    def __init__(self, *, encoder: Encoder, head: Head | None, task: Task, facts: ModelFacts, pooling: str) -> None:
        self._encoder = encoder
        self._facts = facts
        pool = _POOLS[pooling if head is None else head.pooling]
        self._answers_of = partial(answers_of, task=task, head=head, pool=pool)

    @property
    def facts(self) -> ModelFacts:
        """What the loaded model says about itself."""
        return self._facts

    def device_memory_bytes(self) -> int | None:
        """Return the most memory that PyTorch held on the GPU."""
        return torch.cuda.max_memory_reserved(self._facts.device)

    @torch.inference_mode()
    def compute(self, batch: Sequence[EncodedText]) -> list[Output]:
        """Return one array for each text; see the protocol for shapes.

        Raises:
            EngineOutOfMemoryError: The batch did not fit into memory.
        """
        with out_of_memory_told():
            return self._answers_of(self._encoder(batch), batch)


def _first(rows: torch.Tensor, batch: Sequence[EncodedText]) -> torch.Tensor:
    lengths = _lengths(batch)
    return rows[_on(rows, np.cumsum(lengths) - lengths)]


def _last(rows: torch.Tensor, batch: Sequence[EncodedText]) -> torch.Tensor:
    return rows[_on(rows, np.cumsum(_lengths(batch)) - 1)]


def _reduced(rows: torch.Tensor, batch: Sequence[EncodedText], how: str) -> torch.Tensor:
    # Unsafe means unchecked, for which it would wait for the device: the lengths are the batch's own.
    pooled = torch.segment_reduce(rows.float(), how, lengths=_on(rows, _lengths(batch)), axis=0, unsafe=True)
    return pooled.to(rows.dtype)


def _lengths(batch: Sequence[EncodedText]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array([len(text) for text in batch])


def _on(rows: torch.Tensor, numbers: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> torch.Tensor:
    return torch.from_numpy(numbers).to(rows.device)


_POOLS: dict[str, Pool] = {
    "mean": lambda rows, batch: _reduced(rows, batch, "mean"),
    "cls": _first,
    "max": lambda rows, batch: _reduced(rows, batch, "max"),
    "last": _last,
}
