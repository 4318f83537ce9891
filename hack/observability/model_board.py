"""One model: why it is as it is."""

from __future__ import annotations

from observability.board import CADVISOR, DCGM, PRICES, STATE, Board
from observability.panel import Graph, Line, Number, Row

_ONE = 'namespace="$namespace",llminference="$llminference"'


def _quantiles(name: str, where: str) -> tuple[Line, ...]:
    return tuple(Line(f"llminference:{name}:{share}{{{where}}}", share) for share in ("p50", "p95", "p99"))


# Exemplars belong to the buckets themselves, not to what rules make of them.
_TRACED = Line(
    f"histogram_quantile(0.95, sum by (le) (rate(gen_ai_server_request_duration_seconds_bucket{{{_ONE}}}[5m])))",
    "p95 with exemplars (bundled server)",
    exemplars=True,
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
                    stand_in=STATE,
                    query=f'max(llminference_status_condition{{{_ONE},type="Ready"}})',
                ),
                Number(
                    title="Cost an hour",
                    what="In the currency of the list of prices.",
                    unit="short",
                    stand_in=PRICES,
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
                    stand_in=STATE,
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
                    stand_in=CADVISOR,
                    lines=(Line(f"llminference:cpu_cores:sum{{{_ONE}}}", "cores"),),
                ),
                Graph(
                    title="Memory",
                    what="The largest replica.",
                    unit="bytes",
                    stand_in=CADVISOR,
                    lines=(Line(f"llminference:memory_bytes:max{{{_ONE}}}", "in use"),),
                ),
                Graph(
                    title="GPU",
                    what="How busy, and how full its memory is.",
                    unit="percentunit",
                    greatest=1,
                    stand_in=DCGM,
                    lines=(
                        Line(f"llminference:gpu_usage:ratio{{{_ONE}}}", "{{Hostname}}/{{gpu}} busy"),
                        Line(f"llminference:gpu_memory:ratio{{{_ONE}}}", "{{Hostname}}/{{gpu}} memory"),
                    ),
                ),
                Graph(
                    title="Power of the GPUs",
                    what="In watts.",
                    unit="watt",
                    stand_in=DCGM,
                    lines=(Line(f"llminference:gpu_watts:sum{{{_ONE}}}", "{{Hostname}}/{{gpu}}"),),
                ),
                Graph(
                    title="Cost of a million tokens",
                    what="At the load of the moment.",
                    unit="short",
                    stand_in=PRICES,
                    lines=(Line(f"llminference:cost_per_million_tokens:ratio{{{_ONE}}}", "{{currency}}"),),
                ),
            ),
        ),
    ),
)
