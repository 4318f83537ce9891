"""Triton's flags for traces say what OpenTelemetry's variables say; a real Triton takes them in test_watch.py."""

import pytest

from llmi_api.launch import Task
from llmi_server.settings import TritonSettings
from llmi_server.triton.trace_flags import trace_flags

SETTINGS = TritonSettings(model_name="owner/model", task=Task.FILL_MASK)
ON = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}


def flags(**variables):
    return [flag.removeprefix("--trace-config=") for flag in trace_flags(ON | variables, SETTINGS)]


@pytest.mark.parametrize(
    "variables",
    [{}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
     {"OTEL_TRACES_SAMPLER": "always_off"}],
)  # fmt: skip
def test_without_traces_there_are_none(variables):
    assert trace_flags((ON if variables else {}) | variables, SETTINGS) == []


def test_where_to_send_every_trace_and_as_whom():
    assert flags() == [
        "mode=opentelemetry",
        "level=TIMESTAMPS",
        "count=-1",
        "rate=1",
        "opentelemetry,url=http://collector:4318/v1/traces",
        "opentelemetry,resource=service.name=llminference-server",
        "opentelemetry,resource=llmi.model=owner/model",
        "opentelemetry,resource=llmi.task=fill-mask",
    ]


def test_an_address_for_traces_alone_is_taken_as_it_is():
    assert "opentelemetry,url=http://other:1/t" in flags(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://other:1/t")


@pytest.mark.parametrize(
    ("sampler", "share", "rate"),
    [("traceidratio", "0.05", 20), ("parentbased_traceidratio", "0.3", 3), ("parentbased_traceidratio", "", 1),
     ("parentbased_always_off", "", 2**31 - 1), ("traceidratio", "0", 2**31 - 1), ("always_on", "", 1)],
)  # fmt: skip
def test_a_share_is_one_in_so_many(sampler, share, rate):
    assert f"rate={rate}" in flags(OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=share)


def test_names_and_batches_are_those_of_the_variables():
    given = flags(OTEL_RESOURCE_ATTRIBUTES="a=b, service.name=mine", OTEL_BSP_SCHEDULE_DELAY="7")
    assert {"opentelemetry,resource=service.name=mine", "opentelemetry,bsp_schedule_delay=7"} <= set(given)
    assert "opentelemetry,resource=service.name=yours" in flags(OTEL_SERVICE_NAME="yours")
