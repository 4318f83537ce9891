"""Triton as a child: started with what the settings say, watched, drained, and ended when its back end is gone.

Triton says that it is ready whatever becomes of the process with the model in it. Here that process holds a connection
to us as long as it lives; when the connection breaks, Triton is ended, and with it the container.
"""

import contextlib
import logging
import os
import signal
import subprocess
import tempfile
import threading
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from types import FrameType

from llmi_api.failure import Failure, FailureCode
from llmi_api.launch import short_name
from llmi_api.readiness import ReadinessReport, Stage
from llmi_server.errors import StartupError
from llmi_server.logs import facts
from llmi_server.machine import count_oom_kills, raise_file_limit
from llmi_server.model.readiness import answered
from llmi_server.settings import TritonSettings
from llmi_server.triton.channel import HEARD, VARIABLE, Word
from llmi_server.triton.description import describe_model
from llmi_server.triton.program import start
from llmi_server.triton.repository import is_repository, serve_repository

_MODEL = "from llmi_server.triton.back_end import TritonPythonModel  # noqa: F401 - Triton looks for this name\n"


def serve(settings: TritonSettings) -> None:
    """Run Triton until it is told to stop.

    Raises:
        StartupError: Triton or its back end ended by itself, and why.
    """
    raise_file_limit()
    if is_repository(Path(settings.model_dir)):
        serve_repository(settings)
        return
    with tempfile.TemporaryDirectory(prefix="triton-") as folder:
        repository = _lay_out(Path(folder), settings)
        _Watch(settings, Path(folder) / "channel").run(repository)


class _Watch:
    def __init__(self, settings: TritonSettings, socket: Path) -> None:
        self._settings = settings
        self._socket = socket
        self._report = ReadinessReport(stage=Stage.LOADING, phase="start")
        self._failure: Failure | None = None
        self._stopping = False
        self._oom_kills = count_oom_kills()
        self._process: subprocess.Popen[bytes] | None = None
        self._progress = contextlib.ExitStack()

    def run(self, repository: Path) -> None:
        """Start Triton, and return when it has ended as it was told to."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with self._progress, Listener(str(self._socket), "AF_UNIX") as listener:
            self._progress.enter_context(answered(lambda: self._report, self._settings.port))
            threading.Thread(target=self._listen, args=(listener,), name="channel", daemon=True).start()
            options = ("--disable-auto-complete-config",)
            environment = {VARIABLE: str(self._socket)}
            self._process = start(self._settings, repository, options=options, environment=environment)
            if self._stopping:
                self._process.terminate()
            status = self._process.wait()
        failure = self._failure
        if failure is not None:
            raise StartupError(failure.code, failure.message, next_step=failure.next)
        if not self._stopping:
            raise StartupError(
                FailureCode.LOAD_FAILED,
                f"Triton ended by itself with status {status}.",
                next_step="See the log for its last words.",
            )

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's signature
        self._stopping = True
        if self._process is not None:
            self._process.terminate()

    def _listen(self, listener: Listener) -> None:
        with contextlib.suppress(OSError):
            connection = listener.accept()
            with connection:
                self._hear_all(connection)
        if not self._stopping and self._process is not None and self._process.poll() is None:
            self._failure = self._failure or self._explain_loss()
            logging.getLogger(__name__).error("Back end ended", extra=facts(reason=self._failure.message))
            os.killpg(self._process.pid, signal.SIGKILL)  # nothing that it holds can be answered any more

    def _hear_all(self, connection: Connection) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                word = Word.model_validate_json(connection.recv_bytes())
                self._report = word.report or self._report
                self._failure = word.failure or self._failure
                if word.ready:
                    self._progress.close()  # Triton listens on this port now
                    logging.getLogger(__name__).info("Model ready", extra=facts(phases=self._report.phase_seconds))
                if word.ready or word.failure is not None:
                    connection.send_bytes(HEARD)

    def _explain_loss(self) -> Failure:
        if count_oom_kills() > self._oom_kills:
            return Failure(
                code=FailureCode.OUT_OF_MEMORY,
                message="The process with the model was killed by the kernel for want of memory.",
                next="Raise resources.memory, or lower limits.maxBatchTokens.",
            )
        return Failure(
            code=FailureCode.LOAD_FAILED,
            message="The process with the model, Triton's Python back end, ended by itself.",
            next="See the log for its last words; the container is started anew.",
        )


def _lay_out(folder: Path, settings: TritonSettings) -> Path:
    """Make the model repository."""
    repository = folder / "models"
    version = repository / short_name(settings.model_name) / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(_MODEL)
    (version.parent / "config.pbtxt").write_text(describe_model(settings))
    return repository
