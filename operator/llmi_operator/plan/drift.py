"""Whether a live object still is what the plan says, decided without asking the API server."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmi_operator.plan.quantity import parse_quantity

# Under these keys the API server rewrites numbers ("1000m" becomes "1").
_QUANTITIES = frozenset({"requests", "limits", "sizeLimit"})
# These are replaced as a whole: an extra entry is a change.
_ATOMIC = frozenset({"nodeSelector", "matchLabels", "selector"})


def covers(live: object, wanted: object, *, quantities: bool = False) -> bool:
    """Whether everything in ``wanted`` is in ``live``; what others added to ``live`` is theirs."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(_covers_key(live, key, wanted[key], quantities) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(live, list) and _covers_list(live, wanted, quantities=quantities)
    if quantities and live != wanted:
        return parse_quantity(live) == parse_quantity(wanted) is not None
    return bool(live == wanted)


def _covers_key(live: Mapping[str, Any], key: str, wanted: object, quantities: bool) -> bool:  # noqa: FBT001
    if wanted in ({}, []) and key not in live:
        return True
    if key not in live:
        return False
    if key in _ATOMIC and isinstance(wanted, Mapping) and set(live[key]) != set(wanted):
        return False
    return covers(live[key], wanted, quantities=quantities or key in _QUANTITIES)


def _covers_list(live: Sequence[Any], wanted: Sequence[Any], *, quantities: bool) -> bool:
    if wanted and all(isinstance(item, Mapping) and "name" in item for item in wanted):
        by_name = {item.get("name"): item for item in live if isinstance(item, Mapping)}
        return all(covers(by_name.get(item["name"]), item, quantities=quantities) for item in wanted)
    return len(live) == len(wanted) and all(
        covers(a, b, quantities=quantities) for a, b in zip(live, wanted, strict=True)
    )
