"""What kopf's watches do, seen from the HTTP session that it is given.

kopf tells nobody that it has begun to watch anew, or that it has stopped. But a watch that is alive is opened anew
before long, because the API server is asked to end each one; and a listing after the first one means that a watch was
interrupted for so long that something may have been missed. Where a right is taken away, kopf goes on asking, and only
a listing of our own tells those whom it concerns.
"""

import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import SimpleNamespace

import aiohttp

WATCH_SECONDS = 20
"""How long one watch lasts. The API server sends a sign of life just before the end of it."""
SILENCE_SECONDS = 25.0
"""A watch without any sign for this long is dead, however open its connection looks."""


class Streams:
    """Signs of life of the watches, by the path of what is watched."""

    def __init__(self, *, clock: Callable[[], float], on_gap: Callable[[], None]) -> None:
        self._clock = clock
        self._on_gap = on_gap
        self._signs: dict[str, float] = {}
        self._listed: set[str] = set()
        self._refused: set[str] = set()

    def make_session(
        self, context: ssl.SSLContext | None, headers: Mapping[str, str], user_agent: str
    ) -> aiohttp.ClientSession:
        """Make a session that reports here."""
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._on_answer)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context if context is not None else True),
            headers={**headers, "User-Agent": user_agent},
            trace_configs=[trace],
            trust_env=False,
        )

    def longest_silence(self, since: float) -> float:
        """Seconds since the last sign of the watch that has been silent for longest, or since ``since`` if later."""
        return self._clock() - max(since, min(self._signs.values(), default=self._clock()))

    async def _on_answer(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        path, query = params.url.path, params.url.query
        self._note_right(path, allowed=params.response.status != HTTPStatus.FORBIDDEN)
        if query.get("watch") == "true":
            # A refusal is a sign as well: whoever asks is alive.
            self._signs[path] = self._clock()
        elif "limit" in query and "continue" not in query:
            if path in self._listed:
                self._on_gap()
            self._listed.add(path)

    def _note_right(self, path: str, *, allowed: bool) -> None:
        """A right that is lost or comes back is news once, however often kopf asks."""
        if allowed == (path in self._refused):
            (self._refused.discard if allowed else self._refused.add)(path)
            self._on_gap()
