"""What routes call: texts and parameters in, one answer for each text out."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from llmi_server.engine.protocol import EncodedText, Fit, ModelFacts, Output
from llmi_server.errors import DeadlineExceededError, InvalidRequestError
from llmi_server.inference.runner import BatchRunner, Result
from llmi_server.inference.turns import Turns
from llmi_server.tasks.task import Task, TaskParameters
from llmi_server.telemetry import Telemetry

_ResultT = TypeVar("_ResultT")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """Bounds of one request."""

    max_inputs: int
    max_tokens: int
    timeout_seconds: float

    def check_count(self, texts: Sequence[str]) -> None:
        """Refuse a request without texts, or with too many.

        Raises:
            InvalidRequestError: It is one.
        """
        if not texts:
            raise InvalidRequestError("There is no input.", param="inputs")
        if len(texts) > self.max_inputs:
            raise InvalidRequestError(
                f"The request has {len(texts)} inputs and the limit is {self.max_inputs}.", param="inputs"
            )


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a request gets.

    Attributes:
        answers: One for each text, in order; what an answer is depends on the task.
        tokens: Tokens computed for the request, special tokens included.
        truncated: How many of the texts were cut.
        windowed: How many of the texts were too long and computed in parts.
    """

    answers: list[object]
    tokens: int
    truncated: int = 0
    windowed: int = 0


def encode_within_bounds(
    task: Task[Any], texts: Sequence[str], parameters: TaskParameters, limits: RequestLimits
) -> list[EncodedText]:
    """Tokenise the texts of a request.

    Raises:
        InvalidRequestError: They are too much for one request, or the task cannot take them.
    """
    encoded = task.encode(texts, parameters)
    if len(encoded) > limits.max_inputs:
        raise InvalidRequestError(
            f"The request asks {len(encoded)} questions, one for each label of each text or each window of a long"
            f" one, and the limit is {limits.max_inputs}.",
            param="parameters",
        )
    tokens = sum(map(len, encoded))
    if tokens > limits.max_tokens:
        raise InvalidRequestError(
            f"The request has {tokens} tokens in all and the limit is {limits.max_tokens}.", param="inputs"
        )
    return encoded


class InferenceService:
    """Runs requests: tokenises on worker threads, computes through the queue, and cleans up whatever happens."""

    def __init__(
        self,
        *,
        task: Task[Any],
        runner: BatchRunner,
        workers: Executor,
        limits: RequestLimits,
        facts: ModelFacts,
        telemetry: Telemetry,
    ) -> None:
        self._task = task
        self._runner = runner
        self._workers = workers
        self._limits = limits
        self._telemetry = telemetry
        self._turns = Turns()
        self.facts = facts

    def device_memory_bytes(self) -> int | None:
        """Return the most memory that was in use on the model's device, if that is not the process's own."""
        return self._runner.device_memory_bytes()

    def is_alive(self, *, stuck_after_seconds: float) -> bool:
        """Say whether the engine makes progress or is idle."""
        return self._runner.is_alive() and self._runner.stuck_seconds() < stuck_after_seconds

    def stop(self) -> None:
        """Fail whatever is not answered yet, and compute no more."""
        self._runner.stop()

    def refuse_if_full(self) -> None:
        """Refuse a request whose body nobody need read.

        Raises:
            QueueFullError: As many requests wait as may wait.
        """
        self._runner.refuse_if_full()

    async def run(self, texts: Sequence[str], parameters: TaskParameters) -> Answers:
        """Answer a request.

        Cancelling the call takes the request out of the queue.

        Args:
            texts: One or more inputs.
            parameters: Parameters of the task that is served.

        Raises:
            InvalidRequestError: Too many texts or tokens, or a text that the task cannot take.
            QueueFullError: As many requests or tokens wait as may wait.
            DeadlineExceededError: No answer in time.
            EngineFailedError: The engine raised.
        """
        self._limits.check_count(texts)
        deadline = time.monotonic() + self._limits.timeout_seconds
        ticket = self._runner.admit(deadline=deadline)
        try:
            async with asyncio.timeout(self._limits.timeout_seconds):
                encoded = await self._on_worker(encode_within_bounds, self._task, texts, parameters, self._limits)
                outputs = await self._computed(ticket, encoded)
                answers = await self._on_worker(self._answer, encoded, outputs, parameters)
        except TimeoutError:
            raise DeadlineExceededError(
                f"The request was not answered within {self._limits.timeout_seconds:g} seconds."
            ) from None
        finally:
            self._runner.cancel(ticket)
        truncated, windowed = (
            len({text.source for text in encoded if text.fit is fit}) for fit in (Fit.TRUNCATED, Fit.WINDOW)
        )
        self._telemetry.long_inputs_answered(truncated=truncated, windowed=windowed)
        return Answers(answers=answers, tokens=sum(map(len, encoded)), truncated=truncated, windowed=windowed)

    async def brief(self, question: str, parameters: TaskParameters) -> str:
        """Answer one text in a few words, through the queue and the engine as any request.

        Raises:
            RequestError: As `run`.
        """
        ticket = self._runner.admit(deadline=math.inf)
        try:
            encoded = await self._on_worker(encode_within_bounds, self._task, [question], parameters, self._limits)
            outputs = await self._computed(ticket, encoded)
            return await self._on_worker(self._task.brief, encoded[0], outputs[0])
        finally:
            self._runner.cancel(ticket)

    def _answer(
        self, encoded: Sequence[EncodedText], outputs: Sequence[Output], parameters: TaskParameters
    ) -> list[object]:
        return self._task.answers(encoded, outputs, parameters)

    async def _on_worker(self, work: Callable[[*_Arguments], _ResultT], *arguments: *_Arguments) -> _ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work, *arguments)

    async def _computed(self, ticket: int, encoded: list[EncodedText]) -> list[Output]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def settle(result: Result) -> None:
            if not future.done():
                future.set_result(result)

        def deliver(result: Result) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may have ended
                loop.call_soon_threadsafe(self._turns.add, partial(settle, result))

        self._runner.enqueue(ticket, encoded, deliver)
        result = await future
        if isinstance(result, Exception):
            raise result
        return result
