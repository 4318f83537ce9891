"""Recording rules: the engines' own metrics, brought to common names.

Every name begins with ``llminference:`` and has the labels ``namespace`` and ``llminference``. What an engine does not
tell is absent for it. vLLM's names are those of 0.33, Triton's those of 2.71.
"""

from __future__ import annotations

from observability.rule import Group, Recording

MODEL = "namespace, llminference"
POD = f"{MODEL}, pod"
_OURS = 'llminference!=""'
_INFERENCE = f'{_OURS},operation!~"models|page|other"'
_VLLM_ROUTES = f'{_OURS},handler=~"/v1/.+|/v2/.+|/score|/rerank|/classify|/pooling"'


def across(*engines: str) -> str:
    """Add up over the replicas of a model, whichever engine each of them runs."""
    per_pod = "\nor ".join(f"sum by ({POD}) ({query})" for query in engines)
    return f"sum by ({MODEL}) (\n{per_pod}\n)"


def _rate(metric: str, matchers: str = _OURS) -> str:
    return f"rate({metric}{{{matchers}}}[5m])"


def _quantile(share: float, histograms: tuple[str, ...]) -> str:
    rates = "\nor ".join(_rate(f"{name}_bucket", matchers) for name, matchers in map(_split, histograms))
    return f"histogram_quantile({share}, sum by ({MODEL}, le) (\n{rates}\n))"


def _split(histogram: str) -> tuple[str, str]:
    name, _, matchers = histogram.partition("{")
    return name, f"{_OURS},{matchers.rstrip('}')}" if matchers else _OURS


def _mean(histogram: str) -> str:
    name, matchers = _split(histogram)
    return f"{across(_rate(f'{name}_sum', matchers))}\n/ ({across(_rate(f'{name}_count', matchers))} > 0)"


def _triton_mean(duration: str) -> str:
    done = across(_rate("nv_inference_request_success"))
    return f"{across(_rate(duration))}\n/ ({done} > 0) / 1e6"


def _quantiles(name: str, what: str, *histograms: str) -> tuple[Recording, ...]:
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return tuple(
        Recording(f"llminference:{name}:{label}", _quantile(share, histograms), f"{what}: {share:.0%} take less.")
        for label, share in shares.items()
    )


def _of_model(per_pod: str, *, fold: str = "sum") -> str:
    """Give what is known by pod to the model that the pod belongs to."""
    known = "(llminference:pod:up * 0 + 1)"
    return f"{fold} by ({MODEL}) (\n{per_pod}\n* on (namespace, pod) group_left (llminference) {known}\n)"


def _gpu(metric: str) -> str:
    """One of DCGM's metrics by GPU, whether or not Prometheus kept the exporter's own labels for the pod."""
    renamed = f'{metric}{{exported_pod!=""}}'
    for label in ("namespace", "pod"):
        renamed = f'label_replace({renamed}, "{label}", "$1", "exported_{label}", "(.+)")'
    kept = f'{metric}{{exported_pod="",pod!=""}}'
    return f"max by (namespace, pod, Hostname, gpu) ({renamed} or {kept})"


def _gpu_of_model(query: str) -> str:
    return f"{query}\n* on (namespace, pod) group_left (llminference) (llminference:pod:up * 0 + 1)"


_TTFT = ("gen_ai_server_time_to_first_token_seconds", "vllm:time_to_first_token_seconds")
_TPOT = ("gen_ai_server_time_per_output_token_seconds", "vllm:inter_token_latency_seconds")
_SECONDS = ('gen_ai_server_request_duration_seconds{error_type=""}', "vllm:e2e_request_latency_seconds")
_QUEUE = ("llmi_request_queue_seconds", "vllm:request_queue_time_seconds")

LOAD = (
    Recording(
        "llminference:pod:up", f"max by ({POD}) (up{{{_OURS}}})", "1 for a replica that answers Prometheus, else 0."
    ),
    Recording(
        "llminference:replicas_answering:sum",
        f"sum by ({MODEL}) (llminference:pod:up unless on (namespace, pod) (llmi_model_ready{{{_OURS}}} == 0))\n"
        f"or sum by ({MODEL}) (llminference:pod:up * 0)",
        "Replicas that answer Prometheus and do not say that they load or stop.",
    ),
    Recording(
        "llminference:requests_running:sum",
        across(f"llmi_requests_running{{{_OURS}}}", f"vllm:num_requests_running{{{_OURS}}}"),
        "Requests that are being computed.",
    ),
    Recording(
        "llminference:requests_waiting:sum",
        across(
            f"llmi_requests_waiting{{{_OURS}}}",
            f"vllm:num_requests_waiting{{{_OURS}}}",
            f"nv_inference_pending_request_count{{{_OURS}}}",
        ),
        "Requests that wait for the engine.",
    ),
    Recording(
        "llminference:kv_cache_usage:max",
        f"max by ({MODEL}) (llmi_kv_cache_usage_ratio{{{_OURS}}} or vllm:kv_cache_usage_perc{{{_OURS}}})",
        "Fullest memory of keys and values among the replicas, 0 to 1.",
    ),
    Recording("llminference:batch_size:mean5m", _mean("llmi_batch_size"), "Texts in a batch (bundled server)."),
)
TRAFFIC = (
    Recording(
        "llminference:requests:rate5m",
        across(
            _rate("llmi_requests_total", _INFERENCE),
            _rate("http_requests_total", _VLLM_ROUTES),
            # A model of Triton has both from its start.
            f"{_rate('nv_inference_request_success')} + {_rate('nv_inference_request_failure')}",
        ),
        "Requests for inference that were answered, a second; refused and failed ones count.",
    ),
    Recording(
        "llminference:errors:rate5m",
        across(
            _rate("llmi_requests_total", f'{_INFERENCE},code=~"5.."'),
            _rate("http_requests_total", f'{_VLLM_ROUTES},status=~"5.."'),
            _rate("nv_inference_request_failure"),
        )
        + "\nor llminference:requests:rate5m * 0",
        "Of these, answered with an error of the server's.",
    ),
    Recording(
        "llminference:refused:rate5m",
        across(_rate("llmi_rejected_total", f'{_OURS},reason="queue_full"'), _rate("vllm:admission_rejections_total"))
        + "\nor llminference:requests:rate5m * 0",
        "Refused because too many waited.",
    ),
    Recording(
        "llminference:error_ratio:rate5m",
        "llminference:errors:rate5m / (llminference:requests:rate5m > 0)",
        "Share of requests that failed.",
    ),
    Recording(
        "llminference:refused_ratio:rate5m",
        "llminference:refused:rate5m / (llminference:requests:rate5m > 0)",
        "Share of requests that were refused.",
    ),
    Recording(
        "llminference:input_tokens:rate5m",
        across(_rate("llmi_tokens_total", f'{_OURS},type=~"input|prompt"'), _rate("vllm:prompt_tokens_total")),
        "Tokens of inputs that were computed, a second.",
    ),
    Recording(
        "llminference:output_tokens:rate5m",
        across(_rate("llmi_tokens_total", f'{_OURS},type="generated"'), _rate("vllm:generation_tokens_total")),
        "Tokens of answers, a second.",
    ),
)
LATENCY = (
    *_quantiles("request_seconds", "Time from a request to its whole answer", *_SECONDS),
    *_quantiles("first_token_seconds", "Time from a prompt to its first token", *_TTFT),
    *_quantiles("output_token_seconds", "Time between tokens of an answer", *_TPOT),
    *_quantiles("queue_seconds", "Wait for the engine", *_QUEUE),
    Recording(
        "llminference:request_seconds:mean5m",
        "\nor ".join((*map(_mean, _SECONDS), _triton_mean("nv_inference_request_duration_us"))),
        "Mean time from a request to its answer; the only one that Triton tells.",
    ),
    Recording(
        "llminference:queue_seconds:mean5m",
        "\nor ".join((*map(_mean, _QUEUE), _triton_mean("nv_inference_queue_duration_us"))),
        "Mean wait for the engine.",
    ),
)
SURROUNDINGS = (
    Recording(
        "llminference:cpu_cores:sum",
        _of_model('sum by (namespace, pod) (rate(container_cpu_usage_seconds_total{container!="",pod!=""}[5m]))'),
        "Cores that the replicas use (the kubelet's cAdvisor).",
    ),
    Recording(
        "llminference:memory_bytes:max",
        _of_model('sum by (namespace, pod) (container_memory_working_set_bytes{container!="",pod!=""})', fold="max"),
        "Memory of the largest replica (the kubelet's cAdvisor).",
    ),
    Recording(
        "llminference:gpu_usage:ratio",
        _gpu_of_model(f"{_gpu('DCGM_FI_DEV_GPU_UTIL')} / 100"),
        "How busy each GPU is, 0 to 1 (DCGM exporter).",
    ),
    Recording(
        "llminference:gpu_memory:ratio",
        _gpu_of_model(
            f"{_gpu('DCGM_FI_DEV_FB_USED')}\n/ ({_gpu('DCGM_FI_DEV_FB_USED')} + {_gpu('DCGM_FI_DEV_FB_FREE')})"
        ),
        "How full the memory of each GPU is, 0 to 1.",
    ),
    Recording("llminference:gpu_watts:sum", _gpu_of_model(_gpu("DCGM_FI_DEV_POWER_USAGE")), "Power of each GPU in W."),
    Recording(
        "node:gpu_xid:last",
        "max by (Hostname, gpu) (DCGM_FI_DEV_XID_ERRORS)",
        "Number of the last error that the driver told of each GPU.",
    ),
    Recording(
        "node:gpus:count",
        "count by (Hostname) (count by (Hostname, gpu) (DCGM_FI_DEV_GPU_UTIL))",
        "GPUs of a node that answer the DCGM exporter.",
    ),
    Recording(
        "llminference:cost_per_hour:sum",
        "max by (namespace, llminference, currency) (\n"
        'label_replace(llmi_operator_cost_per_hour, "llminference", "$1", "name", "(.+)")\n)',
        "What the replicas cost an hour, by the operator's list of prices.",
    ),
    Recording(
        "llminference:cost_per_million_tokens:ratio",
        "llminference:cost_per_hour:sum\n/ on (namespace, llminference) group_left ()\n(\n"
        "(llminference:input_tokens:rate5m + (llminference:output_tokens:rate5m or llminference:input_tokens:rate5m * 0)"
        ") * 3600 > 0\n) * 1e6",
        "What a million tokens cost at the load of the moment.",
    ),
)
GROUPS = (
    Group("llminference.load", LOAD),
    Group("llminference.traffic", TRAFFIC),
    Group("llminference.latency", LATENCY),
    Group("llminference.surroundings", SURROUNDINGS),
)
