"""The serve command: the listener first, the model beside it, one end for both."""

import asyncio
import logging
import os
import threading

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.listening import open_listener
from llmi_server.machine import raise_file_limit
from llmi_server.settings import ServeSettings
from llmi_server.telemetry import Telemetry
from llmi_server.tracing.start import start_tracing
from llmi_server.wiring import build_server, open_for_requests


def serve(settings: ServeSettings) -> None:
    """Listen at once, load the model on another thread, and return when a signal has been handled.

    Raises:
        StartupError: The address or the model cannot be had.
    """
    raise_file_limit()
    lifecycle, telemetry = Lifecycle(), Telemetry(settings.model_name)
    tracer = start_tracing(os.environ, model=settings.model_name, task=settings.task)
    server = build_server(settings, lifecycle=lifecycle, telemetry=telemetry, tracer=tracer)
    listener = open_listener(settings.host, settings.port)
    failures: list[StartupError] = []

    def give_up(error: StartupError) -> None:
        failures.append(error)
        server.stop()

    def load() -> None:
        try:
            open_for_requests(settings, lifecycle=lifecycle, telemetry=telemetry, on_death=give_up)
        except StartupError as error:
            failures.append(error)
        except Exception as error:
            logging.getLogger(__name__).exception("Loading failed")
            failures.append(_unforeseen(error))
        if failures:
            server.stop()

    threading.Thread(target=load, name="load", daemon=True).start()
    asyncio.run(server.serve_until_drained(listener))
    if tracer is not None:
        tracer.stop()
    if failures:
        raise failures[0]


def _unforeseen(error: Exception) -> StartupError:
    return StartupError(
        FailureCode.LOAD_FAILED,
        f"Starting failed: {type(error).__name__}: {str(error)[:300]}",
        next_step="See the log for the traceback.",
    )
