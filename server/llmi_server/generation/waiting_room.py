"""How many requests, and tokens of their prompts, may wait for the engine."""

import threading

from llmi_server.errors import QueueFullError


class WaitingRoom:
    """Counts requests that the engine has not begun, from any thread."""

    def __init__(self, *, max_requests: int, max_tokens: int) -> None:
        self._max_requests = max_requests
        self._max_tokens = max_tokens
        self._lock = threading.Lock()
        self._tokens: dict[int, int] = {}

    @property
    def requests(self) -> int:
        """Number of requests that wait."""
        return len(self._tokens)

    def refuse_if_full(self) -> None:
        """Let nobody in where as many requests wait as may wait.

        Raises:
            QueueFullError: They do.
        """
        if len(self._tokens) >= self._max_requests:
            raise QueueFullError(self._max_requests)

    def enter(self, key: int) -> None:
        """Take a place for a request whose prompt is not known yet.

        Raises:
            QueueFullError: As many requests wait as may wait.
        """
        with self._lock:
            self.refuse_if_full()
            self._tokens[key] = 0

    def weigh(self, key: int, tokens: int) -> None:
        """Note how many tokens a request's prompt has.

        Raises:
            QueueFullError: With them, more tokens would wait than may; a lone request always may.
        """
        with self._lock:
            others = sum(self._tokens.values())
            if others and others + tokens > self._max_tokens:
                raise QueueFullError(self._max_tokens, what="tokens")
            if key in self._tokens:
                self._tokens[key] = tokens

    def leave(self, key: int) -> None:
        """Give a place back; unknown ones are ignored."""
        with self._lock:
            self._tokens.pop(key, None)
