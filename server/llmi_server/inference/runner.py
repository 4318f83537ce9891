"""The loop on its own thread: next batch → engine → fold back → deliver."""

import contextlib
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from llmi_server.engine.protocol import EncodedText, Engine, EngineOutOfMemoryError, Output
from llmi_server.errors import (
    DeadlineExceededError,
    DrainingError,
    EngineFailedError,
    LlmiServerError,
    OutOfMemoryError,
)
from llmi_server.scheduling.batch import Batch
from llmi_server.scheduling.scheduler import Scheduler
from llmi_server.telemetry import Telemetry
from llmi_server.tracing.spans import Attributes, Span, ending, exemplar_of
from llmi_server.tracing.timeline import Timeline, begin_batch, describe_inference

Result = list[Output] | LlmiServerError
"""One array for each text of a request, or why there is none."""


@dataclass(kw_only=True)
class _Pending:
    texts: Sequence[EncodedText]
    deliver: Callable[[Result], None]
    queued_at: float
    timeline: Timeline | None
    outputs: dict[int, Output] = field(default_factory=dict)

    def settle(self, result: Result) -> None:
        """Deliver what came of it."""
        self.ended(type(result).__name__ if isinstance(result, Exception) else None)
        self.deliver(result)

    def ended(self, error: str | None) -> None:
        """End its spans."""
        if self.timeline is not None:
            self.timeline.end({"gen_ai.usage.input_tokens": sum(map(len, self.texts))}, error=error)


class BatchRunner:
    """Feeds an engine from a scheduler. All methods may be called from any thread.

    Whatever happens in the engine, every request that was enqueued and not cancelled is delivered once.
    """

    def __init__(
        self, *, engine: Engine, scheduler: Scheduler, telemetry: Telemetry, describing: Attributes | None = None
    ) -> None:
        """Prepare to compute.

        Args:
            engine: What computes.
            scheduler: What says what is next.
            telemetry: Where it is counted.
            describing: Attributes of spans of inference.
        """
        self._engine = engine
        self._scheduler = scheduler
        self._telemetry = telemetry
        self._describing = describing or describe_inference("custom", "")
        self._changed = threading.Condition()
        self._pending: dict[int, _Pending] = {}
        self._next_ticket = 0
        self._stopped = False
        self._batch_began: float | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin computing."""
        self._thread.start()

    def stop(self) -> None:
        """End after the batch that is being computed, if any; requests that are not answered yet fail."""
        with self._delivering() as ready:
            self._stopped = True
            ready += [(pending, _shutting_down()) for pending in self._pending.values()]
            for ticket in list(self._pending):
                self._scheduler.cancel(ticket)
            self._pending.clear()
            self._changed.notify_all()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread to end and say whether it has."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        """Say whether the thread runs."""
        return self._thread.is_alive()

    def device_memory_bytes(self) -> int | None:
        """Return the most memory that was in use on the engine's device; None if it is the process's own."""
        return self._engine.device_memory_bytes()

    def stuck_seconds(self) -> float:
        """Return how long the present batch has been computed; 0 when idle."""
        began = self._batch_began
        return 0.0 if began is None else time.monotonic() - began

    def refuse_if_full(self) -> None:
        """Say at once what `admit` would say.

        Raises:
            QueueFullError: As many requests wait as may wait.
        """
        self._scheduler.refuse_if_full()

    def admit(self, *, deadline: float) -> int:
        """Take a place in the queue and return its ticket.

        Raises:
            QueueFullError: As many requests wait as may wait.
        """
        with self._changed:
            self._next_ticket += 1
            self._scheduler.admit(self._next_ticket, deadline=deadline)
            self._count()
            return self._next_ticket

    def enqueue(self, ticket: int, texts: Sequence[EncodedText], deliver: Callable[[Result], None]) -> None:
        """Have the texts computed; ``deliver`` is called once, on the engine's thread, unless cancelled before.

        Raises:
            QueueFullError: More tokens would wait than may.
        """
        with self._changed:
            if not self._stopped:
                if self._scheduler.enqueue(ticket, [len(text) for text in texts]):
                    self._pending[ticket] = _Pending(
                        texts=texts,
                        deliver=deliver,
                        queued_at=time.monotonic(),
                        timeline=Timeline.of_current(self._describing),
                    )
                    self._changed.notify()
                return
        deliver(_shutting_down())

    def compute(self, texts: Sequence[EncodedText]) -> list[Output]:
        """Have texts computed as those of a request, and wait for it.

        Raises:
            LlmiServerError: The engine failed, or the queue is full.
        """
        results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self.enqueue(self.admit(deadline=math.inf), texts, results.put)
        result = results.get()
        if isinstance(result, Exception):
            raise result
        return result

    def cancel(self, ticket: int) -> None:
        """Give the place back; what is not yet computed never will be. Finished tickets are ignored."""
        with self._changed:
            self._scheduler.cancel(ticket)
            pending = self._pending.pop(ticket, None)
            self._count()
        if pending is not None:
            pending.ended("cancelled")

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            self._compute(*taken)

    def _take(self) -> tuple[Batch, list[EncodedText], Span | None] | None:
        """Wait for the next batch; None when stopped."""
        with self._changed:
            while not self._stopped:
                self._drop_late()
                batch = self._scheduler.next_batch()
                if batch is not None:
                    self._count()
                    self._observe_waits(batch)
                    texts = [self._pending[item.request].texts[item.index] for item in batch.items]
                    return batch, texts, self._trace(batch, texts)
                self._changed.wait()
        return None

    def _trace(self, batch: Batch, texts: list[EncodedText]) -> Span | None:
        tickets = dict.fromkeys(item.request for item in batch.items)
        timelines = [timeline for ticket in tickets if (timeline := self._pending[ticket].timeline) is not None]
        return begin_batch(timelines, texts=len(texts), tokens=sum(map(len, texts))) if timelines else None

    def _compute(self, batch: Batch, texts: list[EncodedText], span: Span | None) -> None:
        self._telemetry.batch_computed(texts=len(texts), tokens=sum(map(len, texts)))
        self._batch_began = time.monotonic()
        try:
            with self._timed(), ending(span):
                outputs = self._engine.compute(texts)
        except EngineOutOfMemoryError:
            logging.getLogger(__name__).exception("Batch did not fit into memory")
            self._fail(batch, OutOfMemoryError("The request did not fit into memory. Send fewer or shorter inputs."))
        except Exception:
            logging.getLogger(__name__).exception("Batch failed")
            self._fail(batch, EngineFailedError("The engine failed on this request."))
        else:
            self._finish(batch, outputs)
        finally:
            self._batch_began = None

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._telemetry.engine_computed(time.monotonic() - began)

    def _finish(self, batch: Batch, outputs: list[Output]) -> None:
        with self._delivering() as ready:
            for item, output in zip(batch.items, outputs, strict=True):
                if (pending := self._pending.get(item.request)) is not None:
                    pending.outputs[item.index] = output
            for ticket in self._scheduler.fold_back(batch):
                done = self._pending.pop(ticket)
                ready.append((done, [done.outputs[index] for index in range(len(done.texts))]))

    def _fail(self, batch: Batch, error: LlmiServerError) -> None:
        with self._delivering() as ready:
            for ticket in dict.fromkeys(item.request for item in batch.items):
                self._scheduler.cancel(ticket)
                if (pending := self._pending.pop(ticket, None)) is not None:
                    ready.append((pending, error))

    def _drop_late(self) -> None:
        for ticket in self._scheduler.expire(time.monotonic()):
            if (pending := self._pending.pop(ticket, None)) is not None:
                pending.settle(DeadlineExceededError("The request waited in the queue until its deadline."))

    @contextlib.contextmanager
    def _delivering(self) -> Iterator[list[tuple[_Pending, Result]]]:
        """Collect results under the lock and deliver them without it."""
        ready: list[tuple[_Pending, Result]] = []
        with self._changed:
            yield ready
            self._count()
        for pending, result in ready:
            pending.settle(result)

    def _observe_waits(self, batch: Batch) -> None:
        now = time.monotonic()
        for item in batch.items:
            if item.index == 0:
                pending = self._pending[item.request]
                exemplar = exemplar_of(pending.timeline.request) if pending.timeline else None
                self._telemetry.request_begun(waited_seconds=now - pending.queued_at, exemplar=exemplar)

    def _count(self) -> None:
        scheduler = self._scheduler
        self._telemetry.requests_counted(running=scheduler.running_requests, waiting=scheduler.waiting_requests)


def _shutting_down() -> DrainingError:
    return DrainingError("The server shut down before the request was answered. Try another replica.")
