"""The engine on our own encoders: texts lie in one matrix, row by row, and nothing is computed for padding."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

import torch

from llmi_api.launch import Task
from llmi_server.engine.crew import UNEVEN, UNEVEN_BY_CLAIMS, Crew, divide
from llmi_server.engine.encoder.answers import Pool, answers_of
from llmi_server.engine.encoder.attention import groups_of
from llmi_server.engine.encoder.heads import Encoder, Head
from llmi_server.engine.encoder.loading import kernels_in
from llmi_server.engine.out_of_memory import out_of_memory_told
from llmi_server.engine.protocol import EncodedText, ModelFacts, Output


class PaddingFreeEngine:
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
        pool = _pooling(pooling if head is None else head.pooling)
        self._answers_of = partial(answers_of, task=task, head=head, pool=pool)
        self._crew = Crew(torch.get_num_threads())
        self._uneven = UNEVEN if kernels_in(facts.precision) is None else UNEVEN_BY_CLAIMS

    @property
    def facts(self) -> ModelFacts:
        """What the loaded model says about itself."""
        return self._facts

    def device_memory_bytes(self) -> int | None:
        """Return None: the memory is the process's own."""
        return None

    def compute(self, batch: Sequence[EncodedText]) -> list[Output]:
        """Return one array for each text; see the protocol for shapes.

        Raises:
            EngineOutOfMemoryError: The batch did not fit into memory.
        """
        order = sorted(range(len(batch)), key=lambda index: len(batch[index]))
        lengths = [len(batch[index]) for index in order]
        shares = divide(lengths, self._crew.threads if self._encoder.divides else 1, self._uneven)
        chosen = [[order[place] for place in share] for share in shares]
        with out_of_memory_told():
            computed = self._crew.map(self._in_order, [[batch[index] for index in share] for share in chosen])
        results = dict(zip(chain(*chosen), chain(*computed), strict=True))
        return [results[index] for index in range(len(batch))]

    @torch.inference_mode()
    def _in_order(self, batch: Sequence[EncodedText]) -> list[Output]:
        """Compute texts that are sorted by length, so that those of one length are neighbours."""
        return self._answers_of(self._encoder(batch), batch)


_POOLS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean": lambda rows: rows.float().mean(dim=1),
    "cls": lambda rows: rows[:, 0],
    "max": lambda rows: rows.amax(dim=1),
    "last": lambda rows: rows[:, -1],
}
"""From [texts, tokens, hidden] of one length to [texts, hidden]."""


def _pooling(name: str) -> Pool:
    """Return what pools texts of one length together, which must be neighbours."""
    of_one_length = _POOLS[name]

    def pool(rows: torch.Tensor, batch: Sequence[EncodedText]) -> torch.Tensor:
        parts = [
            of_one_length(rows[group.rows].view(group.texts, group.tokens, -1))
            for group in groups_of([len(text) for text in batch])
        ]
        return torch.cat(parts).to(rows.dtype) if len(parts) > 1 else parts[0].to(rows.dtype)

    return pool
