"""Whether traces are asked for, by OpenTelemetry's own variables, and whether they can be had."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PROTOCOL = "http/protobuf"
_SAMPLERS = frozenset({"always_on", "always_off", "traceidratio"})
_FILES = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
_NUMBERS = (
    *("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_BSP_SCHEDULE_DELAY"),
    *("OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_EXPORT_TIMEOUT"),
)


@dataclass(frozen=True, kw_only=True)
class Tracing:
    """Whether to trace.

    Attributes:
        wanted: Somebody asked for traces, and they can be had.
        problem: Somebody asked, and why they cannot be had.
    """

    wanted: bool = False
    problem: str | None = None


def read_tracing(environment: Mapping[str, str]) -> Tracing:
    """Read OpenTelemetry's variables; an empty one counts as absent."""
    given = {name: value.strip() for name, value in environment.items() if name.startswith("OTEL_") and value.strip()}
    exporter = given.get("OTEL_TRACES_EXPORTER", "otlp" if _endpoints(given) else "none").lower()
    if exporter == "none" or given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Tracing()
    problem = (
        _wrong_exporter(exporter)
        or _wrong_protocol(given)
        or _wrong_endpoint(given)
        or _wrong_sampler(given)
        or _wrong_number(given)
        or _missing_file(given)
    )
    return Tracing(wanted=problem is None, problem=problem)


def _endpoints(given: Mapping[str, str]) -> list[str]:
    return [name for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") if name in given]


def _wrong_exporter(exporter: str) -> str | None:
    return None if exporter == "otlp" else f"OTEL_TRACES_EXPORTER is {exporter[:40]!r}; it may be otlp or none"


def _wrong_protocol(given: Mapping[str, str]) -> str | None:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if name in given:
            if given[name].lower() == PROTOCOL:
                return None
            return f"{name} is {given[name][:40]!r}; only {PROTOCOL} is spoken (a collector has it on port 4318)"
    return None


def _wrong_endpoint(given: Mapping[str, str]) -> str | None:
    for name in _endpoints(given)[:1]:
        try:
            url = urlsplit(given[name])
            fine = url.scheme in {"http", "https"} and url.hostname and url.port != 0
        except ValueError:
            fine = False
        if not fine:
            return f"{name} is not an address such as http://collector.observability:4318"
    return None


def _wrong_sampler(given: Mapping[str, str]) -> str | None:
    sampler = given.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").lower()
    kind = sampler.removeprefix("parentbased_")
    if kind not in _SAMPLERS:
        known = ", ".join(sorted(_SAMPLERS))
        return f"OTEL_TRACES_SAMPLER is {sampler[:40]!r}; it may be {known}, or parentbased_ and one of them"
    argument = given.get("OTEL_TRACES_SAMPLER_ARG")
    if kind == "traceidratio" and argument is not None and not _is_share(argument):
        return f"OTEL_TRACES_SAMPLER_ARG is {argument[:40]!r}; it is a share from 0 to 1"
    return None


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _wrong_number(given: Mapping[str, str]) -> str | None:
    for name in _NUMBERS:
        if name in given and not (given[name].isdecimal() and int(given[name]) > 0):
            return f"{name} is {given[name][:40]!r}; it is a whole number above 0"
    return None


def _missing_file(given: Mapping[str, str]) -> str | None:
    for name in (f"OTEL_EXPORTER_OTLP_{scope}{kind}" for scope in ("TRACES_", "") for kind in _FILES):
        if name in given and not Path(given[name]).is_file():
            return f"{name} names {given[name][:200]}, and there is no such file"
    return None
