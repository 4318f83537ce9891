"""What the back end tells the process that watches over it, on a connection that ends when the back end does."""

import contextlib
import os
import threading
import time
from multiprocessing.connection import Client, Connection
from typing import Self

from pydantic import BaseModel, ConfigDict

from llmi_api.failure import Failure
from llmi_api.readiness import ReadinessReport

VARIABLE = "LLMINFERENCE_TRITON_CHANNEL"
"""Environment variable with the path of the socket."""
HEARD = b"heard"
_REPORT_SECONDS = 0.5


class Word(BaseModel):
    """One message: how far loading is, that it is done, or why it failed."""

    model_config = ConfigDict(frozen=True)

    report: ReadinessReport | None = None
    failure: Failure | None = None
    ready: bool = False


class Channel:
    """The back end's end. Nobody may listen any more: that is no reason to fail."""

    def __init__(self, connection: Connection | None) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._reported = float("-inf")

    @classmethod
    def from_environment(cls) -> Self:
        """Connect to where the environment says; to nobody if it does not."""
        path = os.environ.get(VARIABLE)
        return cls(Client(path, "AF_UNIX") if path else None)

    def report(self, report: ReadinessReport, *, at_once: bool) -> None:
        """Tell how far loading is, unless that was told just now."""
        now = time.monotonic()
        if at_once or now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            self._send(Word(report=report))

    def fail(self, failure: Failure) -> None:
        """Tell why loading failed, and wait until that was heard."""
        self._send(Word(failure=failure), waits=True)

    def ready(self, report: ReadinessReport) -> None:
        """Tell that the model answers, and wait until that was heard."""
        self._send(Word(report=report, ready=True), waits=True)

    def _send(self, word: Word, *, waits: bool = False) -> None:
        if self._connection is None:
            return
        with self._lock, contextlib.suppress(OSError, EOFError):
            self._connection.send_bytes(word.model_dump_json().encode())
            if waits:
                self._connection.recv_bytes(len(HEARD))
