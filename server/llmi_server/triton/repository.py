"""A model repository of the user's own: Triton runs on it as it is, and ends with the first of its back ends.

Nothing is made of the task then, and its models speak for themselves: neither do we load them, nor describe them.
"""

import contextlib
import http.client
import logging
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from http import HTTPStatus
from pathlib import Path
from types import FrameType

from llmi_api.failure import Failure, FailureCode
from llmi_server.errors import StartupError
from llmi_server.logs import facts
from llmi_server.machine import count_oom_kills
from llmi_server.settings import EVERYWHERE, TritonSettings
from llmi_server.triton.program import start

_DESCRIPTION = "config.pbtxt"
_BACK_END = "triton_python_b"
"""How Linux calls the process of a model in Python: its program's name, cut to 15 letters."""
_LOOK_SECONDS = 0.2
_LONGEST_REASON = 600
_REASON = re.compile(r"(?:failed to load '.*' version|Poll failed for model directory|creating server:).*")
_NO_BACK_END = "unable to find backend library"
_NOT_HONOURED = {
    "precision": "engine.precision",
    "long_inputs": "limits.longInputs",
    "max_input_tokens": "limits.maxInputTokens",
    "max_output_tokens": "limits.maxOutputTokens",
    "max_batch_tokens": "limits.maxBatchTokens",
    "max_queued_requests": "limits.maxQueuedRequests",
    "request_timeout_seconds": "limits.requestTimeoutSeconds",
    "verify": "verify",
}
"""Settings of which nothing would come, by their names in the resource."""


def is_repository(folder: Path) -> bool:
    """Whether a folder is Triton's: descriptions in its folders, and no model of Hugging Face's in itself."""
    return not (folder / "config.json").exists() and any(folder.glob(f"*/{_DESCRIPTION}"))


def find_reason(line: str) -> str:
    """What a line of Triton's log says of a model that it does not take, without the traceback; else nothing."""
    found = _REASON.search(line)
    return found[0].partition("\\n")[0].strip().rstrip('"')[:_LONGEST_REASON] if found else ""


def serve_repository(settings: TritonSettings) -> None:
    """Run Triton until it is told to stop.

    Raises:
        StartupError: A setting is not for such a repository; or Triton or a back end ended by itself, and why.
    """
    _refuse_settings(settings)
    _Watch(settings).run()


def _refuse_settings(settings: TritonSettings) -> None:
    fields = TritonSettings.model_fields
    chosen = [told for name, told in _NOT_HONOURED.items() if getattr(settings, name) != fields[name].get_default()]
    if chosen:
        raise StartupError(
            FailureCode.INVALID_SETTINGS,
            f"The model is a repository of Triton's, for which nothing comes of {', '.join(chosen)}.",
            next_step="Leave that out, and say the like in each model's config.pbtxt.",
        )


class _Watch:
    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._failure: Failure | None = None
        self._reason = ""
        self._stopping = False
        self._oom_kills = count_oom_kills()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Start Triton, and return when it has ended as it was told to."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._process = process = start(self._settings, Path(self._settings.model_dir), stderr=subprocess.PIPE)
        if self._stopping:
            process.terminate()
        passing = threading.Thread(target=self._pass_log, args=(process,), name="log", daemon=True)
        passing.start()
        threading.Thread(target=self._guard, args=(process,), name="guard", daemon=True).start()
        status = process.wait()
        # A back end that outlives it may hold the pipe.
        passing.join(timeout=1)
        failure = self._failure
        if failure is None and not self._stopping:
            failure = self._explain_end(status)
        if failure is not None:
            raise StartupError(failure.code, failure.message, next_step=failure.next)

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's signature
        self._stopping = True
        if self._process is not None:
            self._process.terminate()

    def _pass_log(self, process: "subprocess.Popen[bytes]") -> None:
        """Pass its log on, and keep the first reason that it gives for ending."""
        assert process.stderr is not None  # noqa: S101 - it was asked for
        for line in process.stderr:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
            self._reason = self._reason or find_reason(line.decode("utf-8", "replace"))

    def _guard(self, process: "subprocess.Popen[bytes]") -> None:
        while not self._is_ready():
            if process.poll() is not None:
                return
            time.sleep(_LOOK_SECONDS)
        logging.getLogger(__name__).info("Repository ready", extra=facts(folder=str(self._settings.model_dir)))
        if not _wait_for_end_of_one(_find_back_ends(process.pid)):
            return
        # Triton, told to stop, ends them before itself.
        if not self._stopping and process.poll() is None:
            self._failure = self._explain_loss()
            logging.getLogger(__name__).error("Back end ended", extra=facts(reason=self._failure.message))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the model would be answered for with 500 for ever

    def _is_ready(self) -> bool:
        host = "127.0.0.1" if self._settings.host == EVERYWHERE else self._settings.host
        connection = http.client.HTTPConnection(host, self._settings.port, timeout=5)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _explain_end(self, status: int) -> Failure:
        if count_oom_kills() > self._oom_kills:
            return self._explain_loss()
        if self._reason:
            step = "Correct that model's files or its config.pbtxt; the log has Triton's whole account."
            if _NO_BACK_END in self._reason:
                folder = self._settings.program_dir / "backends"
                step = (
                    f"The image has Triton's back end for Python only: set engine.image to one with that in {folder}."
                )
            message = f"Triton refuses the repository: {self._reason}"
            return Failure(code=FailureCode.MODEL_INVALID, message=message, next=step)
        return Failure(
            code=FailureCode.LOAD_FAILED,
            message=f"Triton ended by itself with status {status}.",
            next="See the log for its last words.",
        )

    def _explain_loss(self) -> Failure:
        if count_oom_kills() > self._oom_kills:
            return Failure(
                code=FailureCode.OUT_OF_MEMORY,
                message="A process with a model was killed by the kernel for want of memory.",
                next="Raise resources.memory, or have fewer models or instances in the repository.",
            )
        return Failure(
            code=FailureCode.LOAD_FAILED,
            message="The process with a model, Triton's Python back end, ended by itself.",
            next="See the log for its last words; the container is started anew.",
        )


def _find_back_ends(triton: int) -> list[int]:
    """The processes that compute models in Python: children of Triton's."""
    children = [
        int(word) for one in Path("/proc").glob(f"{triton}/task/*/children") for word in one.read_text().split()
    ]
    return [child for child in children if Path(f"/proc/{child}/comm").read_text().strip() == _BACK_END]


def _wait_for_end_of_one(processes: list[int]) -> bool:
    """Wait until one of them has ended; False where there are none."""
    ends = select.poll()
    for process in processes:
        try:
            ends.register(os.pidfd_open(process), select.POLLIN)
        except ProcessLookupError:
            return True
    return bool(processes) and bool(ends.poll())
