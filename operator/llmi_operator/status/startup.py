"""How long the latest start of a replica took, phase by phase, and what memory it came to."""

from collections.abc import Mapping
from datetime import datetime

from llmi_api.readiness import ReadinessReport, Stage
from llmi_api.v1alpha1 import LLMInferenceStatus, MemoryStatus, PrecisionMemory, StartupStatus
from llmi_operator.observed import ContainerState, Observed, PodState
from llmi_operator.parse import Resource
from llmi_operator.status.fitting import find_devices
from llmi_operator.status.progress import describe_rate, describe_seconds
from llmi_operator.status.reports import read_failure, read_fetch

WARMING = frozenset({"warm-up", "verify"})
_MEBIBYTE = 2**20


def compute_startup(observed: Observed, previous: LLMInferenceStatus) -> StartupStatus | None:
    """The phases of the newest replica's start that are over; those of an earlier one until a new one begins."""
    before, pod = previous.startup, find_newest(observed)
    if pod is None or (before is not None and _is_told(before, pod)):
        return before
    same = before if before is not None and before.replica == pod.name else None
    report = pod.report if pod.report and pod.report.stage is Stage.READY else None
    fetch = read_fetch(pod)
    fetched_bytes = None
    if fetch:
        fetched_bytes = fetch.bytes if fetch.downloaded_bytes is None else fetch.downloaded_bytes
    return StartupStatus(
        replica=pod.name,
        scheduled=_between(pod.created_at, _find_scheduled(pod)),
        pulled=_between(_find_scheduled(pod), _find_first_run(pod)) or (same.pulled if same else None),
        fetched=describe_seconds(fetch.seconds) if fetch else None,
        fetched_bytes=fetched_bytes,
        fetched_rate=describe_rate(fetched_bytes / fetch.seconds)
        if fetch and fetched_bytes and fetch.seconds
        else None,
        loaded=describe_seconds(_sum_phases(report, warm=False)) if report else None,
        warmed=describe_seconds(_sum_phases(report, warm=True)) if report else None,
        answered=_find_answered(pod, report),
    )


def compute_memory(resource: Resource, observed: Observed, previous: LLMInferenceStatus) -> MemoryStatus | None:
    """What the newest replica had used when its start was over; taken once, because a status must come to rest.

    Before anything was measured, and when a model was refused, it is what the files' headers told.
    """
    memory, pod = _compute_memory(observed, previous), find_newest(observed)
    if memory is None or (resource.spec.accelerator is not None and (observed.nodes is None or pod is None)):
        return memory
    devices = find_devices(resource, pod, observed.nodes) if pod is not None else None
    return memory.model_copy(update={"device": devices.describe() if devices else None})


def _compute_memory(observed: Observed, previous: LLMInferenceStatus) -> MemoryStatus | None:
    pod = find_newest(observed)
    report = pod.report if pod else None
    told = pod is not None and previous.startup is not None and _is_told(previous.startup, pod)
    if pod is None or told:
        return previous.memory
    if report is None or report.stage is not Stage.READY:
        return _foresee_memory(pod, previous.memory)
    return MemoryStatus(
        model=pod.model or None,
        predicted_bytes=_round(report.predicted_memory_bytes),
        by_precision=_read_precisions(report.predicted_by_precision),
        weights=_read_precisions(report.weights_by_precision) or _keep_weights(pod, previous.memory),
        device=_keep_device(previous.memory),
        measured_bytes=_round(report.measured_memory_bytes),
    )


def _foresee_memory(pod: PodState, before: MemoryStatus | None) -> MemoryStatus | None:
    """What a replica that starts, or that gave up for want of it, said that its model takes."""
    failures = [read_failure(item.failure) for item in pod.containers if item.failure]
    refused = next((item.predicted_by_precision for item in failures if item and item.predicted_by_precision), None)
    if refused is not None:
        return MemoryStatus(
            model=pod.model or None,
            by_precision=_read_precisions(refused),
            weights=_keep_weights(pod, before),
            device=_keep_device(before),
        )
    measured = before is not None and before.measured_bytes is not None and before.model in {None, pod.model}
    if pod.report is None or not pod.report.predicted_by_precision or measured:
        return before
    return MemoryStatus(
        model=pod.model or None,
        predicted_bytes=_round(pod.report.predicted_memory_bytes),
        by_precision=_read_precisions(pod.report.predicted_by_precision),
        weights=_read_precisions(pod.report.weights_by_precision) or _keep_weights(pod, before),
        device=_keep_device(before),
    )


def _keep_weights(pod: PodState, before: MemoryStatus | None) -> PrecisionMemory | None:
    """What was told of these very files, by an image that tells more."""
    return before.weights if before is not None and before.model is not None and before.model == pod.model else None


def _keep_device(before: MemoryStatus | None) -> str | None:
    return before.device if before is not None else None


def choose_whom_to_ask(observed: Observed, previous: LLMInferenceStatus) -> PodState | None:
    """The one replica whose /readyz has something to tell that is not known yet."""
    pod = find_newest(observed)
    if pod is None or not pod.address or not any(item.running_since for item in pod.containers):
        return None
    if not pod.ready:
        return pod
    before = previous.startup
    if before is not None and before.answered is not None and (before.replica != pod.name or before.loaded is not None):
        return None
    # What it said while it started is not the end of it, and a failure to answer is not either.
    return None if pod.report is not None and pod.report.stage is Stage.READY else pod


def find_newest(observed: Observed) -> PodState | None:
    """The replica that was made last."""
    return max(observed.newest_pods, key=lambda pod: (str(pod.created_at), pod.name), default=None)


def _is_told(before: StartupStatus, pod: PodState) -> bool:
    """Whether a start was told to its end, so that what a replica does later changes nothing about it."""
    if before.answered is None:
        return False
    if before.replica != pod.name:
        # A replica that answers already began before the one that was told, and has only outlived it.
        return pod.ready
    return before.loaded is not None or pod.report is None or pod.report.stage is not Stage.READY


def _find_scheduled(pod: PodState) -> datetime | None:
    condition = pod.conditions.get("PodScheduled")
    return condition.since if condition and condition.status == "True" else None


def _find_first_run(pod: PodState) -> datetime | None:
    """When its first container began to run; unknown once that has been started anew."""
    first = pod.fetch or pod.server
    return _find_start(first) if first and first.restarts == 0 else None


def _find_start(container: ContainerState) -> datetime | None:
    return container.running_since or (container.terminated.started_at if container.terminated else None)


def _find_answered(pod: PodState, report: ReadinessReport | None) -> str | None:
    began = pod.server.running_since if pod.server else None
    if report and began and pod.created_at:
        seconds = (began - pod.created_at).total_seconds() + sum(report.phase_seconds.values())
        return describe_seconds(seconds)
    return _between(pod.created_at, pod.conditions["Ready"].since) if pod.ready else None


def _sum_phases(report: ReadinessReport, *, warm: bool) -> float:
    return sum(seconds for phase, seconds in report.phase_seconds.items() if (phase in WARMING) is warm)


def _between(first: datetime | None, second: datetime | None) -> str | None:
    return describe_seconds((second - first).total_seconds()) if first and second else None


def _read_precisions(predicted: Mapping[str, int]) -> PrecisionMemory | None:
    """A server that is newer than this operator may know more formats, an older one tells of none."""
    known = {name: _round(size) for name, size in predicted.items() if name in PrecisionMemory.model_fields}
    return PrecisionMemory(**known) if known else None


def _round(amount: int | None) -> int | None:
    return None if amount is None else amount // _MEBIBYTE * _MEBIBYTE
