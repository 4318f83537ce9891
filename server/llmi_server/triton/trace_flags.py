"""Triton's flags for traces: what OpenTelemetry's variables say, which Triton reads only in part."""

from collections.abc import Mapping

from llmi_api.tracing_variables import read_tracing
from llmi_server.settings import TritonSettings

SERVICE_NAME = "llminference-server"
_LOCAL = "http://localhost:4318"
_PATH = "/v1/traces"
_RAREST = 2**31 - 1
"""One in so many, where none is wanted but those of callers that are traced."""
_BATCHES = {
    "OTEL_BSP_MAX_QUEUE_SIZE": "bsp_max_queue_size",
    "OTEL_BSP_SCHEDULE_DELAY": "bsp_schedule_delay",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "bsp_max_export_batch_size",
}
FOLLOWING = {"OTEL_TRACES_SAMPLER": "parentbased_always_off", "OTEL_PROPAGATORS": "tracecontext"}
"""For the back end: what is traced has been decided by Triton, from whom it gets the trace."""


def trace_flags(environment: Mapping[str, str], settings: TritonSettings) -> list[str]:
    """Return the flags; none where nobody asks for traces, or asks for what cannot be had."""
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    if not read_tracing(environment).wanted:
        return []
    rate = _rate(given)
    if rate is None:
        return []
    own = [f"resource={key}={value}" for key, value in _describe(given, settings).items()]
    own += [f"{setting}={given[name]}" for name, setting in _BATCHES.items() if name in given]
    return [
        *(f"--trace-config={word}" for word in ("mode=opentelemetry", "level=TIMESTAMPS", "count=-1", f"rate={rate}")),
        *(f"--trace-config=opentelemetry,{word}" for word in (f"url={_endpoint(given)}", *own)),
    ]


def _endpoint(given: Mapping[str, str]) -> str:
    base = given.get("OTEL_EXPORTER_OTLP_ENDPOINT", _LOCAL).rstrip("/")
    return given.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{base}{_PATH}")


def _rate(given: Mapping[str, str]) -> int | None:
    """Return one in how many requests is traced; a caller's trace is gone on with in any case. None: nothing at all."""
    sampler = given.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").lower()
    if sampler == "always_off":
        return None
    shares = {"always_on": 1.0, "always_off": 0.0, "traceidratio": float(given.get("OTEL_TRACES_SAMPLER_ARG", "1"))}
    share = shares[sampler.removeprefix("parentbased_")]
    return min(round(1 / share), _RAREST) if share > 0 else _RAREST


def _describe(given: Mapping[str, str], settings: TritonSettings) -> dict[str, str]:
    """Say who sends the spans; without a name Triton would have one of its own."""
    pairs = [one.partition("=") for one in given.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")]
    named = {key.strip(): value.strip() for key, _, value in pairs}.get("service.name", SERVICE_NAME)
    name = given.get("OTEL_SERVICE_NAME", named)
    return {"service.name": name, "llmi.model": settings.model_name, "llmi.task": settings.task.value}
