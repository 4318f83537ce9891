"""Whether a live object still is what the plan says, decided without asking the API server."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

# Under these keys the API server rewrites numbers ("1000m" becomes "1").
_QUANTITIES = frozenset({"requests", "limits", "sizeLimit"})
# These are replaced as a whole: an extra entry is a change.
_ATOMIC = frozenset({"nodeSelector", "matchLabels", "selector"})
_SUFFIXES = {
    "": Decimal(1), "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": Decimal(10**3),
    "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}  # fmt: skip


def covers(live: object, wanted: object, *, quantities: bool = False) -> bool:
    """Whether everything in ``wanted`` is in ``live``; what others added to ``live`` is theirs."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(_covers_key(live, key, wanted[key], quantities) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(live, list) and _covers_list(live, wanted, quantities=quantities)
    if quantities and live != wanted:
        return parse_quantity(live) == parse_quantity(wanted) is not None
    return bool(live == wanted)


def parse_quantity(value: object) -> Decimal | None:
    """Read a Kubernetes quantity; None when it is none."""
    text = str(value)
    number = text.rstrip("numkMGTPEi")
    suffix = text[len(number) :]
    try:
        return Decimal(number) * _SUFFIXES[suffix]
    except (InvalidOperation, KeyError):
        return None


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
