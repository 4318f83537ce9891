"""Metrics as scrapers read them: names, types, labels, buckets, exemplars."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from llmi_server.telemetry import INFERENCE, OPERATIONS, Telemetry

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
PROMISED = {
    "gen_ai_server_request_duration_seconds": "histogram",
    "gen_ai_server_time_to_first_token_seconds": "histogram",
    "gen_ai_server_time_per_output_token_seconds": "histogram",
    "llmi_requests_running": "gauge",
    "llmi_requests_waiting": "gauge",
    "llmi_requests_in_flight": "gauge",
    "llmi_kv_cache_usage_ratio": "gauge",
    "llmi_requests": "counter",
    "llmi_tokens": "counter",
    "llmi_rejected": "counter",
    "llmi_request_queue_seconds": "histogram",
    "llmi_batch_size": "histogram",
    "llmi_model_load_seconds": "gauge",
    "llmi_model_ready": "gauge",
    "llmi_engine_busy_seconds": "counter",
    "llmi_memory_peak_bytes": "gauge",
}


def measured():
    telemetry = Telemetry("bert")
    telemetry.request_done(operation="completions", code=200, seconds=0.03, exemplar={"trace_id": "a" * 32})
    telemetry.request_done(operation="chat", code=429, seconds=0.001)
    telemetry.request_done(operation="page", code=200, seconds=0.001)
    telemetry.request_begun(waited_seconds=0.02, exemplar={"trace_id": "b" * 32})
    telemetry.first_token("chat", 0.3, {"trace_id": "c" * 32})
    telemetry.next_token("chat", 0.02)
    telemetry.batch_computed(texts=3, tokens=40)
    telemetry.build.info({"version": "1", "engine": "e", "model": "m", "revision": "r"})
    return telemetry


def families(telemetry, accept=""):
    content, media_type = telemetry.exposition(accept)
    parse = parse_openmetrics if media_type.startswith("application/openmetrics-text") else parse_text
    return {family.name: family for family in parse(content.decode())}


def test_every_promised_metric_has_its_type_in_both_formats():
    for accept in ("", OPENMETRICS):
        found = families(measured(), accept)
        assert {name: found[name].type for name in PROMISED} == PROMISED
    assert families(measured(), OPENMETRICS)["llmi_build"].type == "info"


def test_the_gauges_that_endpoint_pickers_read_are_there_before_the_first_request():
    found = families(Telemetry())
    for name in ("llmi_requests_running", "llmi_requests_waiting", "llmi_kv_cache_usage_ratio"):
        assert [(sample.name, sample.labels, sample.value) for sample in found[name].samples] == [(name, {}, 0)]


def test_durations_carry_the_conventions_labels_and_only_those_of_inference_are_measured():
    samples = families(measured())["gen_ai_server_request_duration_seconds"].samples
    labels = [sample.labels for sample in samples if sample.name.endswith("_count")]
    assert labels == [
        {"gen_ai_operation_name": "text_completion", "model_name": "bert", "error_type": ""},
        {"gen_ai_operation_name": "chat", "model_name": "bert", "error_type": "429"},
    ]
    assert set(INFERENCE) < OPERATIONS


def test_buckets_are_the_conventions():
    found = families(measured())

    def buckets(name):
        first = [sample for sample in found[name].samples if sample.name.endswith("_bucket")]
        return list(dict.fromkeys(float(sample.labels["le"]) for sample in first))

    durations = buckets("gen_ai_server_request_duration_seconds")
    assert durations[:3] == [0.01, 0.02, 0.04]
    assert durations[-2:] == [81.92, float("inf")]
    assert buckets("gen_ai_server_time_per_output_token_seconds")[:3] == [0.01, 0.025, 0.05]
    assert buckets("gen_ai_server_time_to_first_token_seconds")[:3] == [0.001, 0.005, 0.01]


def test_openmetrics_carries_exemplars_and_the_older_format_none():
    found = families(measured(), OPENMETRICS)
    exemplars = {
        family.name: sample.exemplar.labels["trace_id"][0]
        for family in found.values()
        for sample in family.samples
        if sample.exemplar
    }
    assert exemplars == {
        "gen_ai_server_request_duration_seconds": "a",
        "llmi_request_queue_seconds": "b",
        "gen_ai_server_time_to_first_token_seconds": "c",
    }
    content, media_type = measured().exposition()
    assert media_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b"trace_id" not in content


def test_time_in_which_the_engine_computed_adds_up():
    telemetry = Telemetry()
    for seconds in (0.25, 0.5):
        telemetry.engine_computed(seconds)
    assert telemetry.registry.get_sample_value("llmi_engine_busy_seconds_total") == 0.75


def test_time_of_the_warm_up_is_forgotten_where_it_is_counted_and_where_it_is_read():
    telemetry = Telemetry()
    telemetry.engine_computed(0.25)
    telemetry.forget_warm_up()
    assert telemetry.registry.get_sample_value("llmi_engine_busy_seconds_total") == 0
    assert telemetry.engine_time.read().busy_seconds == 0


def test_a_step_of_generation_counts_its_tokens_and_tells_how_full_the_cache_is():
    telemetry = Telemetry()
    telemetry.step_done(texts=3, prompt_tokens=40, reused_tokens=8, generated_tokens=2, used_share=0.25)
    read = telemetry.registry.get_sample_value
    assert [read("llmi_tokens_total", {"type": kind}) for kind in ("prompt", "reused", "generated")] == [40, 8, 2]
    assert read("llmi_kv_cache_usage_ratio") == 0.25


def test_what_runs_and_what_waits_is_in_flight():
    telemetry = Telemetry()
    telemetry.requests_counted(running=3, waiting=9)
    found = {name: telemetry.registry.get_sample_value(f"llmi_requests_{name}") for name in ("running", "in_flight")}
    assert found == {"running": 3, "in_flight": 12}
