"""The first real answer, before anyone is let in."""

import math
import queue
from typing import Any

from llmi_server.inference.runner import BatchRunner, Result
from llmi_server.tasks.task import Task, TaskParameters

_WORDS = (1, 40)
"""Lengths of the texts: one very short, one ordinary. Longest inputs would cost start-up time and gain little."""


def warm_up(*, task: Task[Any], parameters: TaskParameters, runner: BatchRunner, mask_token: str | None) -> None:
    """Run texts through tokenizer, engine and task, and throw the answers away.

    Raises:
        LlmiServerError: The engine failed.
    """
    for words in _WORDS:
        text = " ".join(([mask_token] if mask_token else []) + ["a"] * words)
        encoded = task.encode([text], parameters)
        results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        runner.enqueue(runner.admit(deadline=math.inf), encoded, results.put)
        result = results.get()
        if isinstance(result, Exception):
            raise result
        task.answers(encoded, result, parameters)
