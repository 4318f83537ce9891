"""What routes call: a prompt in, pieces of an answer out."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TypeVar, TypeVarTuple

from llmi_server.engine.protocol import ModelFacts
from llmi_server.errors import ContextExceededError, DeadlineExceededError, InvalidRequestError, RequestError
from llmi_server.generation.answer import Answer, Piece
from llmi_server.generation.engine_client import EngineClient
from llmi_server.generation.messages import Loaded
from llmi_server.generation.prompts import Message, Prompt, PromptCodec
from llmi_server.generation.request import Job, Sampling
from llmi_server.generation.waiting_room import WaitingRoom
from llmi_server.machine import peak_memory_bytes
from llmi_server.telemetry import Telemetry
from llmi_server.tracing.spans import Attributes, current_span
from llmi_server.tracing.timeline import Timeline, describe_inference

_ResultT = TypeVar("_ResultT")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(frozen=True, kw_only=True)
class GenerationLimits:
    """Bounds of one request.

    Attributes:
        input_tokens: Longest prompt.
        output_tokens: Longest answer.
        sequence_tokens: Longest text, prompt and answer together.
        timeout_seconds: Longest time.
    """

    input_tokens: int
    output_tokens: int
    sequence_tokens: int
    timeout_seconds: float


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a request wants.

    Attributes:
        prompt: A text or a conversation.
        max_tokens: Most tokens of the answer; as many as fit if None.
        max_tokens_param: What the request calls it.
        sampling: How tokens are chosen.
        seed: Where the draws begin; anywhere if None.
        stops: Strings that end the answer and are not part of it.
        keep_last: Cut the prompt to this many of its last tokens, if given.
    """

    prompt: Prompt
    max_tokens: int | None = None
    max_tokens_param: str = "max_tokens"
    sampling: Sampling
    seed: int | None = None
    stops: tuple[str, ...] = ()
    keep_last: int | None = None


class Generation:
    """An answer that is being generated: iterate over its pieces."""

    def __init__(self, *, prompt_tokens: int, deadline: float, timeout_seconds: float) -> None:
        self.prompt_tokens = prompt_tokens
        self._deadline = deadline
        self._timeout_seconds = timeout_seconds
        self._pieces: asyncio.Queue[Piece | RequestError] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._ended = False

    def deliver(self, piece: Piece | RequestError) -> None:
        """Take the next piece, or the end; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop may have ended
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

    def __aiter__(self) -> AsyncIterator[Piece]:
        """Return the pieces from here on."""
        return self

    async def __anext__(self) -> Piece:
        """Return the next piece.

        Raises:
            DeadlineExceededError: The answer is not complete in time.
            EngineFailedError: The engine failed on it.
            DrainingError: The server shut down before it was complete.
        """
        if self._ended:
            raise StopAsyncIteration
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                piece = await self._pieces.get()
        except TimeoutError:
            raise DeadlineExceededError(
                f"The answer was not complete within {self._timeout_seconds:g} seconds."
            ) from None
        if isinstance(piece, RequestError):
            raise piece
        self._ended = piece.finish is not None
        return piece


class GenerationService:
    """Runs requests: tokenises on worker threads, computes in the engine's process, cleans up whatever happens."""

    def __init__(
        self,
        *,
        engine: EngineClient,
        codec: PromptCodec,
        loaded: Loaded,
        limits: GenerationLimits,
        room: WaitingRoom,
        workers: Executor,
        telemetry: Telemetry,
        model_name: str = "",
    ) -> None:
        self._engine = engine
        self._codec = codec
        self._limits = limits
        self._room = room
        self._workers = workers
        self._telemetry = telemetry
        self._model_name = model_name
        self._keys = itertools.count(1)
        self._draws = random.SystemRandom()
        self._loaded = loaded
        self._facts = replace(loaded.facts, converses=codec.converses)

    @property
    def facts(self) -> ModelFacts:
        """What the loaded model says about itself."""
        return self._facts

    @property
    def converses(self) -> bool:
        """Whether the model takes conversations."""
        return self._codec.converses

    def is_alive(self, *, stuck_after_seconds: float) -> bool:
        """Say whether the engine makes progress or is idle."""
        return self._engine.is_alive() and self._engine.stuck_seconds() < stuck_after_seconds

    def device_memory_bytes(self) -> int | None:
        """Return the most memory in use: on a GPU what loading took, else that of both processes."""
        if self._loaded.device_memory_bytes is not None:
            return self._loaded.device_memory_bytes
        return peak_memory_bytes() + peak_memory_bytes(self._engine.process_id)

    async def brief(self, question: str, expected: str) -> str:
        """Return the beginning of the likeliest answer to a question, at least as long as what is expected.

        Raises:
            RequestError: There is no answer.
        """
        prompt = (Message(role="user", content=question),) if self.converses else question
        ask = Ask(prompt=prompt, max_tokens=len(expected) + 8, sampling=Sampling(temperature=0))
        text = ""
        async with self.generate(ask) as generation:
            async for piece in generation:
                text += piece.text
                if len(text.strip()) >= len(expected.strip()):
                    break
        return text

    def refuse_if_full(self) -> None:
        """Refuse a request whose body nobody need read.

        Raises:
            QueueFullError: As many requests wait as may wait.
        """
        self._room.refuse_if_full()

    def stop(self) -> None:
        """Fail whatever is not answered yet, and end the engine."""
        self._engine.stop()
        self._codec.stop()

    @contextlib.asynccontextmanager
    async def generate(self, ask: Ask) -> AsyncIterator[Generation]:
        """Begin an answer; leaving the block ends it, within a step of the engine.

        Raises:
            InvalidRequestError: The prompt cannot be taken, or with the answer it would be too long.
            QueueFullError: As many requests wait as may wait.
            DeadlineExceededError: Not even tokenised in time.
        """
        key, deadline = next(self._keys), time.monotonic() + self._limits.timeout_seconds
        with self._place(key):
            prompt = await self._on_worker(self._codec.encode, ask.prompt)
            job = self._job(key, prompt, ask)
            self._room.weigh(key, len(job.prompt))
            generation = Generation(
                prompt_tokens=len(job.prompt), deadline=deadline, timeout_seconds=self._limits.timeout_seconds
            )
            answer = self._answer(job, ask, generation)
            self._engine.submit(job, answer)
            try:
                yield generation
            finally:
                self._engine.cancel(key)
                answer.ended("cancelled")

    @contextlib.contextmanager
    def _place(self, key: int) -> Iterator[None]:
        self._room.enter(key)
        self._count()
        try:
            yield
        finally:
            self._room.leave(key)
            self._count()

    def _answer(self, job: Job, ask: Ask, generation: Generation) -> Answer:
        def start() -> None:
            self._room.leave(job.key)
            self._count()

        return Answer(
            codec=self._codec,
            stops=ask.stops,
            tells_tokens=ask.sampling.top_logprobs is not None,
            deliver=generation.deliver,
            on_start=start,
            on_stop_string=lambda: self._engine.cancel(job.key),
            telemetry=self._telemetry,
            operation=_operation(ask),
            timeline=Timeline.of_current(self._described(job, ask)) if current_span() else None,
        )

    def _described(self, job: Job, ask: Ask) -> Attributes:
        sampling = job.sampling
        return describe_inference(_operation(ask), self._model_name) | {
            "gen_ai.output.type": "text",
            "gen_ai.request.max_tokens": job.max_tokens,
            "gen_ai.request.temperature": sampling.temperature,
            "gen_ai.request.top_p": sampling.top_p,
            "gen_ai.request.top_k": sampling.top_k,
            "gen_ai.request.frequency_penalty": sampling.frequency_penalty,
            "gen_ai.request.presence_penalty": sampling.presence_penalty,
            "gen_ai.usage.input_tokens": len(job.prompt),
        }

    def _job(self, key: int, prompt: list[int], ask: Ask) -> Job:
        limits = self._limits
        if ask.keep_last is not None:
            prompt = prompt[-ask.keep_last :]
        if len(prompt) > limits.input_tokens:
            raise ContextExceededError(
                f"The prompt has {len(prompt)} tokens and the limit is {limits.input_tokens}. Shorten it."
            )
        room = min(limits.output_tokens, limits.sequence_tokens - len(prompt))
        wanted = room if ask.max_tokens is None else ask.max_tokens
        if wanted > limits.output_tokens:
            raise InvalidRequestError(
                f"{ask.max_tokens_param} is {wanted} and the limit is {limits.output_tokens}.",
                param=ask.max_tokens_param,
            )
        if wanted > room:
            raise ContextExceededError(
                f"The prompt has {len(prompt)} tokens, so that {room} are left for the answer and not {wanted}."
                f" Shorten the prompt, or lower {ask.max_tokens_param}."
            )
        seed = self._draws.getrandbits(63) if ask.seed is None else ask.seed
        return Job(key=key, prompt=tuple(prompt), max_tokens=wanted, sampling=replace(ask.sampling, seed=seed))

    def _count(self) -> None:
        waiting = self._room.requests
        self._telemetry.requests_counted(running=max(0, self._engine.jobs - waiting), waiting=waiting)

    async def _on_worker(self, work: Callable[[*_Arguments], _ResultT], *arguments: *_Arguments) -> _ResultT:
        try:
            async with asyncio.timeout(self._limits.timeout_seconds):
                return await asyncio.get_running_loop().run_in_executor(self._workers, work, *arguments)
        except TimeoutError:
            raise DeadlineExceededError("The prompt was not even read in time.") from None


def _operation(ask: Ask) -> str:
    """Return what OpenTelemetry's conventions for generative AI call it."""
    return "text_completion" if isinstance(ask.prompt, str) else "chat"
