"""From a vector for each token to what a task wants of each text."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from llmi_api.launch import Task
from llmi_server.engine.encoder.heads import Head
from llmi_server.engine.protocol import EncodedText, Output

Pool = Callable[[torch.Tensor, Sequence[EncodedText]], torch.Tensor]
"""From [tokens of all texts, hidden] to [texts, hidden]."""


def answers_of(
    rows: torch.Tensor, batch: Sequence[EncodedText], *, task: Task, head: Head | None, pool: Pool
) -> list[Output]:
    """Return one array for each text; the engine's protocol has their shapes.

    Args:
        rows: What the encoder gives, [tokens of all texts, hidden], in the texts' order.
        batch: The texts.
        task: What is wanted.
        head: From vectors to that; None for embeddings.
        pool: How a text gets one vector.
    """
    ends = np.cumsum([len(text) for text in batch])
    if task is Task.FILL_MASK and head is not None:
        begins = ends - [len(text) for text in batch]
        wanted = [begin + place for begin, text in zip(begins, batch, strict=True) for place in text.positions]
        logits = _to_numpy(head(rows[wanted]))
        return np.split(logits, np.cumsum([len(text.positions) for text in batch])[:-1])
    if task is Task.TOKEN_CLASSIFICATION and head is not None:
        return np.split(_to_numpy(head(rows)), ends[:-1])
    pooled = pool(rows, batch)
    return list(_to_numpy(pooled if head is None else head(pooled)))


def _to_numpy(tensor: torch.Tensor) -> Output:
    array: Output = tensor.float().cpu().numpy()
    return array
