"""The operator: whether it keeps up."""

from __future__ import annotations

from observability.board import Board
from observability.panel import Graph, Line, Number, Row

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
