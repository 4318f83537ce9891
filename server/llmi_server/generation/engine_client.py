"""The server's end of the engine's process: start it, speak to it, notice its death."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Protocol

from llmi_api.failure import FailureCode
from llmi_server.engine.heap import with_huge_pages
from llmi_server.engine.protocol import LoadWatcher
from llmi_server.errors import DrainingError, EngineFailedError, OutOfMemoryError, RequestError, StartupError
from llmi_server.generation.messages import (
    BytesExpected,
    BytesRead,
    Cancel,
    Command,
    EngineSettings,
    Event,
    GaveUp,
    Loaded,
    MemoryPredicted,
    PhaseBegins,
    StepDone,
    Submit,
    TokenChosen,
)
from llmi_server.generation.request import Job
from llmi_server.logs import facts


class Listener(Protocol):
    """Hears about one job, on the thread that reads from the engine."""

    def started(self) -> None:
        """The engine has begun."""
        ...

    def chosen(self, token: TokenChosen) -> None:
        """There is one more token."""
        ...

    def failed(self, error: RequestError) -> None:
        """There will be no more, for this reason."""
        ...


class EngineClient:
    """Runs the engine's process. All methods may be called from any thread.

    Every job that was submitted and not cancelled ends with a last token or a failure, whatever happens to the process.
    """

    def __init__(self, *, on_step: Callable[[StepDone], None], on_death: Callable[[StartupError], None]) -> None:
        self._on_step = on_step
        self._on_death = on_death
        self._lock = threading.Lock()
        self._listeners: dict[int, Listener] = {}
        self._connection: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._dead = False
        self._last_sign = time.monotonic()

    @property
    def jobs(self) -> int:
        """Number of jobs that have not ended."""
        return len(self._listeners)

    @property
    def process_id(self) -> int | None:
        """Number of the engine's process."""
        return self._process.pid if self._process else None

    def start(self, settings: EngineSettings, *, watcher: LoadWatcher) -> Loaded:
        """Start the process and wait until the model answers.

        Raises:
            StartupError: The model cannot be served, and why.
        """
        ours, theirs = Pipe()
        command = [sys.executable, "-m", "llmi_server.generation.engine_process", str(theirs.fileno())]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=with_huge_pages(os.environ)
        )
        theirs.close()
        self._connection = ours
        ours.send(settings)
        loaded = self._await_loaded(watcher)
        threading.Thread(target=self._listen, name="engine-events", daemon=True).start()
        return loaded

    def submit(self, job: Job, listener: Listener) -> None:
        """Have a job computed; the listener hears of it until it ends, or until it is cancelled."""
        with self._lock:
            if not (self._stopped or self._dead):
                if not self._listeners:
                    self._last_sign = time.monotonic()
                self._listeners[job.key] = listener
                self._send(Submit(job))
                return
        listener.failed(_shutting_down() if self._stopped else _engine_gone())

    def cancel(self, key: int) -> None:
        """Stop computing a job; unknown ones and those that have ended are ignored."""
        with self._lock:
            if self._listeners.pop(key, None) is not None:
                self._send(Cancel(key))

    def stop(self) -> None:
        """Fail whatever has not ended, and end the process."""
        with self._lock:
            self._stopped = True
            left, self._listeners = list(self._listeners.values()), {}
        for listener in left:
            listener.failed(_shutting_down())
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def is_alive(self) -> bool:
        """Say whether the process runs."""
        return not self._dead

    def stuck_seconds(self) -> float:
        """Return for how long the engine has said nothing although there are jobs; 0 when idle."""
        return time.monotonic() - self._last_sign if self._listeners else 0.0

    def _await_loaded(self, watcher: LoadWatcher) -> Loaded:
        while True:
            match self._receive():
                case Loaded() as loaded:
                    return loaded
                case PhaseBegins(name):
                    watcher.enter_phase(name)
                case MemoryPredicted(count, by_precision, weights):
                    watcher.predict(memory_bytes=count, by_precision=by_precision, weights=weights)
                case BytesExpected(count):
                    watcher.expect(count)
                case BytesRead(count):
                    watcher.read(count)
                case GaveUp(failure):
                    raise StartupError(failure.code, failure.message, next_step=failure.next)
                case _:
                    raise self._explain_death()

    def _listen(self) -> None:
        while isinstance(event := self._receive(), StepDone):
            self._last_sign = time.monotonic()
            self._on_step(event)
            self._pass_on(event)
        self._dead = True
        with self._lock:
            stopped = self._stopped
            left, self._listeners = list(self._listeners.values()), {}
        for listener in left:
            listener.failed(_engine_gone())
        if not stopped:
            error = self._explain_death()
            logging.getLogger("llmi_server.generation").error(
                "Engine ended", extra=facts(jobs=len(left), reason=error.failure.message)
            )
            self._on_death(error)

    def _pass_on(self, step: StepDone) -> None:
        for key in step.started:
            if (listener := self._listeners.get(key)) is not None:
                listener.started()
        for token in step.chosen:
            listener = self._listeners.get(token.key) if token.finish is None else self._drop(token.key)
            if listener is not None:
                self._tell(listener, token)
        for key in step.failed:
            if (listener := self._drop(key)) is not None:
                listener.failed(_no_memory() if step.out_of_memory else _step_failed())

    def _tell(self, listener: Listener, token: TokenChosen) -> None:
        try:
            listener.chosen(token)
        except Exception:
            logging.getLogger("llmi_server.generation").exception("Token could not be told")
            self.cancel(token.key)
            listener.failed(_step_failed())

    def _drop(self, key: int) -> Listener | None:
        with self._lock:
            return self._listeners.pop(key, None)

    def _receive(self) -> Event | None:
        try:
            event: Event = self._connection.recv()  # type: ignore[union-attr]
        except (EOFError, OSError):
            return None
        return event

    def _send(self, command: Command) -> None:
        try:
            self._connection.send(command)  # type: ignore[union-attr]
        except (OSError, ValueError):
            self._dead = True  # the thread that listens tells everybody

    def _explain_death(self) -> StartupError:
        status = self._process.wait() if self._process else 0
        if status == -signal.SIGKILL:
            return StartupError(
                FailureCode.OUT_OF_MEMORY,
                "The engine's process was killed (signal 9), most likely by the kernel for want of memory.",
                next_step="Raise the memory limit, or lower maxInputTokens, maxOutputTokens or LLMI_MAX_SEQUENCES.",
            )
        how = f"signal {-status} ({signal.Signals(-status).name})" if status < 0 else f"status {status}"
        return StartupError(
            FailureCode.LOAD_FAILED,
            f"The engine's process ended with {how}.",
            next_step="See the log for its last words; the server is started anew.",
        )


def _shutting_down() -> DrainingError:
    return DrainingError("The server shut down before the answer was complete. Try another replica.")


def _engine_gone() -> EngineFailedError:
    return EngineFailedError("The engine's process ended before the answer was complete.")


def _step_failed() -> EngineFailedError:
    return EngineFailedError("The engine failed on this request.")


def _no_memory() -> OutOfMemoryError:
    return OutOfMemoryError("The answer did not fit into memory. Send a shorter prompt, or ask for fewer tokens.")
