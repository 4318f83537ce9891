"""Triton as a child: started with what the settings say, watched, drained, and ended when its back end is gone.

Triton says that it is ready whatever becomes of the process with the model in it. Here that process holds a connection
to us as long as it lives; when the connection breaks, Triton is ended, and with it the container.
"""

import contextlib
import logging
import os
import secrets
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Mapping
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
from llmi_server.settings import EVERYWHERE, TritonSettings
from llmi_server.triton.channel import HEARD, VARIABLE, Word
from llmi_server.triton.description import describe_model
from llmi_server.triton.trace_flags import FOLLOWING, trace_flags

_MODEL = "from llmi_server.triton.back_end import TritonPythonModel  # noqa: F401 - Triton looks for this name\n"
_RESTRICTED = "model-repository,shared-memory,trace,logging"
"""Parts of Triton's API that load code, write files or read memory: for whoever knows a key, which nobody does."""


def serve(settings: TritonSettings) -> None:
    """Run Triton until it is told to stop.

    Raises:
        StartupError: Triton or its back end ended by itself, and why.
    """
    raise_file_limit()
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
            self._process = _start(self._settings, repository, self._socket)
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


def command_line(settings: TritonSettings, repository: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the command that starts Triton."""
    host = "0.0.0.0" if settings.host == EVERYWHERE else settings.host  # noqa: S104 - a pod's address is not known
    return [
        str(settings.program_dir / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={settings.program_dir / 'backends'}",
        f"--http-address={host}",
        f"--http-port={settings.port}",
        "--allow-grpc=false",
        f"--metrics-address={host}",
        f"--metrics-port={settings.metrics_port}",
        f"--exit-timeout-secs={settings.drain_seconds}",
        "--disable-auto-complete-config",
        f"--http-restricted-api={_RESTRICTED}:llmi-key={secrets.token_hex()}",
        *trace_flags(environment, settings),
    ]


def child_environment(environment: Mapping[str, str], settings: TritonSettings, socket: Path) -> dict[str, str]:
    """Return what Triton and its back end start with: the latter runs the first ``python3`` on the path, so ours."""
    libraries = [
        environment.get("LD_LIBRARY_PATH"),
        str(settings.program_dir / "lib"),
        sysconfig.get_config_var("LIBDIR"),
    ]
    programs = [str(Path(sys.executable).parent), environment.get("PATH")]
    return {
        **environment,
        **(FOLLOWING if trace_flags(environment, settings) else {}),
        "PATH": os.pathsep.join(filter(None, programs)),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        VARIABLE: str(socket),
    }


def _lay_out(folder: Path, settings: TritonSettings) -> Path:
    """Make the model repository."""
    repository = folder / "models"
    version = repository / short_name(settings.model_name) / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(_MODEL)
    (version.parent / "config.pbtxt").write_text(describe_model(settings))
    return repository


def _start(settings: TritonSettings, repository: Path, socket: Path) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # noqa: S603 - our own command line
            command_line(settings, repository, os.environ),
            env=child_environment(os.environ, settings, socket),
            process_group=0,
        )
    except OSError as error:
        raise StartupError(
            FailureCode.INVALID_SETTINGS,
            f"Triton cannot be started: {error.strerror or error}: {settings.program_dir / 'bin' / 'tritonserver'}.",
            next_step="Use an image with Triton in it, or set LLMI_PROGRAM_DIR to where it is.",
        ) from None
