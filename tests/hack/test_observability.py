"""Rules, alerts and dashboards speak only of metrics that somebody exports, and lead to pages that exist."""

import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

import gobuild
import monitoring_images
from llmi_api.v1alpha1.conditions import ConditionType, Reason
from llmi_operator import metrics
from llmi_operator.metrics_api import metrics as adapter_metrics
from llmi_server.telemetry import REJECTIONS, TOKEN_TYPES, Telemetry
from observability.alerts import ALERTS
from observability.dashboards import BOARDS
from observability.grafana_alerting import describe_rule
from observability.panel import Graph, Number
from observability.prometheus import GROUPS, write_alerts_page, write_rules_table
from observability.rule import Recording
from observability.state_metrics import NUMBERS

ROOT = Path(__file__).parents[2]
RULES = [rule for group in GROUPS for rule in group.rules]
VLLM = {
    "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total", "vllm:admission_rejections_total", "vllm:time_to_first_token_seconds_bucket",
    "vllm:inter_token_latency_seconds_bucket", "vllm:e2e_request_latency_seconds_bucket",
    "vllm:e2e_request_latency_seconds_sum", "vllm:e2e_request_latency_seconds_count",
    "vllm:request_queue_time_seconds_bucket", "vllm:request_queue_time_seconds_sum",
    "vllm:request_queue_time_seconds_count", "http_requests_total",
}  # fmt: skip
TRITON = {
    "nv_inference_request_success", "nv_inference_request_failure", "nv_inference_pending_request_count",
    "nv_inference_request_duration_us", "nv_inference_queue_duration_us",
}  # fmt: skip
DCGM = {f"DCGM_FI_DEV_{name}" for name in ("GPU_UTIL", "FB_USED", "FB_FREE", "POWER_USAGE", "XID_ERRORS")}
KUBERNETES = {
    "kube_pod_container_status_restarts_total", "kube_pod_container_status_last_terminated_reason",
    "container_cpu_usage_seconds_total", "container_memory_working_set_bytes",
}  # fmt: skip
STATE = {"llminference_status_condition", "llminference_info", *(f"llminference_{name}" for name in NUMBERS)}
NAME = re.compile(
    r"(?<![\w:])(?:llmi_|gen_ai_server_|vllm:|nv_|DCGM_|kube_|container_|llminference[_:]|node:|http_)[\w:]+"
)


def exported(collection):
    for one in collection:
        if isinstance(one, MetricWrapperBase):
            (family,) = one.describe()
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"]}
            yield from (f"{family.name}{suffix}" for suffix in suffixes.get(family.type, [""]))


OURS = {
    *exported(vars(Telemetry()).values()), *exported(vars(metrics).values()), *exported(vars(adapter_metrics).values())
}  # fmt: skip
RECORDED = {rule.name for rule in RULES if isinstance(rule, Recording)}
KNOWN = OURS | VLLM | TRITON | DCGM | KUBERNETES | STATE | RECORDED


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_speaks_only_of_metrics_that_somebody_exports(rule):
    assert set(NAME.findall(rule.query)) - KNOWN == set()


def test_names_are_given_once():
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))


def test_values_of_labels_are_those_that_the_programs_give():
    text = "\n".join(rule.query for rule in RULES)
    reasons = {word for found in re.findall(r'reason!?[=~]+"([^"]*)"', text) for word in found.split("|")}
    assert reasons - set(Reason) - REJECTIONS == {"OOMKilled"}
    types = {word for found in re.findall(r'[{,]type=~?"([^"]*)"', text) for word in found.split("|")}
    assert types <= set(ConditionType) | set(TOKEN_TYPES)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_tells_a_number_and_leads_to_a_page_whose_links_exist(alert):
    assert re.search(r"\$value|\d", alert.description)
    assert len(re.sub(r"{{.*?}}", "a name or number", alert.summary)) < 120
    page = write_alerts_page()
    assert f"\n## {alert.name}\n" in page
    for target in re.findall(r"\]\(([\w./-]+\.md)(?:#[\w-]*)?\)", page):
        assert (ROOT / "docs" / target).exists(), target


def test_the_page_lists_every_recording_rule():
    page = (ROOT / "docs" / "observability.md").read_text()
    (table,) = re.findall(r"<!-- rules -->\n(.*?)<!-- /rules -->", page, re.DOTALL)
    assert table == write_rules_table()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_grafana_is_given_the_same_query_and_waits_as_long(alert):
    rule = describe_rule(alert)
    assert (rule["data"][0]["model"]["expr"], rule["for"]) == (alert.query, alert.lasting)
    assert [step["refId"] for step in rule["data"]] == ["query", "found", "fires"]
    assert rule["condition"] == rule["data"][-1]["refId"]
    assert "$value " not in "".join(rule["annotations"].values())


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_a_dashboard_speaks_only_of_metrics_that_somebody_exports(board):
    panels = [panel for row in board.rows for panel in row.panels]
    queries = [line.query for one in panels if isinstance(one, Graph) for line in one.lines]
    queries += [one.query for one in panels if isinstance(one, Number)]
    assert {name for query in queries for name in NAME.findall(query)} - KNOWN == set()


def test_the_images_that_are_made_where_none_can_be_pulled_are_those_of_the_manifests():
    for path, image in (
        ("prometheus", monitoring_images.PROMETHEUS_IMAGE),
        ("kube-state-metrics-standalone", monitoring_images.STATE_METRICS_IMAGE),
    ):
        assert f" image: {image}\n" in (ROOT / "deploy" / "observability" / path / "deployment.yaml").read_text()


def test_the_versions_of_what_is_built_are_those_of_its_module():
    required = (gobuild.TOOLS_DIR / "monitoring" / "go.mod").read_text()
    major, minor, patch = gobuild.PROMETHEUS_VERSION.split(".")
    assert f"\tgithub.com/prometheus/prometheus v0.{major}{int(minor):02}.{patch} " in required
    assert f"\tk8s.io/kube-state-metrics/v2 v{gobuild.STATE_METRICS_VERSION} " in required
