"""Turns traces on where OpenTelemetry's variables ask for them."""

import logging
from collections.abc import Mapping

from llmi_api.tracing_variables import read_tracing
from llmi_server.tracing.spans import Tracer


def start_tracing(environment: Mapping[str, str], *, model: str, task: str) -> Tracer | None:
    """Return what begins traces, if they are asked for; a problem is logged and stops nothing."""
    tracing = read_tracing(environment)
    problem = tracing.problem
    if tracing.wanted:
        try:
            from llmi_server.tracing.export import make_tracer  # noqa: PLC0415 - imported only when it is used

            tracer = make_tracer(model=model, task=task)
        except Exception as error:  # noqa: BLE001 - traces are no reason not to serve
            problem = f"OpenTelemetry's SDK does not take its variables: {type(error).__name__}: {str(error)[:200]}"
        else:
            logging.getLogger(__name__).info("Traces are sent")
            return tracer
    if problem is not None:
        logging.getLogger(__name__).warning("Traces are off: %s. Correct it, or unset the OTEL_* variables.", problem)
    return None
