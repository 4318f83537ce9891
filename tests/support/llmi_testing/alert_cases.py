"""Series for promtool's unit tests: four hours of a healthy world, and for each alert the fault that is to fire it.

A fault begins after 20 minutes and, unless its case says otherwise, ends 40 minutes later. Series are one value a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

MINUTES = 240
BEGIN, END = 20, 60

Values = tuple[float | None, ...]
_MODEL = 'namespace="models",llminference="bert"'
_POD = f'{_MODEL},pod="bert-0"'
_CHAT = 'namespace="models",llminference="chat",pod="chat-0"'
_GPU = 'Hostname="node-1",gpu="0",namespace="models",pod="chat-0"'
_SECOND_GPU = 'Hostname="node-1",gpu="1",namespace="other",pod="game-0"'
_ADAPTER = 'namespace="llminference-system",pod="adapter-0"'
_REASON = "llminference_status_condition{{" + _MODEL + ',type="{kind}",reason="{reason}"}}'


@dataclass(frozen=True)
class Case:
    """What fires an alert.

    Attributes:
        fault: Series that differ from the healthy world's.
        labels: Labels that the alert is to carry.
        after: Minutes from the fault's begin after which it must fire at the latest.
        before: Minutes from the fault's begin up to which it must not fire yet.
        gone: Minutes from the fault's end after which it must be over.
    """

    fault: Mapping[str, Values]
    labels: Mapping[str, str] = field(default_factory=lambda: {"namespace": "models", "llminference": "bert"})
    after: int = 20
    before: int = 0
    gone: int = 20


def steady(value: float) -> Values:
    """A gauge that does not move."""
    return (value,) * MINUTES


def during(value: float | None, otherwise: float | None) -> Values:
    """A gauge that has another value while the fault lasts; None is absent."""
    return tuple(value if BEGIN <= minute < END else otherwise for minute in range(MINUTES))


def counting(by: float, otherwise: float) -> Values:
    """A counter that grows by so much a minute while the fault lasts."""
    return tuple(accumulate(by if BEGIN <= minute < END else otherwise for minute in range(MINUTES)))


def growing(by: float) -> Values:
    """A counter that grows all the time."""
    return counting(by, by)


def histogram(name: str, labels: str, slow: float, quick: float) -> dict[str, Values]:
    """Durations: so many a minute take 10 to 20 s while the fault lasts, the others less than 0.1 s."""
    both = tuple(a + b for a, b in zip(growing(quick), counting(slow, 0), strict=True))
    return {
        f'{name}_bucket{{{labels},le="0.1"}}': growing(quick),
        f'{name}_bucket{{{labels},le="10.0"}}': growing(quick),
        f'{name}_bucket{{{labels},le="20.0"}}': both,
        f'{name}_bucket{{{labels},le="+Inf"}}': both,
        f"{name}_count{{{labels}}}": both,
        f"{name}_sum{{{labels}}}": growing(quick * 0.05),
    }


_SECONDS = "gen_ai_server_request_duration_seconds"
_TTFT = "gen_ai_server_time_to_first_token_seconds"
_OF_TASK = f'{_POD},gen_ai_operation_name="task",model_name="bert"'
_OF_CHAT = f'{_CHAT},gen_ai_operation_name="chat",model_name="chat"'

HEALTHY: dict[str, Values] = {
    f"up{{{_POD}}}": steady(1),
    f"up{{{_CHAT}}}": steady(1),
    f"llmi_model_ready{{{_POD}}}": steady(1),
    f"llmi_model_ready{{{_CHAT}}}": steady(1),
    f"llmi_requests_running{{{_POD}}}": steady(8),
    f"llmi_requests_waiting{{{_POD}}}": steady(3),
    f"llmi_kv_cache_usage_ratio{{{_CHAT}}}": steady(0.6),
    f'llmi_requests_total{{{_POD},operation="task",code="200"}}': growing(600),
    f'llmi_requests_total{{{_POD},operation="task",code="400"}}': growing(60),
    f'llmi_requests_total{{{_POD},operation="task",code="500"}}': growing(1),
    f'llmi_rejected_total{{{_POD},reason="queue_full"}}': growing(1),
    f'llmi_tokens_total{{{_POD},type="input"}}': growing(6000),
    **histogram(_SECONDS, _OF_TASK, 0, 600),
    **histogram(_SECONDS, _OF_CHAT, 0, 60),
    **histogram(_TTFT, _OF_CHAT, 0, 60),
    _REASON.format(kind="Ready", reason="Serving"): steady(1),
    _REASON.format(kind="Available", reason="Serving"): steady(1),
    _REASON.format(kind="Degraded", reason="Serving"): steady(0),
    _REASON.format(kind="Stalled", reason="Serving"): steady(0),
    # Zero on purpose.
    'llminference_status_condition{namespace="models",llminference="asleep",type="Ready",reason="ScaledToZero"}': steady(
        0
    ),
    f"llminference_spec_autoscaling_min_replicas{{{_MODEL}}}": steady(1),
    f"llminference_spec_autoscaling_max_replicas{{{_MODEL}}}": steady(4),
    f"llminference_status_scaling_desired{{{_MODEL}}}": steady(2),
    'kube_pod_container_status_restarts_total{namespace="models",pod="bert-0",container="server"}': steady(1),
    'kube_pod_container_status_last_terminated_reason{namespace="models",pod="bert-0",container="server",'
    'reason="OOMKilled"}': steady(1),
    f"DCGM_FI_DEV_GPU_UTIL{{{_GPU}}}": steady(70),
    f"DCGM_FI_DEV_GPU_UTIL{{{_SECOND_GPU}}}": steady(0),
    f"DCGM_FI_DEV_XID_ERRORS{{{_GPU}}}": steady(31),
    f"DCGM_FI_DEV_XID_ERRORS{{{_SECOND_GPU}}}": steady(0),
    f"llmi_metrics_adapter_certificate_expiry_timestamp_seconds{{{_ADAPTER}}}": steady(200 * 86400),
    'llmi_operator_leader{pod="operator-0"}': steady(1),
    'llmi_operator_leader{pod="operator-1"}': steady(0),
    'llmi_operator_passes_total{pod="operator-0",result="done"}': growing(30),
    'llmi_operator_passes_total{pod="operator-0",result="retry"}': growing(1),
    'llmi_operator_last_resync_timestamp_seconds{pod="operator-0"}': tuple(
        float(minute // 10 * 600) for minute in range(MINUTES)
    ),
}


def says(reason: str, **conditions: float) -> dict[str, Values]:
    """The operator gives a reason while the fault lasts; the conditions of other reasons are absent meanwhile."""
    silent = {name: during(None, HEALTHY[name][0]) for name in HEALTHY if f"{_MODEL},type=" in name}
    said = {_REASON.format(kind=kind, reason=reason): during(value, None) for kind, value in conditions.items()}
    return silent | said


_NO_LABELS: dict[str, str] = {}
CASES: dict[str, Case] = {
    "LLMInferenceDown": Case({f"up{{{_POD}}}": during(0, 1)}, after=4, before=1, gone=2),
    "LLMInferenceNotReady": Case(
        says("Unschedulable", Ready=0, Degraded=1, Stalled=0),
        {"namespace": "models", "llminference": "bert", "reason": "Unschedulable"},
        after=17,
        before=14,
        gone=6,
    ),
    "LLMInferenceErrors": Case(
        {f'llmi_requests_total{{{_POD},operation="task",code="500"}}': counting(100, 1)}, after=12, before=4, gone=6
    ),
    "LLMInferenceRefusing": Case({f'llmi_rejected_total{{{_POD},reason="queue_full"}}': counting(60, 1)}, after=12, gone=6),
    "LLMInferenceSlow": Case(histogram(_SECONDS, _OF_TASK, 100, 600), before=9, gone=6),
    "LLMInferenceFirstTokenSlow": Case(
        histogram(_TTFT, _OF_CHAT, 10, 60), {"namespace": "models", "llminference": "chat"}, before=9, gone=6
    ),
    "LLMInferenceQueueLong": Case({f"llmi_requests_waiting{{{_POD}}}": during(40, 3)}, after=12, before=9, gone=2),
    "LLMInferenceKVCacheFull": Case(
        {f"llmi_kv_cache_usage_ratio{{{_CHAT}}}": during(0.99, 0.6)},
        {"namespace": "models", "llminference": "chat"},
        after=12,
        before=9,
        gone=2,
    ),
    "LLMInferenceScaledToMax": Case(
        {f"llminference_status_scaling_desired{{{_MODEL}}}": during(4, 2)}, after=32, before=29, gone=2
    ),
    "LLMInferenceScalingBlind": Case(
        says("AutoscalerBlind", Ready=1, Degraded=0, Stalled=0), after=7, before=4, gone=6
    ),
    "LLMInferenceCrashLoop": Case(
        {'kube_pod_container_status_restarts_total{namespace="models",pod="bert-0",container="server"}': counting(0.5, 0)},
        after=10,
        gone=17,
    ),
    "LLMInferenceOutOfMemory": Case(
        {'kube_pod_container_status_restarts_total{namespace="models",pod="bert-0",container="server"}': counting(0.1, 0)},
        after=2,
        gone=17,
    ),
    "LLMInferenceStartSlow": Case({f"llmi_model_ready{{{_POD}}}": during(0, 1)}, after=22, before=19, gone=2),
    "LLMInferenceRolloutStuck": Case(says("RolloutStuck", Ready=0, Degraded=1), after=7, before=4, gone=6),
    "LLMInferenceTokenRefused": Case(
        says("TokenRefused", Ready=0, Degraded=1),
        {"namespace": "models", "llminference": "bert", "reason": "TokenRefused"},
        after=7,
        before=4,
        gone=6,
    ),
    "LLMInferenceGPUError": Case(
        {f"DCGM_FI_DEV_XID_ERRORS{{{_GPU}}}": tuple(31 if minute < BEGIN else 79 for minute in range(MINUTES))},
        {"Hostname": "node-1", "gpu": "0"},
        after=2,
        gone=-20,  # the number stays until the driver starts anew: the alert ends 15 minutes after it changed
    ),
    "LLMInferenceGPULost": Case(
        {f"DCGM_FI_DEV_GPU_UTIL{{{_SECOND_GPU}}}": during(None, 0)},
        {"Hostname": "node-1"},
        after=12,
        before=4,
        gone=6,
    ),
    "LLMInferenceGPUIdle": Case(
        {f"DCGM_FI_DEV_GPU_UTIL{{{_GPU}}}": tuple(70 if minute < BEGIN else 0 for minute in range(200)) + (70,) * 40},
        {"namespace": "models", "llminference": "chat"},
        after=122,
        before=60,
        gone=147,
    ),
    "LLMInferenceOperatorDown": Case(
        {'llmi_operator_leader{pod="operator-0"}': during(0, 1)}, _NO_LABELS, after=7, before=4, gone=2
    ),
    "LLMInferenceOperatorErrors": Case(
        {'llmi_operator_passes_total{pod="operator-0",result="retry"}': counting(20, 1)},
        _NO_LABELS,
        after=17,
        before=9,
        gone=6,
    ),
    "LLMInferenceOperatorBehind": Case(
        {'llmi_operator_last_resync_timestamp_seconds{pod="operator-0"}': tuple(
            float(BEGIN * 60 if BEGIN <= minute < END else minute * 60) for minute in range(MINUTES)
        )},
        _NO_LABELS,
        after=37,
        before=33,
        gone=2,
    ),
    "LLMInferenceCertificateExpiring": Case(
        {f"llmi_metrics_adapter_certificate_expiry_timestamp_seconds{{{_ADAPTER}}}": during(20 * 86400, 200 * 86400)},
        {"namespace": "llminference-system", "pod": "adapter-0"},
        after=32,
        before=29,
        gone=2,
    ),
}  # fmt: skip
