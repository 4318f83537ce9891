"""What would do with less, or needs more, by what was measured: advice with its numbers, never acted on."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from llmi_api.readiness import Usage
from llmi_api.v1alpha1.placement import DEFAULT_RESOURCE
from llmi_operator.plan.names import SERVER_CONTAINER
from llmi_operator.plan.quantity import parse_quantity

_Body = Mapping[str, Any]
ENOUGH_SECONDS = 3600
"""What was measured for less than an hour says little about the next, unless its owner knows better."""
SPARE = Decimal("1.3")
"""What is advised is this much more than the most that was measured: requests need memory too."""
WORTH_IT = Decimal("0.7")
"""Nothing is advised that would not save nearly a third."""
HALF_BUSY = 0.5
"""So busy may the busiest minute be after what is advised."""
QUARTER_BUSY = 0.25
"""A GPU that was never more busy than that is worth sharing."""
OVERLOADED = 0.9
_STEP = 256 * 2**20
_CPU_STEP = Decimal("0.25")
_GIBIBYTE = Decimal(2**30)
_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True)
class UsageSummary:
    """What the replicas that were asked have used since each began to serve.

    Attributes:
        replicas: How many were asked.
        serving_seconds: For how long the oldest of them serves.
        busy_seconds: How much time their engines computed, all together.
        hour_busy_share: Share of the last hour in which they did, on average.
        minute_busy_share: The same of the busiest minute of any of them.
        peak_memory_bytes: The most that any of them held.
        enough_seconds: For how long one must have served to be judged.
    """

    replicas: int
    serving_seconds: float
    busy_seconds: float
    hour_busy_share: float
    minute_busy_share: float
    peak_memory_bytes: int
    enough_seconds: int = ENOUGH_SECONDS

    @property
    def is_long_enough(self) -> bool:
        """Whether it can be judged by."""
        return self.serving_seconds >= self.enough_seconds

    @property
    def span(self) -> str:
        """Of which time the shares are."""
        return "hour" if self.serving_seconds >= _HOUR else describe_time(self.serving_seconds)


def sum_up(usages: Sequence[Usage], enough_seconds: int = ENOUGH_SECONDS) -> UsageSummary | None:
    """Put together what each replica told; None when none did."""
    if not usages:
        return None
    return UsageSummary(
        replicas=len(usages),
        serving_seconds=max(item.serving_seconds for item in usages),
        busy_seconds=sum(item.busy_seconds for item in usages),
        hour_busy_share=sum(item.hour_busy_share for item in usages) / len(usages),
        minute_busy_share=max(item.minute_busy_share for item in usages),
        peak_memory_bytes=max(item.peak_memory_bytes for item in usages),
        enough_seconds=enough_seconds,
    )


def advise(spec: _Body, status: _Body, pods: Iterable[_Body], used: UsageSummary | None) -> Iterator[str]:
    """Compare what one replica requests, and how many there are, with what was used."""
    requests = _find_requests(pods)
    memory, cpu = requests.get("memory"), requests.get("cpu")
    if used is None:
        measured = (status.get("memory") or {}).get("measuredBytes")
        # On a GPU it is the GPU's memory that was measured.
        if measured and spec.get("accelerator") is None:
            yield from _advise_by_start(measured, memory)
        return
    if not used.is_long_enough:
        return
    if used.busy_seconds:
        yield from _advise_on_memory(used, memory)
    yield from _advise_on_load(used, spec, int(status.get("replicas") or used.replicas), cpu)


def _advise_by_start(measured: int, requested: Decimal | None) -> Iterator[str]:
    enough = _find_enough(measured, requested)
    if enough:
        yield (
            f"A replica requests {_write(requested)} of memory, and the latest start took at most "
            f"{_write(measured)}: {enough} in spec.resources would hold that and "
            f"{SPARE - 1:.0%} more. Look at it under your own traffic before you lower it."
        )


def _advise_on_memory(used: UsageSummary, requested: Decimal | None) -> Iterator[str]:
    enough = _find_enough(used.peak_memory_bytes, requested)
    if enough:
        yield (
            f"A replica requests {_write(requested)} of memory and held at most {_write(used.peak_memory_bytes)} in "
            f"{describe_time(used.serving_seconds)}: {enough} in spec.resources would hold that and "
            f"{SPARE - 1:.0%} more."
        )


def _advise_on_load(used: UsageSummary, spec: _Body, replicas: int, cpu: Decimal | None) -> Iterator[str]:
    autoscaling, accelerator = spec.get("autoscaling"), spec.get("accelerator")
    kept = replicas if autoscaling is None else min(replicas, autoscaling.get("minReplicas", 1))
    if not used.hour_busy_share:
        if kept:
            yield (
                f"Nothing was computed in the last {used.span}. spec.replicas: 0 stops it until you set it back; with "
                "KEDA it sleeps until it is asked (docs/scaling.md)."
            )
        return
    busy = f"computed {describe_share(used.hour_busy_share)} of the last {used.span}"
    peak = f"{busy}, {describe_share(used.minute_busy_share)} of the busiest minute"
    if used.hour_busy_share > OVERLOADED:
        yield from _advise_on_overload(busy, autoscaling, replicas)
        return
    enough = max(1, math.ceil(replicas * used.minute_busy_share / HALF_BUSY))
    if enough < kept:
        field = "spec.replicas" if autoscaling is None else "spec.autoscaling.minReplicas"
        alone = " Two or more go on answering when a node fails." if enough == 1 else ""
        yield f"{replicas} replicas {peak}: {enough} would carry that. Lower {field}.{alone}"
    elif accelerator is not None:
        if used.minute_busy_share <= QUARTER_BUSY and _is_whole(accelerator):
            yield (
                f"A replica has a whole GPU and {peak}: a part of one would do (spec.accelerator.resource, "
                "docs/gpu.md)."
            )
    elif replicas == 1 and cpu:
        yield from _advise_on_cpu(peak, used.minute_busy_share, cpu)


def _advise_on_overload(busy: str, autoscaling: _Body | None, replicas: int) -> Iterator[str]:
    if autoscaling is None:
        yield (
            f"The replicas {busy}: requests wait for each other. Raise spec.replicas, or give a replica more to "
            "compute with."
        )
    elif replicas >= autoscaling.get("maxReplicas", replicas):
        yield f"All {replicas} replicas {busy}: requests wait for each other. Raise spec.autoscaling.maxReplicas."


def _advise_on_cpu(peak: str, minute_share: float, cpu: Decimal) -> Iterator[str]:
    wanted = cpu * Decimal(minute_share) / Decimal(HALF_BUSY)
    enough = max((wanted / _CPU_STEP).to_integral_value(ROUND_CEILING), Decimal(1)) * _CPU_STEP
    if enough <= cpu * WORTH_IT:
        yield (
            f"A replica requests {cpu.normalize():f} CPU and {peak}: {enough.normalize():f} in spec.resources would "
            f"carry that, with answers that take up to {cpu / enough:.1f} times as long."
        )


def _is_whole(accelerator: _Body) -> bool:
    return "dra" not in accelerator and accelerator.get("resource", DEFAULT_RESOURCE).endswith("/gpu")


def _find_enough(measured: int, requested: Decimal | None) -> str | None:
    """What would do, if that is worth a word."""
    if requested is None:
        return None
    enough = (measured * SPARE / _STEP).to_integral_value(ROUND_CEILING) * _STEP
    return f"{enough / 2**20:f}Mi" if enough <= requested * WORTH_IT else None


def _find_requests(pods: Iterable[_Body]) -> dict[str, Decimal]:
    """Of the newest replica's server."""
    for pod in sorted(pods, key=lambda item: str(item["metadata"].get("creationTimestamp")), reverse=True):
        for container in pod["spec"].get("containers") or ():
            if container["name"] == SERVER_CONTAINER:
                requests = (container.get("resources") or {}).get("requests") or {}
                read = {name: parse_quantity(amount) for name, amount in requests.items()}
                return {name: amount for name, amount in read.items() if amount is not None}
    return {}


def describe_share(share: float) -> str:
    """In percent; what is not quite nothing is not called nothing."""
    return "less than 1%" if 0 < share < 0.01 else f"{share:.0%}"  # noqa: PLR2004 - one in a hundred


def describe_time(seconds: float) -> str:
    """In one unit."""
    if seconds >= 2 * _DAY:
        return f"{seconds // _DAY:.0f} days"
    return f"{seconds // _HOUR:.0f} h" if seconds >= _HOUR else f"{seconds // 60:.0f} min"


def _write(amount: Decimal | int | None) -> str:
    return f"{Decimal(amount or 0) / _GIBIBYTE:.2f} GiB"
