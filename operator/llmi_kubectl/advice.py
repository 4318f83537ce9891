"""What a replica could do with less, by what was measured: advice with its numbers, which nobody follows by itself."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from llmi_operator.plan.names import SERVER_CONTAINER
from llmi_operator.plan.quantity import parse_quantity

_Body = Mapping[str, Any]
SPARE = Decimal("1.3")
"""What is advised is this much more than the most that was measured: requests need memory too."""
WORTH_IT = Decimal("0.7")
"""Nothing is advised that would not save nearly a third."""
_STEP = 256 * 2**20
_GIBIBYTE = Decimal(2**30)


def advise(status: _Body, pods: Iterable[_Body]) -> Iterator[str]:
    """Compare what one replica requests with the most that its start took."""
    measured = (status.get("memory") or {}).get("measuredBytes")
    requested = _find_requested_memory(pods)
    if not measured or requested is None:
        return
    enough = (measured * SPARE / _STEP).to_integral_value(ROUND_CEILING) * _STEP
    if enough <= requested * WORTH_IT:
        yield (
            f"A replica requests {_write(requested)} of memory, and the latest start took at most "
            f"{_write(Decimal(measured))}: {enough / 2**20:f}Mi in spec.resources would hold that and "
            f"{SPARE - 1:.0%} more. Look at it under your own traffic before you lower it."
        )


def _find_requested_memory(pods: Iterable[_Body]) -> Decimal | None:
    """Of the newest replica's server."""
    for pod in sorted(pods, key=lambda item: str(item["metadata"].get("creationTimestamp")), reverse=True):
        for container in pod["spec"].get("containers") or ():
            if container["name"] == SERVER_CONTAINER:
                return parse_quantity(((container.get("resources") or {}).get("requests") or {}).get("memory"))
    return None


def _write(amount: Decimal) -> str:
    return f"{amount / _GIBIBYTE:.2f} GiB"
