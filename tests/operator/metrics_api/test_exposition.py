import pytest

from llmi_operator.metrics_api.exposition import read_in_flight
from llmi_server.telemetry import Telemetry

TEXT = """\
# HELP llmi_requests_running Requests that the engine has begun.
# TYPE llmi_requests_running gauge
llmi_requests_running 3.0
llmi_requests_waiting 34.0
llmi_requests_total{operation="task",code="200"} 12.0
"""


def test_what_runs_and_what_waits_is_in_flight():
    assert read_in_flight(TEXT) == 37


TRITON = """\
# HELP llmi_requests_running Requests that the back end computes.
# TYPE llmi_requests_running gauge
llmi_requests_running{model="bert"} 1
# TYPE nv_inference_count counter
nv_inference_count{model="bert",version="1"} 40
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="bert",version="1"} 5
"""
VLLM = """\
vllm:num_requests_running{engine="0",model_name="llama"} 2.0
vllm:num_requests_running{engine="1",model_name="llama"} 1.0
vllm:num_requests_waiting{engine="0",model_name="llama"} 4.0
vllm:num_requests_waiting{engine="1",model_name="llama"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="llama",reason="capacity"} 4.0
"""


def test_another_engine_tells_it_in_other_words_and_for_each_of_its_parts():
    assert read_in_flight(VLLM) == 7


def test_triton_counts_what_waits_and_our_back_end_what_is_computed():
    assert read_in_flight(TRITON) == 6


def test_the_server_tells_both_under_these_names():
    telemetry = Telemetry()
    telemetry.requests_running.set(2)
    telemetry.requests_waiting.set(5)
    text, _ = telemetry.exposition()
    assert read_in_flight(text.decode()) == 7


@pytest.mark.parametrize(
    "text",
    ["", "llmi_requests_running 1.0\n", "llmi_requests_running many\nllmi_requests_waiting 1\n",
     "llmi_requests_running NaN\nllmi_requests_waiting 1\n", "llmi_requests_running +Inf\nllmi_requests_waiting 1\n",
     "<html>llmi_requests_running</html>"],
)  # fmt: skip
def test_a_text_that_does_not_tell_both_tells_nothing(text):
    assert read_in_flight(text) is None
