"""The first real answer, before anyone is let in."""

from collections.abc import Callable, Sequence
from typing import Any

from llmi_server.engine.protocol import EncodedText, Output
from llmi_server.tasks.task import Task, TaskParameters

_WORDS = (1, 40)
"""Lengths of the texts: one very short, one ordinary. Longest inputs would cost start-up time and gain little."""


def warm_up(
    *,
    task: Task[Any],
    parameters: TaskParameters,
    compute: Callable[[Sequence[EncodedText]], list[Output]],
    mask_token: str | None,
) -> None:
    """Run texts through tokenizer, engine and task, and throw the answers away.

    Raises:
        LlmiServerError: The engine failed.
    """
    for words in _WORDS:
        text = " ".join(([mask_token] if mask_token else []) + ["a"] * words)
        encoded = task.encode([text], parameters)
        task.answers(encoded, compute(encoded), parameters)
