"""Whether a live object still is what the plan says, and where not, decided without asking the API server."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmi_operator.plan.quantity import parse_quantity

Path = tuple[str, ...]
"""Steps to a place in an object: a key, or a list's item as ``[name]`` or ``[index]``."""

# Under these keys the API server rewrites numbers ("1000m" becomes "1").
_QUANTITIES = frozenset({"requests", "limits", "sizeLimit", "averageValue"})
# These are replaced as a whole: an extra entry is a change.
_ATOMIC = frozenset({"nodeSelector", "matchLabels", "selector"})
# Nothing may be added anywhere in these: they are the rules of a NetworkPolicy.
_EXACT = frozenset({"ingress", "egress"})


def covers(live: object, wanted: object) -> bool:
    """Whether everything in ``wanted`` is in ``live``; what others added to ``live`` is theirs."""
    return next(find_differences(live, wanted), None) is None


def find_differences(live: object, wanted: object, *, path: Path = (), quantities: bool = False) -> Iterator[Path]:
    """Every place where ``live`` is not what ``wanted`` says."""
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            yield path
            return
        for key in wanted:
            yield from _compare_key(live, key, wanted[key], path=path, quantities=quantities)
    elif isinstance(wanted, list):
        if not isinstance(live, list):
            yield path
            return
        yield from _compare_list(live, wanted, path=path, quantities=quantities)
    elif live != wanted and not (quantities and parse_quantity(live) == parse_quantity(wanted) is not None):
        yield path


def _compare_key(live: Mapping[str, Any], key: str, wanted: object, *, path: Path, quantities: bool) -> Iterator[Path]:
    here = (*path, key)
    if key not in live:
        if wanted not in ({}, []):
            yield here
    elif (key in _EXACT and live[key] != wanted) or (
        key in _ATOMIC and isinstance(wanted, Mapping) and set(live[key]) != set(wanted)
    ):
        yield here
    else:
        yield from find_differences(live[key], wanted, path=here, quantities=quantities or key in _QUANTITIES)


def _compare_list(live: Sequence[Any], wanted: Sequence[Any], *, path: Path, quantities: bool) -> Iterator[Path]:
    if wanted and all(isinstance(item, Mapping) and "name" in item for item in wanted):
        by_name = {item.get("name"): item for item in live if isinstance(item, Mapping)}
        for item in wanted:
            there, here = by_name.get(item["name"]), (*path, f"[{item['name']}]")
            yield from find_differences(there, item, path=here, quantities=quantities)
    elif len(live) != len(wanted):
        yield path
    else:
        for index, (there, item) in enumerate(zip(live, wanted, strict=True)):
            yield from find_differences(there, item, path=(*path, f"[{index}]"), quantities=quantities)
