"""The alerts, each with the page that says what it means and what to do."""

from __future__ import annotations

from observability.rule import Alert, Group, Severity, Source

_STATE = "llminference_status_condition"
_WHY = "`kubectl -n NAMESPACE get llminference NAME` — WHY says what is wrong and what to do next."
_PODS = "`kubectl -n NAMESPACE get pods -l llminference.dev/llminference=NAME` shows the replicas."
_LOG = "`kubectl -n NAMESPACE logs POD -c server --previous` has the last words of the one that ended."
_MORE = (
    "Give it more replicas (`kubectl -n NAMESPACE scale llminference/NAME --replicas=N`), or an autoscaler that asks for "
    "them: [scaling](scaling.md)."
)
_OPERATOR_LOG = (
    "`kubectl -n llminference-system logs deploy/llminference-operator` — errors name the resource and the cause."
)
_WHO = "{{ $labels.namespace }}/{{ $labels.llminference }}"
_MODEL = "namespace, llminference"


def _said(reason: str) -> str:
    """Whether the operator gives this reason; the conditions of a resource share one."""
    return f'max by ({_MODEL}) ({_STATE}{{type="Degraded",reason="{reason}"}})'


def _pod_fact(query: str) -> str:
    """A fact of kube-state-metrics about a pod, given to the pod's model."""
    return (
        f"max by ({_MODEL}) (({query}) * on (namespace, pod) group_left (llminference) (llminference:pod:up * 0 + 1))"
    )


_SERVING = (
    Alert(
        name="LLMInferenceDown",
        severity=Severity.CRITICAL,
        source=Source.PODS,
        lasting="2m",
        query="llminference:replicas_answering:sum == 0\n"
        "and max_over_time(llminference:replicas_answering:sum[1h]) > 0",
        summary=f"No replica of {_WHO} answers",
        description=f"{_WHO} has {{{{ $value }}}} replicas that answer, for 2 minutes, and had some within the last hour. "
        "Callers get errors.",
        meaning="Replicas exist, Prometheus knows them, and none answers or all say that they are loading or stopping. "
        "A first start does not fire this.",
        steps=(_WHY, _PODS, _LOG),
    ),
    Alert(
        name="LLMInferenceNotReady",
        severity=Severity.WARNING,
        source=Source.STATE,
        lasting="15m",
        query=f'max by ({_MODEL}, reason) ({_STATE}{{type="Ready",reason!~"ScaledToZero|Deleting"}}) == 0',
        summary=f"{_WHO} is not ready: {{{{ $labels.reason }}}}",
        description=f"{_WHO} has not been ready for 15 minutes (Ready is {{{{ $value }}}}); the operator's reason is "
        "{{ $labels.reason }}.",
        meaning="Not all wanted replicas answer; some may. The reason is one of [troubleshooting](troubleshooting.md). "
        "Zero replicas on purpose do not fire this.",
        steps=(_WHY, "Look the reason up in [troubleshooting](troubleshooting.md)."),
    ),
    Alert(
        name="LLMInferenceErrors",
        severity=Severity.CRITICAL,
        source=Source.PODS,
        lasting="5m",
        query="llminference:error_ratio:rate5m > 0.05",
        summary=f"{_WHO} fails {{{{ $value | humanizePercentage }}}} of requests",
        description=f"{{{{ $value | humanizePercentage }}}} of the requests to {_WHO} of the last 5 minutes ended with a "
        "5xx; the limit is 5%.",
        meaning="500: the engine failed. 503: the replica loads or stops. 504: the answer took longer than "
        "`limits.requestTimeoutSeconds`. What clients do wrong (4xx) and 429 do not count.",
        steps=(
            'Which one: `sum by (pod, code) (rate(llmi_requests_total{llminference="NAME",code=~"5.."}[5m]))`.',
            "500: the replica's log has the traceback with its request id. 504: see "
            "[LLMInferenceQueueLong](#llminferencequeuelong).",
            _WHY,
        ),
    ),
    Alert(
        name="LLMInferenceRefusing",
        severity=Severity.WARNING,
        source=Source.PODS,
        lasting="5m",
        query="llminference:refused_ratio:rate5m > 0.01",
        summary=f"{_WHO} refuses {{{{ $value | humanizePercentage }}}} of requests",
        description=f"{{{{ $value | humanizePercentage }}}} of the requests to {_WHO} of the last 5 minutes were refused "
        "because the queue was full; the limit is 1%.",
        meaning="More arrives than the replicas compute. Refused clients were told when to come again (429, "
        "`Retry-After`), vLLM's with a 503.",
        steps=(_MORE, "A burst that was over at once needs nothing: clients retry."),
    ),
    Alert(
        name="LLMInferenceSlow",
        severity=Severity.WARNING,
        source=Source.PODS,
        lasting="10m",
        query=f"llminference:request_seconds:p95 > 5\nunless on ({_MODEL}) llminference:first_token_seconds:p95 >= 0",
        summary=f"{_WHO} is slow: 95% of answers take up to {{{{ $value | humanizeDuration }}}}",
        description=f"One in twenty answers of {_WHO} takes {{{{ $value | humanizeDuration }}}} or more, for 10 minutes; "
        "the limit is 5 s.",
        meaning="For models that answer at once, not word by word. The time is from the request's arrival to its whole answer, "
        "the wait in the queue included.",
        steps=(
            "Compare `llminference:queue_seconds:p95`: if most of it is waiting, more replicas help; else the model is slow on "
            "this hardware.",
            _MORE,
            "Shorter texts, `engine.precision`, a GPU: [benchmarks](benchmarks.md).",
        ),
    ),
    Alert(
        name="LLMInferenceFirstTokenSlow",
        severity=Severity.WARNING,
        source=Source.PODS,
        lasting="10m",
        query="llminference:first_token_seconds:p95 > 5",
        summary=f"{_WHO} begins late: 95% of answers within {{{{ $value | humanizeDuration }}}}",
        description=f"One in twenty answers of {_WHO} begins after {{{{ $value | humanizeDuration }}}} or more, for 10 "
        "minutes; the limit is 5 s.",
        meaning="The time from a prompt to its first token: waiting, then reading the prompt.",
        steps=(
            "Compare `llminference:queue_seconds:p95` and `llminference:kv_cache_usage:max`: waiting for a place, or for memory.",
            _MORE,
            "Long prompts: a shorter system prompt, or one that all requests begin with, which is computed once.",
        ),
    ),
    Alert(
        name="LLMInferenceQueueLong",
        severity=Severity.WARNING,
        source=Source.PODS,
        lasting="10m",
        query="llminference:requests_waiting:sum / (llminference:replicas_answering:sum > 0) > 16",
        summary=f"{{{{ $value | humanize }}}} requests wait at each replica of {_WHO}",
        description=f"{{{{ $value | humanize }}}} requests wait at each replica of {_WHO}, for 10 minutes; the limit is 16.",
        meaning="The replicas are behind. Each wait adds to each answer, and a full queue refuses.",
        steps=(_MORE, "`limits.maxQueuedRequests` bounds the queue: a shorter one refuses sooner and answers sooner."),
    ),
    Alert(
        name="LLMInferenceKVCacheFull",
        severity=Severity.WARNING,
        source=Source.PODS,
        lasting="10m",
        query="llminference:kv_cache_usage:max > 0.95",
        summary=f"The memory of keys and values of {_WHO} is {{{{ $value | humanizePercentage }}}} full",
        description=f"The fullest replica of {_WHO} uses {{{{ $value | humanizePercentage }}}} of its memory for keys and "
        "values, for 10 minutes; the limit is 95%.",
        meaning="Longer texts than there is memory for: answers that were begun wait and are computed anew.",
        steps=(
            _MORE,
            "Bound what one request takes: `limits.maxInputTokens`, `limits.maxOutputTokens`.",
            "A replica with more memory: `resources.memory`, a larger GPU.",
        ),
    ),
)
_LIFE = (
    Alert(
        name="LLMInferenceScaledToMax",
        severity=Severity.WARNING,
        source=Source.STATE,
        lasting="30m",
        query=f"max by ({_MODEL}) (llminference_status_scaling_desired)\n"
        f">= on ({_MODEL}) max by ({_MODEL}) (llminference_spec_autoscaling_max_replicas)\n"
        f"unless on ({_MODEL}) max by ({_MODEL}) (llminference_spec_autoscaling_min_replicas) "
        f">= on ({_MODEL}) max by ({_MODEL}) (llminference_spec_autoscaling_max_replicas)",
        summary=f"{_WHO} has been at its most replicas, {{{{ $value }}}}, for 30 minutes",
        description=f"The autoscaler of {_WHO} wants {{{{ $value }}}} replicas, as many as maxReplicas allows, for 30 minutes: "
        "more load would only wait.",
        meaning="Nothing is broken yet; there is no room left.",
        steps=(
            "`kubectl -n NAMESPACE get llminference NAME -o jsonpath='{.status.scaling.because}'` says by which numbers.",
            "Raise `autoscaling.maxReplicas`, or the target; see what it costs: [cost](cost.md).",
        ),
    ),
    Alert(
        name="LLMInferenceScalingBlind",
        severity=Severity.WARNING,
        source=Source.STATE,
        lasting="5m",
        query=f'max by ({_MODEL}) ({_STATE}{{reason="AutoscalerBlind"}}) >= 0',
        summary=f"The autoscaler of {_WHO} gets no metrics",
        description=f"The autoscaler of {_WHO} has had no metrics for 5 minutes and keeps the number of replicas.",
        meaning="What serves the metrics is away, or the API server does not trust its certificate. The end of our adapter's own "
        "certificate is told before: [LLMInferenceCertificateExpiring](#llminferencecertificateexpiring).",
        steps=(_WHY, "[AutoscalerBlind](troubleshooting.md#autoscalerblind)"),
    ),
    Alert(
        name="LLMInferenceCrashLoop",
        severity=Severity.CRITICAL,
        source=Source.STATE,
        lasting="1m",
        query=f"{_said('CrashLoop')} == 1\nor "
        + _pod_fact('increase(kube_pod_container_status_restarts_total{container="server"}[15m]) >= 3'),
        summary=f"Replicas of {_WHO} end again and again",
        description=f"A replica of {_WHO} was started anew {{{{ $value | humanize }}}} times or more within 15 minutes, or the "
        "operator says CrashLoop.",
        meaning="The server ends soon after its start: wrong settings, a model that does not load, too little memory.",
        steps=(_WHY, _LOG, "[CrashLoop](troubleshooting.md#crashloop)"),
    ),
    Alert(
        name="LLMInferenceOutOfMemory",
        severity=Severity.CRITICAL,
        source=Source.STATE,
        lasting="0m",
        # What is said of a new version is no emergency while an older one answers: LLMInferenceRolloutStuck tells of it.
        query=f"{_said('OutOfMemory')} == 1\n"
        f'unless on ({_MODEL}) max by ({_MODEL}) ({_STATE}{{type="Available"}}) == 1\nor '
        + _pod_fact(
            'kube_pod_container_status_last_terminated_reason{container="server",reason="OOMKilled"} '
            "and on (namespace, pod, container) increase(kube_pod_container_status_restarts_total[15m]) > 0"
        ),
        summary=f"A replica of {_WHO} ran out of memory",
        description=f"{{{{ $value }}}}: the kernel ended a replica of {_WHO} within the last 15 minutes, or no replica answers "
        "and the operator says OutOfMemory.",
        meaning="It used more than its limit, or the model takes more than a replica gets. `status.memory` has what was predicted and "
        "measured. A new version that does not fit, or that is not even begun for it, while an older one answers is told by "
        "[LLMInferenceRolloutStuck](#llminferencerolloutstuck).",
        steps=(
            _WHY,
            "Raise `resources.memory`, or choose a precision that takes less: [OutOfMemory](troubleshooting.md#outofmemory).",
        ),
    ),
    Alert(
        name="LLMInferenceStartSlow",
        severity=Severity.WARNING,
        source=Source.PODS,
        lasting="20m",
        query=f'count by ({_MODEL}) (llmi_model_ready{{llminference!=""}} == 0)\n'
        f'or max by ({_MODEL}) ({_STATE}{{type="Progressing",reason=~"PullingImage|Downloading|Loading|Starting"}}) == 1',
        summary=f"A replica of {_WHO} has been starting for 20 minutes",
        description=f"{{{{ $value }}}} replicas of {_WHO} have been loading for 20 minutes, or the resource has been starting so "
        "long.",
        meaning="The image, the download or the load of the model takes long.",
        steps=(
            "`kubectl -n NAMESPACE get llminference NAME -o jsonpath='{.status.startup}'` says which phase took how long.",
            "A `model.cache` keeps downloads; `/readyz` of a replica tells how far it is.",
        ),
    ),
    Alert(
        name="LLMInferenceRolloutStuck",
        severity=Severity.WARNING,
        source=Source.STATE,
        lasting="5m",
        query=f'max by ({_MODEL}) ({_STATE}{{reason="RolloutStuck"}}) >= 0\n'
        f'or max by ({_MODEL}) ({_STATE}{{type="Stalled"}}) == 1',
        summary=f"{_WHO} does not get to what its spec says",
        description=f"{_WHO} is stalled, or its rollout is stuck, for 5 minutes ({{{{ $value }}}}): it stays so until somebody "
        "changes something.",
        meaning="Replicas of the old version may answer all the while.",
        steps=(_WHY, "[RolloutStuck](troubleshooting.md#rolloutstuck), [rollouts](rollouts.md)"),
    ),
    Alert(
        name="LLMInferenceTokenRefused",
        severity=Severity.WARNING,
        source=Source.STATE,
        lasting="5m",
        query=f'max by ({_MODEL}, reason) ({_STATE}{{type="Degraded",reason=~"TokenRefused|TokenMissing|AccessGated"}}) == 1',
        summary=f"The hub refuses the token of {_WHO}: {{{{ $labels.reason }}}}",
        description=f"The hub lets {_WHO} have no files ({{{{ $labels.reason }}}} is {{{{ $value }}}} for 5 minutes): the token "
        "is wrong, has expired, or has no access.",
        meaning="Hub tokens do not tell when they end, so this comes when one has ended. Replicas that run keep answering; new "
        "ones cannot start unless a cache has the files.",
        steps=(_WHY, "Put a new token into the Secret that `model.tokenSecret` names; the next try uses it."),
    ),
)
_GPU = (
    Alert(
        name="LLMInferenceGPUError",
        severity=Severity.CRITICAL,
        source=Source.GPU,
        lasting="0m",
        # The exporter keeps the last number until the driver starts anew: what counts is that it changed.
        query="(node:gpu_xid:last != node:gpu_xid:last offset 15m) > 0\n"
        "and on (Hostname, gpu) llminference:gpu_usage:ratio",
        summary="A GPU of {{ $labels.Hostname }} reports Xid {{ $value }}",
        description="GPU {{ $labels.gpu }} of {{ $labels.Hostname }}, used by a model, reported Xid {{ $value }} within the last "
        "15 minutes.",
        meaning="Xid 13, 31 and 43 are mostly faults of programs; 48, 63, 64, 74, 79, 94, 95, 119 and 120 mostly of the device. "
        "The same number twice within 15 minutes is told once.",
        steps=(
            "`dmesg` on the node has the driver's line; NVIDIA's list of Xid errors says what each means.",
            "A device's fault: `kubectl drain NODE`, then reset or replace it.",
            '`llminference:gpu_usage:ratio{Hostname="NODE"}` names the models on it.',
        ),
    ),
    Alert(
        name="LLMInferenceGPULost",
        severity=Severity.CRITICAL,
        source=Source.GPU,
        lasting="5m",
        query="node:gpus:count < max_over_time(node:gpus:count[1h])\n"
        "and on (Hostname) max_over_time(llminference:gpu_usage:ratio[1h])",
        summary="A GPU of {{ $labels.Hostname }} is gone",
        description="{{ $labels.Hostname }} shows {{ $value }} GPUs and had more within the last hour.",
        meaning="It fell off the bus, or was taken away. A replica that held it fails, and the operator then says AcceleratorAbsent. Where it was "
        "the node's only one, only that and LLMInferenceNotReady tell.",
        steps=(
            "`nvidia-smi` on the node; `dmesg | grep -i xid` (79 is a GPU that fell off the bus).",
            "`kubectl drain NODE`, then restart it: [gpu](gpu.md).",
        ),
    ),
    Alert(
        name="LLMInferenceGPUIdle",
        severity=Severity.INFO,
        source=Source.GPU,
        lasting="1h",
        query=f"max by ({_MODEL}) (avg_over_time(llminference:gpu_usage:ratio[1h])) < 0.02",
        summary=f"The GPUs of {_WHO} idle",
        description=f"The busiest GPU of {_WHO} was {{{{ $value | humanizePercentage }}}} busy over the last hour; below 2% it "
        "costs and does nothing.",
        meaning="Nobody asks, or the model runs on the CPU beside a GPU that it holds.",
        steps=(
            "`llminference:requests:rate5m` says whether anybody asks.",
            "Fewer replicas, zero (`kubectl -n NAMESPACE scale llminference/NAME --replicas=0`), or a smaller GPU.",
        ),
    ),
)
_OPERATOR = (
    Alert(
        name="LLMInferenceOperatorDown",
        severity=Severity.CRITICAL,
        source=Source.OPERATOR,
        lasting="5m",
        query="absent(llmi_operator_leader == 1)",
        summary="No operator leads",
        description="For 5 minutes no operator has told Prometheus that it leads ({{ $value }}). Models keep answering; nothing "
        "changes, and no status is true any more.",
        meaning="It does not run, cannot reach the API server, or Prometheus does not scrape it.",
        steps=(
            "`kubectl -n llminference-system get pods,lease` — two pods, and a lease with a holder.",
            _OPERATOR_LOG,
            "Both fine? Then the scraping is not: [observability](observability.md#metrics).",
        ),
    ),
    Alert(
        name="LLMInferenceOperatorErrors",
        severity=Severity.WARNING,
        source=Source.OPERATOR,
        lasting="10m",
        query='sum(rate(llmi_operator_passes_total{result=~"fault|retry"}[5m]))\n'
        "/ (sum(rate(llmi_operator_passes_total[5m])) > 0) > 0.1",
        summary="{{ $value | humanizePercentage }} of the operator's passes fail",
        description="{{ $value | humanizePercentage }} of the operator's passes of the last 5 minutes ended in a fault or are "
        "to be repeated, for 10 minutes; the limit is 10%.",
        meaning="The API server refuses or does not answer, or the operator has a fault of its own (reason OperatorFault).",
        steps=(_OPERATOR_LOG, "`llmi_operator_api_requests_total` by status tells what the API server answers."),
    ),
    Alert(
        name="LLMInferenceOperatorBehind",
        severity=Severity.WARNING,
        source=Source.OPERATOR,
        lasting="5m",
        query="time() - max(llmi_operator_last_resync_timestamp_seconds and llmi_operator_leader == 1) > 1800",
        summary="The operator has listed nothing for {{ $value | humanizeDuration }}",
        description="The leading operator last listed everything {{ $value | humanizeDuration }} ago; it does so every 10 "
        "minutes, and the limit is 30.",
        meaning="It cannot list what it must know, so its statuses may be old.",
        steps=(
            _OPERATOR_LOG,
            "`kubectl auth can-i list pods --as system:serviceaccount:llminference-system:llminference-operator`",
        ),
    ),
    Alert(
        name="LLMInferenceCertificateExpiring",
        severity=Severity.WARNING,
        source=Source.ADAPTER,
        lasting="30m",
        query="llmi_metrics_adapter_certificate_expiry_timestamp_seconds - time() < 30 * 86400",
        summary="The certificate of {{ $labels.namespace }}/{{ $labels.pod }} ends in {{ $value | humanizeDuration }}",
        description="The certificate by which the API server knows the metrics adapter {{ $labels.namespace }}/{{ $labels.pod }} ends "
        "in {{ $value | humanizeDuration }}; it is made anew when half of its year is over, and the limit is 30 days.",
        meaning="The adapter renews its certificate by starting anew, and has not: it hangs, or its clock is wrong. Once the certificate has ended, "
        "autoscalers that go by requests in flight keep the number of replicas ([LLMInferenceScalingBlind](#llminferencescalingblind)).",
        steps=(
            "`kubectl -n llminference-system rollout restart deploy/llminference-metrics-adapter` gives it a new one.",
            "`kubectl -n llminference-system logs deploy/llminference-metrics-adapter --previous` tells what it did before.",
        ),
    ),
)

GROUPS = (
    Group("llminference.alerts.serving", _SERVING),
    Group("llminference.alerts.life", _LIFE),
    Group("llminference.alerts.gpu", _GPU),
    Group("llminference.alerts.operator", _OPERATOR),
)
ALERTS: tuple[Alert, ...] = (*_SERVING, *_LIFE, *_GPU, *_OPERATOR)
