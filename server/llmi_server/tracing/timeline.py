"""The way of one request through the queue and the engine, as spans."""

import threading
from collections.abc import Sequence
from typing import Self

from llmi_server.tracing.spans import Attributes, Span, current_span

PROVIDER = "llminference"


def describe_inference(operation: str, model: str) -> dict[str, str]:
    """Return the attributes that every span of inference has."""
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": model,
    }


class Timeline:
    """Spans of one request: ``queue``, then one of inference. Methods may be called from any thread, and again."""

    def __init__(self, request: Span, describing: Attributes) -> None:
        self.request = request
        self._describing = describing
        self._lock = threading.Lock()
        self._phase: Span | None = request.child("queue")
        self._inference: Span | None = None
        self._ended = False

    @classmethod
    def of_current(cls, describing: Attributes) -> Self | None:
        """Begin the timeline of the request that the caller works for; None if it is not traced."""
        span = current_span()
        return None if span is None else cls(span, describing)

    def begin(self, phase: str | None = None) -> Span:
        """Note that the engine begins, with a phase if there are several."""
        with self._lock:
            if self._inference is None:
                self._leave()
                name = f"{self._describing['gen_ai.operation.name']} {self._describing['gen_ai.request.model']}"
                self._inference = self.request.child(name, self._describing)
                if phase is not None:
                    self._phase = self._inference.child(phase)
            return self._inference

    def enter(self, phase: str) -> None:
        """Note that a phase of inference begins and the one before ended."""
        with self._lock:
            if not self._ended and self._inference is not None:
                self._leave()  # first: the one that follows must not begin before this one's end
                self._phase = self._inference.child(phase)

    def end(self, attributes: Attributes | None = None, *, error: str | None = None) -> None:
        """End whatever has not ended."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._leave(error=error)
            if self._inference is not None:
                self._inference.note(attributes or {})
                self._inference.end(error=error)

    def _leave(self, *, error: str | None = None) -> None:
        if self._phase is not None:
            self._phase.end(error=error)
        self._phase = None


def begin_batch(timelines: Sequence[Timeline], *, texts: int, tokens: int) -> Span | None:
    """Begin the span of a batch: a part of its first request's inference, linked with all of its requests.

    So it is kept when one of them is, and found from each.
    """
    if not timelines:
        return None
    inferences = [timeline.begin() for timeline in timelines]
    batch = inferences[0].child("batch", {"llmi.batch.texts": texts, "llmi.batch.tokens": tokens})
    for timeline in timelines:
        batch.link(timeline.request)
    for inference in inferences[1:]:
        inference.link(batch)
    return batch
