"""Requests that Triton hands over together: tokenised one by one, computed together, answered or refused one by one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmi_server.engine.protocol import EncodedText, Engine, EngineOutOfMemoryError, Output
from llmi_server.errors import EngineFailedError, OutOfMemoryError, RequestError
from llmi_server.inference.service import RequestLimits, encode_within_bounds
from llmi_server.scheduling.limits import Limits
from llmi_server.scheduling.scheduler import Scheduler
from llmi_server.tasks.task import Task, TaskParameters
from llmi_server.tracing.spans import ending
from llmi_server.tracing.timeline import Timeline, begin_batch


@dataclass(frozen=True)
class Question:
    """What one request asks: texts, and what to make of them.

    Attributes:
        timeline: Its spans, if it is traced.
    """

    texts: Sequence[str]
    parameters: TaskParameters
    timeline: Timeline | None = None


class Answering:
    """Answers questions on the thread that calls it; one that cannot be answered spoils no other.

    Args:
        task: What is made of the texts.
        engine: What computes.
        budget: How much is computed at once.
        bounds: How much one request may ask.
    """

    def __init__(self, *, task: Task[Any], engine: Engine, budget: Limits, bounds: RequestLimits) -> None:
        self._task = task
        self._engine = engine
        self._budget = budget
        self._bounds = bounds

    def answer(self, questions: Sequence[Question | RequestError]) -> list[list[object] | RequestError]:
        """Return for each question one answer for each text, or why there is none; what was refused stays refused."""
        encoded = [self._encode(question) for question in questions]
        requests = [texts if isinstance(texts, list) else [] for texts in encoded]
        outputs = self._compute(requests, [_timeline_of(question) for question in questions])
        answers = [
            self._finish(question, texts, output)
            for question, texts, output in zip(questions, encoded, outputs, strict=True)
        ]
        for question, texts, answer in zip(questions, requests, answers, strict=True):
            if (timeline := _timeline_of(question)) is not None:
                error = type(answer).__name__ if isinstance(answer, RequestError) else None
                timeline.end({"gen_ai.usage.input_tokens": sum(map(len, texts))}, error=error)
        return answers

    def compute(self, texts: Sequence[EncodedText]) -> list[Output]:
        """Have texts computed as those of a lone request.

        Raises:
            RequestError: The engine failed.
        """
        (output,) = self._compute([list(texts)], [None])
        if isinstance(output, RequestError):
            raise output
        return output

    def brief(self, text: str, parameters: TaskParameters) -> str:
        """Answer one text in a few words.

        Raises:
            RequestError: The task cannot take the text, or the engine failed.
        """
        encoded = encode_within_bounds(self._task, [text], parameters, self._bounds)
        return self._task.brief(encoded[0], self.compute(encoded)[0])

    def _encode(self, question: Question | RequestError) -> list[EncodedText] | RequestError:
        if isinstance(question, RequestError):
            return question
        try:
            self._bounds.check_count(question.texts)
            return encode_within_bounds(self._task, question.texts, question.parameters, self._bounds)
        except RequestError as error:
            return error
        except Exception:
            logging.getLogger(__name__).exception("Request failed")
            return EngineFailedError("The engine failed on this request.")

    def _compute(
        self, requests: Sequence[list[EncodedText]], timelines: Sequence[Timeline | None]
    ) -> list[list[Output] | RequestError]:
        """Compute the texts of all requests in batches of texts of about the same length."""
        results: list[list[Output] | RequestError] = [[] for _ in requests]
        outputs: dict[tuple[int, int], Output] = {}
        scheduler = Scheduler(self._budget)
        for number, texts in enumerate(requests):
            if texts:
                scheduler.admit(number, deadline=0)
                scheduler.enqueue(number, [len(text) for text in texts])
        while (batch := scheduler.next_batch()) is not None:
            texts = [requests[item.request][item.index] for item in batch.items]
            requested = [timelines[number] for number in dict.fromkeys(item.request for item in batch.items)]
            traced = [timeline for timeline in requested if timeline is not None]
            try:
                with ending(begin_batch(traced, texts=len(texts), tokens=sum(map(len, texts)))):
                    computed = self._engine.compute(texts)
            except Exception as error:
                logging.getLogger(__name__).exception("Batch failed")
                for number in dict.fromkeys(item.request for item in batch.items):
                    scheduler.cancel(number)
                    results[number] = _failed(error)
                continue
            outputs |= {(item.request, item.index): part for item, part in zip(batch.items, computed, strict=True)}
            for number in scheduler.fold_back(batch):
                results[number] = [outputs.pop((number, index)) for index in range(len(requests[number]))]
        return results

    def _finish(
        self,
        question: Question | RequestError,
        texts: list[EncodedText] | RequestError,
        outputs: list[Output] | RequestError,
    ) -> list[object] | RequestError:
        if isinstance(question, RequestError):
            return question
        if isinstance(texts, RequestError):
            return texts
        if isinstance(outputs, RequestError):
            return outputs
        try:
            return self._task.answers(texts, outputs, question.parameters)
        except RequestError as error:
            return error
        except Exception:
            logging.getLogger(__name__).exception("Request failed")
            return EngineFailedError("The engine failed on this request.")


def unbounded_queue(*, max_batch_tokens: int, preferred_batch_tokens: int, padding_free: bool) -> Limits:
    """Return the budget of a queue that takes all it is given: Triton has bounded it already."""
    return Limits(
        max_queued_requests=_MANY,
        max_queued_tokens=_MANY,
        max_batch_tokens=max_batch_tokens,
        preferred_batch_tokens=preferred_batch_tokens,
        padding_free=padding_free,
    )


_MANY = 1 << 62


def _timeline_of(question: Question | RequestError) -> Timeline | None:
    return question.timeline if isinstance(question, Question) else None


def _failed(error: Exception) -> RequestError:
    if isinstance(error, EngineOutOfMemoryError):
        return OutOfMemoryError("The request did not fit into memory. Send fewer or shorter inputs.")
    return EngineFailedError("The engine failed on this request.")
