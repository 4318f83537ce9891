"""The three dashboards: the fleet, one model, the operator."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, VariableRefresh, VariableSort

from observability.panel import SOURCE, Graph, Line, Number, Row, add_row

_FLEET = 'namespace=~"$namespace"'
_ONE = 'namespace="$namespace",llminference="$llminference"'
_NAME = "{{namespace}}/{{llminference}}"
_STATE, _CADVISOR, _DCGM, _PRICES = "kube-state-metrics", "cAdvisor", "DCGM exporter", "a list of prices"


@dataclass(frozen=True, kw_only=True)
class Board:
    """A dashboard.

    Attributes:
        variables: Labels of ``llminference:pod:up`` that are chosen at its top.
        several: Whether several values may be chosen.
    """

    uid: str
    title: str
    what: str
    variables: tuple[str, ...]
    several: bool
    rows: tuple[Row, ...]


def _quantiles(name: str, where: str) -> tuple[Line, ...]:
    return tuple(Line(f"llminference:{name}:{share}{{{where}}}", share) for share in ("p50", "p95", "p99"))


# Exemplars belong to the buckets themselves, not to what rules make of them.
_TRACED = Line(
    f"histogram_quantile(0.95, sum by (le) (rate(gen_ai_server_request_duration_seconds_bucket{{{_ONE}}}[5m])))",
    "p95 with exemplars (bundled server)",
    exemplars=True,
)
FLEET = Board(
    uid="llminference-fleet",
    title="LLMInference / Fleet",
    what="Every model: is it up, is it slow, what does it cost?",
    variables=("namespace",),
    several=True,
    rows=(
        Row(
            "Is it up?",
            (
                Number(
                    title="Models",
                    what="Models that Prometheus knows.",
                    unit="short",
                    query=f"count(sum by (namespace, llminference) (llminference:pod:up{{{_FLEET}}}))",
                ),
                Number(
                    title="Without an answer",
                    what="Models of which no replica answers.",
                    unit="short",
                    bad_from=1,
                    query=f"count(llminference:replicas_answering:sum{{{_FLEET}}} == 0) or vector(0)",
                ),
                Number(
                    title="Not ready",
                    what="Models whose condition Ready is not True.",
                    unit="short",
                    bad_from=1,
                    stand_in=_STATE,
                    query=f'count(llminference_status_condition{{{_FLEET},type="Ready",reason!="ScaledToZero"}} == 0) or vector(0)',
                ),
                Number(
                    title="Requests",
                    what="Answered a second.",
                    unit="reqps",
                    query=f"sum(llminference:requests:rate5m{{{_FLEET}}})",
                ),
                Number(
                    title="Failed",
                    what="Share of requests that ended with a 5xx.",
                    unit="percentunit",
                    bad_from=0.05,
                    query=f"sum(llminference:errors:rate5m{{{_FLEET}}}) / (sum(llminference:requests:rate5m{{{_FLEET}}}) > 0)",
                ),
                Number(
                    title="Alerts",
                    what="Alerts that fire.",
                    unit="short",
                    bad_from=1,
                    query='count(ALERTS{alertname=~"LLMInference.+",alertstate="firing"}) or vector(0)',
                ),
                Graph(
                    title="Replicas that answer",
                    what="0 is an outage.",
                    unit="short",
                    lines=(Line(f"llminference:replicas_answering:sum{{{_FLEET}}}", _NAME),),
                ),
                Graph(
                    title="Failed requests",
                    what="Share that ended with a 5xx; red as LLMInferenceErrors.",
                    unit="percentunit",
                    limit=0.05,
                    lines=(Line(f"llminference:error_ratio:rate5m{{{_FLEET}}}", _NAME),),
                ),
            ),
        ),
        Row(
            "Is it slow?",
            (
                Graph(
                    title="Time to the answer, 95 %",
                    what="95 % of answers take less; red as LLMInferenceSlow.",
                    unit="s",
                    limit=5,
                    lines=(Line(f"llminference:request_seconds:p95{{{_FLEET}}}", _NAME),),
                ),
                Graph(
                    title="Time to the first token, 95 %",
                    what="For models that answer word by word.",
                    unit="s",
                    limit=5,
                    lines=(Line(f"llminference:first_token_seconds:p95{{{_FLEET}}}", _NAME),),
                ),
                Graph(
                    title="Requests that wait",
                    what="All replicas of a model together.",
                    unit="short",
                    lines=(Line(f"llminference:requests_waiting:sum{{{_FLEET}}}", _NAME),),
                ),
                Graph(
                    title="Refused",
                    what="Share of requests that the full queue refused.",
                    unit="percentunit",
                    limit=0.01,
                    lines=(Line(f"llminference:refused_ratio:rate5m{{{_FLEET}}}", _NAME),),
                ),
            ),
        ),
        Row(
            "What does it do, and cost?",
            (
                Graph(
                    title="Requests",
                    what="Answered a second.",
                    unit="reqps",
                    lines=(Line(f"llminference:requests:rate5m{{{_FLEET}}}", _NAME),),
                ),
                Graph(
                    title="Tokens",
                    what="Of inputs and answers, a second.",
                    unit="short",
                    lines=(
                        Line(f"llminference:input_tokens:rate5m{{{_FLEET}}}", f"{_NAME} in"),
                        Line(f"llminference:output_tokens:rate5m{{{_FLEET}}}", f"{_NAME} out"),
                    ),
                ),
                Graph(
                    title="Cost an hour",
                    what="By the operator's list of prices, in its currency.",
                    unit="short",
                    stand_in=_PRICES,
                    lines=(Line(f"llminference:cost_per_hour:sum{{{_FLEET}}}", f"{_NAME} {{{{currency}}}}"),),
                ),
                Graph(
                    title="Busy GPUs",
                    what="Each GPU, by the DCGM exporter.",
                    unit="percentunit",
                    greatest=1,
                    stand_in=_DCGM,
                    lines=(Line(f"llminference:gpu_usage:ratio{{{_FLEET}}}", f"{_NAME} {{{{Hostname}}}}/{{{{gpu}}}}"),),
                ),
            ),
        ),
    ),
)
MODEL = Board(
    uid="llminference-model",
    title="LLMInference / One model",
    what="Why is it as it is? From the load, through the queue, to the hardware.",
    variables=("namespace", "llminference"),
    several=False,
    rows=(
        Row(
            "Now",
            (
                Number(
                    title="Replicas that answer",
                    what="0 is an outage.",
                    unit="short",
                    bad_below=1,
                    query=f"llminference:replicas_answering:sum{{{_ONE}}}",
                ),
                Number(
                    title="Requests",
                    what="Answered a second.",
                    unit="reqps",
                    query=f"llminference:requests:rate5m{{{_ONE}}}",
                ),
                Number(
                    title="Failed",
                    what="Share that ended with a 5xx.",
                    unit="percentunit",
                    bad_from=0.05,
                    query=f"llminference:error_ratio:rate5m{{{_ONE}}}",
                ),
                Number(
                    title="Time to the answer, 95 %",
                    what="The wait included.",
                    unit="s",
                    bad_from=5,
                    query=f"llminference:request_seconds:p95{{{_ONE}}}",
                ),
                Number(
                    title="Ready",
                    what="The operator's condition; 1 is True.",
                    unit="short",
                    bad_below=1,
                    stand_in=_STATE,
                    query=f'max(llminference_status_condition{{{_ONE},type="Ready"}})',
                ),
                Number(
                    title="Cost an hour",
                    what="In the currency of the list of prices.",
                    unit="short",
                    stand_in=_PRICES,
                    query=f"llminference:cost_per_hour:sum{{{_ONE}}}",
                ),
            ),
        ),
        Row(
            "Latency",
            (
                Graph(
                    title="Time to the answer",
                    what="From the request to its whole answer.",
                    unit="s",
                    limit=5,
                    lines=(*_quantiles("request_seconds", _ONE), _TRACED),
                ),
                Graph(
                    title="Wait for the engine",
                    what="What of it is waiting.",
                    unit="s",
                    lines=_quantiles("queue_seconds", _ONE),
                ),
                Graph(
                    title="Time to the first token",
                    what="For models that answer word by word.",
                    unit="s",
                    limit=5,
                    lines=_quantiles("first_token_seconds", _ONE),
                ),
                Graph(
                    title="Time between tokens",
                    what="How smooth answers come.",
                    unit="s",
                    lines=_quantiles("output_token_seconds", _ONE),
                ),
                Graph(
                    title="Mean times",
                    what="The only ones that Triton tells.",
                    unit="s",
                    lines=(
                        Line(f"llminference:request_seconds:mean5m{{{_ONE}}}", "answer"),
                        Line(f"llminference:queue_seconds:mean5m{{{_ONE}}}", "wait"),
                    ),
                ),
            ),
        ),
        Row(
            "Load",
            (
                Graph(
                    title="Requests",
                    what="By what became of them.",
                    unit="reqps",
                    lines=(
                        Line(f"llminference:requests:rate5m{{{_ONE}}}", "answered"),
                        Line(f"llminference:errors:rate5m{{{_ONE}}}", "failed"),
                        Line(f"llminference:refused:rate5m{{{_ONE}}}", "refused"),
                    ),
                ),
                Graph(
                    title="In flight",
                    what="Running and waiting.",
                    unit="short",
                    lines=(
                        Line(f"llminference:requests_running:sum{{{_ONE}}}", "running"),
                        Line(f"llminference:requests_waiting:sum{{{_ONE}}}", "waiting"),
                    ),
                ),
                Graph(
                    title="Tokens",
                    what="A second.",
                    unit="short",
                    lines=(
                        Line(f"llminference:input_tokens:rate5m{{{_ONE}}}", "in"),
                        Line(f"llminference:output_tokens:rate5m{{{_ONE}}}", "out"),
                    ),
                ),
                Graph(
                    title="Memory of keys and values",
                    what="The fullest replica.",
                    unit="percentunit",
                    limit=0.95,
                    greatest=1,
                    lines=(Line(f"llminference:kv_cache_usage:max{{{_ONE}}}", "used"),),
                ),
                Graph(
                    title="Texts in a batch",
                    what="On average; the bundled server tells it.",
                    unit="short",
                    lines=(Line(f"llminference:batch_size:mean5m{{{_ONE}}}", "texts"),),
                ),
                Graph(
                    title="Time to load",
                    what="From a replica's start to ready; the bundled server tells it.",
                    unit="s",
                    lines=(Line(f"llmi_model_load_seconds{{{_ONE}}}", "{{pod}}"),),
                ),
            ),
        ),
        Row(
            "Replicas and hardware",
            (
                Graph(
                    title="Replicas",
                    what="Those that exist, and the autoscaler's bounds.",
                    unit="short",
                    stand_in=_STATE,
                    lines=(
                        Line(f"llminference_status_replicas{{{_ONE}}}", "exist"),
                        Line(f"llminference_status_ready_replicas{{{_ONE}}}", "answer"),
                        Line(f"llminference_spec_autoscaling_max_replicas{{{_ONE}}}", "most"),
                    ),
                ),
                Graph(
                    title="CPU",
                    what="Cores in use.",
                    unit="short",
                    stand_in=_CADVISOR,
                    lines=(Line(f"llminference:cpu_cores:sum{{{_ONE}}}", "cores"),),
                ),
                Graph(
                    title="Memory",
                    what="The largest replica.",
                    unit="bytes",
                    stand_in=_CADVISOR,
                    lines=(Line(f"llminference:memory_bytes:max{{{_ONE}}}", "in use"),),
                ),
                Graph(
                    title="GPU",
                    what="How busy, and how full its memory is.",
                    unit="percentunit",
                    greatest=1,
                    stand_in=_DCGM,
                    lines=(
                        Line(f"llminference:gpu_usage:ratio{{{_ONE}}}", "{{Hostname}}/{{gpu}} busy"),
                        Line(f"llminference:gpu_memory:ratio{{{_ONE}}}", "{{Hostname}}/{{gpu}} memory"),
                    ),
                ),
                Graph(
                    title="Power of the GPUs",
                    what="In watts.",
                    unit="watt",
                    stand_in=_DCGM,
                    lines=(Line(f"llminference:gpu_watts:sum{{{_ONE}}}", "{{Hostname}}/{{gpu}}"),),
                ),
                Graph(
                    title="Cost of a million tokens",
                    what="At the load of the moment.",
                    unit="short",
                    stand_in=_PRICES,
                    lines=(Line(f"llminference:cost_per_million_tokens:ratio{{{_ONE}}}", "{{currency}}"),),
                ),
            ),
        ),
    ),
)
OPERATOR = Board(
    uid="llminference-operator",
    title="LLMInference / Operator",
    what="Does the operator keep up?",
    variables=(),
    several=False,
    rows=(
        Row(
            "Now",
            (
                Number(
                    title="Leaders",
                    what="One, or nothing changes.",
                    unit="short",
                    bad_below=1,
                    bad_from=2,
                    query="sum(llmi_operator_leader)",
                ),
                Number(
                    title="Passes that fail",
                    what="Share of faults and of those to be repeated.",
                    unit="percentunit",
                    bad_from=0.1,
                    query='sum(rate(llmi_operator_passes_total{result!="done"}[5m])) / (sum(rate(llmi_operator_passes_total[5m])) > 0) or vector(0)',
                ),
                Number(
                    title="Last complete listing",
                    what="Seconds since; every 10 minutes.",
                    unit="s",
                    bad_from=1800,
                    query="time() - max(llmi_operator_last_resync_timestamp_seconds)",
                ),
                Number(
                    title="Resources",
                    what="LLMInferences that it knows.",
                    unit="short",
                    query='max(llmi_operator_stored_objects{kind="LLMInference"})',
                ),
            ),
        ),
        Row(
            "Work",
            (
                Graph(
                    title="Passes",
                    what="A second, by result.",
                    unit="ops",
                    lines=(Line("sum by (result) (rate(llmi_operator_passes_total[5m]))", "{{result}}"),),
                ),
                Graph(
                    title="Duration of a pass",
                    what="95 % take less.",
                    unit="s",
                    lines=(
                        Line(
                            "histogram_quantile(0.95, sum by (le) (rate(llmi_operator_pass_seconds_bucket[5m])))", "p95"
                        ),
                    ),
                ),
                Graph(
                    title="Queue",
                    what="Resources that wait for a pass.",
                    unit="short",
                    lines=(Line("llmi_operator_queue_length", "{{pod}}"),),
                ),
                Graph(
                    title="Requests to the API server",
                    what="A second, by status.",
                    unit="reqps",
                    lines=(Line("sum by (status) (rate(llmi_operator_api_requests_total[5m]))", "{{status}}"),),
                ),
                Graph(
                    title="Objects known",
                    what="By kind.",
                    unit="short",
                    lines=(Line("max by (kind) (llmi_operator_stored_objects)", "{{kind}}"),),
                ),
                Graph(
                    title="Leader",
                    what="Which replica writes.",
                    unit="short",
                    lines=(Line("llmi_operator_leader", "{{pod}}"),),
                ),
            ),
        ),
    ),
)
BOARDS = (FLEET, MODEL, OPERATOR)


def write_dashboard(board: Board) -> str:
    """Write a dashboard as Grafana imports it."""
    found = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.what)
        .tags(["llminference"])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    before = ""
    for name in board.variables:
        found.with_variable(_variable(name, before, several=board.several))
        before = f'{name}=~"${name}"'
    for row in board.rows:
        add_row(found, row)
    return JSONEncoder(sort_keys=True, indent=2).encode(found.build()) + "\n"


def _variable(name: str, before: str, *, several: bool) -> dashboard.QueryVariable:
    variable = (
        dashboard.QueryVariable(name)
        .query(f"label_values(llminference:pod:up{{{before}}}, {name})")
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    return variable.multi(True).include_all(True).all_value(".+") if several else variable  # noqa: FBT003 - Grafana's
