"""Every model on one dashboard."""

from __future__ import annotations

from observability.board import DCGM, NAME, PRICES, STATE, Board
from observability.panel import Graph, Line, Number, Row

_FLEET = 'namespace=~"$namespace"'
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
                    stand_in=STATE,
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
                    lines=(Line(f"llminference:replicas_answering:sum{{{_FLEET}}}", NAME),),
                ),
                Graph(
                    title="Failed requests",
                    what="Share that ended with a 5xx; red as LLMInferenceErrors.",
                    unit="percentunit",
                    limit=0.05,
                    lines=(Line(f"llminference:error_ratio:rate5m{{{_FLEET}}}", NAME),),
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
                    lines=(Line(f"llminference:request_seconds:p95{{{_FLEET}}}", NAME),),
                ),
                Graph(
                    title="Time to the first token, 95 %",
                    what="For models that answer word by word.",
                    unit="s",
                    limit=5,
                    lines=(Line(f"llminference:first_token_seconds:p95{{{_FLEET}}}", NAME),),
                ),
                Graph(
                    title="Requests that wait",
                    what="All replicas of a model together.",
                    unit="short",
                    lines=(Line(f"llminference:requests_waiting:sum{{{_FLEET}}}", NAME),),
                ),
                Graph(
                    title="Refused",
                    what="Share of requests that the full queue refused.",
                    unit="percentunit",
                    limit=0.01,
                    lines=(Line(f"llminference:refused_ratio:rate5m{{{_FLEET}}}", NAME),),
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
                    lines=(Line(f"llminference:requests:rate5m{{{_FLEET}}}", NAME),),
                ),
                Graph(
                    title="Tokens",
                    what="Of inputs and answers, a second.",
                    unit="short",
                    lines=(
                        Line(f"llminference:input_tokens:rate5m{{{_FLEET}}}", f"{NAME} in"),
                        Line(f"llminference:output_tokens:rate5m{{{_FLEET}}}", f"{NAME} out"),
                    ),
                ),
                Graph(
                    title="Cost an hour",
                    what="By the operator's list of prices, in its currency.",
                    unit="short",
                    stand_in=PRICES,
                    lines=(Line(f"llminference:cost_per_hour:sum{{{_FLEET}}}", f"{NAME} {{{{currency}}}}"),),
                ),
                Graph(
                    title="Busy GPUs",
                    what="Each GPU, by the DCGM exporter.",
                    unit="percentunit",
                    greatest=1,
                    stand_in=DCGM,
                    lines=(Line(f"llminference:gpu_usage:ratio{{{_FLEET}}}", f"{NAME} {{{{Hostname}}}}/{{{{gpu}}}}"),),
                ),
            ),
        ),
    ),
)
