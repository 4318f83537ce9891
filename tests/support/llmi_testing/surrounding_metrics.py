"""What kube-state-metrics, cAdvisor, the DCGM exporter and the metrics adapter would tell, by hand: none runs here."""

import time
from collections.abc import Iterable

from llmi_testing.monitoring_stack import Growing

_GPU = 'Hostname="node-1",gpu="0",namespace="models",pod="chat-0"'
FIRST_GPU = f"DCGM_FI_DEV_GPU_UTIL{{{_GPU}}}"
SECOND_GPU = 'DCGM_FI_DEV_GPU_UTIL{Hostname="node-1",gpu="1",namespace="other",pod="game-0"}'
_XID = f"DCGM_FI_DEV_XID_ERRORS{{{_GPU}}}"
_CERTIFICATE = "llmi_metrics_adapter_certificate_expiry_timestamp_seconds"
_DAY = 86400
_STATUS = "kube_pod_container_status"


def _condition(name: str, kind: str, reason: str) -> str:
    place = f'namespace="models",llminference="{name}"'
    return f'llminference_status_condition{{{place},type="{kind}",reason="{reason}"}}'


def healthy(names: Iterable[str]) -> dict[str, float | Growing]:
    """Tell of models, their pods and a node with two GPUs, all well."""
    found: dict[str, float | Growing] = {SECOND_GPU: 50, _XID: 0, _CERTIFICATE: time.time() + 200 * _DAY}
    for name in names:
        container = f'namespace="models",pod="{name}-0",container="server"'
        model = f'namespace="models",llminference="{name}"'
        found |= {
            f"container_cpu_usage_seconds_total{{{container}}}": Growing(0.7),
            f"container_memory_working_set_bytes{{{container}}}": 9e8,
            f"{_STATUS}_restarts_total{{{container}}}": 1,
            f"llminference_status_replicas{{{model}}}": 1,
            f"llminference_status_ready_replicas{{{model}}}": 1,
            f"llminference_spec_autoscaling_min_replicas{{{model}}}": 1,
            f"llminference_spec_autoscaling_max_replicas{{{model}}}": 4,
            f"llminference_status_scaling_desired{{{model}}}": 2,
            _condition(name, "Ready", "Serving"): 1,
            _condition(name, "Degraded", "Serving"): 0,
        }
    memory = {"FB_USED": 30000, "FB_FREE": 10000, "POWER_USAGE": 60}
    return found | {f"DCGM_FI_DEV_{key}{{{_GPU}}}": value for key, value in memory.items()}


def broken() -> dict[str, float | Growing]:
    """Tell of faults, each of another model; the series of a GPU that is lost must be taken away besides."""
    busy, container = 'namespace="models",llminference="busy"', 'namespace="models",pod="failing-0",container="server"'
    return {
        _condition("unschedulable", "Ready", "Unschedulable"): 0,
        _condition("blind", "Degraded", "AutoscalerBlind"): 0,
        _condition("crashing", "Degraded", "CrashLoop"): 1,
        _condition("stuck", "Degraded", "RolloutStuck"): 1,
        _condition("gated", "Degraded", "TokenRefused"): 1,
        f"llminference_spec_autoscaling_min_replicas{{{busy}}}": 1,
        f"llminference_spec_autoscaling_max_replicas{{{busy}}}": 4,
        f"llminference_status_scaling_desired{{{busy}}}": 4,
        f'{_STATUS}_last_terminated_reason{{{container},reason="OOMKilled"}}': 1,
        f"{_STATUS}_restarts_total{{{container}}}": Growing(0.1),
        _XID: 79,
        _CERTIFICATE: time.time() + 20 * _DAY,
    }
