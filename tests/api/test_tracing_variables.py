"""Which of OpenTelemetry's variables turn traces on, and what is said about wrong ones."""

import pytest

from llmi_api.tracing_variables import Tracing, read_tracing

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"OTEL_SERVICE_NAME": "bert"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        ENDPOINT | {"OTEL_SDK_DISABLED": "true"},
        ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "nonsense"},
    ],
)
def test_traces_are_off_unless_they_are_asked_for(given):
    assert read_tracing(given) == Tracing()


@pytest.mark.parametrize(
    "given",
    [
        ENDPOINT,
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/v1/traces"},
        ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
        ENDPOINT | {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.05"},
        ENDPOINT | {"OTEL_TRACES_SAMPLER": "traceidratio"},
    ],
)
def test_an_endpoint_or_an_exporter_turns_them_on(given):
    assert read_tracing(given) == Tracing(wanted=True)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "may be otlp or none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "only http/protobuf is spoken"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "only http/protobuf is spoken"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "is not an address such as"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:port", "is not an address such as"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "it may be always_off, always_on, traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "lots", "it is a share from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5", "it is a share from 0 to 1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "it is a whole number above 0"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "it is a whole number above 0"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem", "there is no such file"),
    ],
)
def test_a_wrong_variable_is_named_with_what_it_may_be(name, value, says):
    sampler = {"OTEL_TRACES_SAMPLER": "traceidratio"} if name.endswith("_ARG") else {}
    tracing = read_tracing(ENDPOINT | sampler | {name: value})
    assert not tracing.wanted
    assert tracing.problem.startswith(name)
    assert says in tracing.problem
    assert "\n" not in tracing.problem
