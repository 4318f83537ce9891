"""The server's end of the template's process: start it, ask it, start it anew when a template took too much."""

import contextlib
import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, Pipe

from llmi_server.errors import InvalidRequestError

_SILENT_SECONDS = 30.0
"""Far more than the process may compute; it is silent for so long only if it is stopped."""

_TOO_MUCH = "it takes too much time or memory"


class TemplateClient:
    """Renders conversations in another process, so that no template takes this one down. Any thread may call it."""

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        """Compile a template.

        Raises:
            ValueError: It is not a template.
        """
        self._definition = json.dumps([source, dict(special)]).encode()
        self._lock = threading.Lock()
        self._process: _Process | None = self._started()

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the prompt for a conversation, up to where the assistant speaks next.

        Raises:
            InvalidRequestError: The template refuses the conversation, or takes too much time or memory for it.
        """
        with self._lock:
            try:
                if self._process is None:
                    self._process = self._started()
                return self._process.ask(json.dumps([dict(message) for message in messages]).encode())
            except _EndedError:
                self.stop()
                raise _refused(_TOO_MUCH) from None
            except ValueError as error:
                raise _refused(str(error)) from None

    def stop(self) -> None:
        """End the process; the next conversation starts it anew."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _started(self) -> "_Process":
        process = _Process()
        try:
            process.ask(self._definition)
        except _EndedError:
            process.end()
            raise ValueError(_TOO_MUCH) from None
        except ValueError:
            process.end()
            raise
        return process


class _EndedError(Exception):
    """The process has ended, or says nothing any more."""


class _Process:
    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        command = [sys.executable, "-m", "llmi_server.generation.template_process", str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)  # noqa: S603 - our own module
        theirs.close()
        self.end = weakref.finalize(self, _end, process, self._connection)

    def ask(self, question: bytes) -> str:
        """Return the answer to a question.

        Raises:
            ValueError: It is refused, and why.
            _EndedError: There is none.
        """
        try:
            self._connection.send_bytes(question)
            if not self._connection.poll(_SILENT_SECONDS):
                raise _EndedError
            answer = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise _EndedError from None
        if "refused" in answer:
            raise ValueError(answer["refused"])
        text: str = answer["text"]
        return text


def _end(process: "subprocess.Popen[bytes]", connection: Connection) -> None:
    with contextlib.suppress(OSError):
        connection.close()
    process.kill()
    process.wait()


def _refused(reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The model's chat template does not take this conversation: {reason}.", param="messages"
    )
