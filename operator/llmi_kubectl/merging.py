"""What an object becomes when a file is applied: the three-way merge that ``kubectl apply`` makes."""

import json
from collections.abc import Mapping
from typing import Any

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_Body = dict[str, Any]


def merge_file(stored: Mapping[str, Any] | None, file: Mapping[str, Any]) -> _Body:
    """The spec after the file was applied to what is stored.

    What the file says holds; what it said the last time and says no more goes; what others set, such as the replicas
    of ``kubectl scale``, stays. A list is one value.
    """
    if stored is None:
        return dict(file.get("spec") or {})
    spec: _Body = _merge(stored.get("spec") or {}, _read_last(stored).get("spec") or {}, file.get("spec") or {})
    return spec


def _merge(stored: Mapping[str, Any], last: Mapping[str, Any], file: Mapping[str, Any]) -> _Body:
    merged: _Body = {key: value for key, value in stored.items() if key not in last or key in file}
    for key, value in file.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            merged[key] = _merge(_as_mapping(stored.get(key)), _as_mapping(last.get(key)), value)
        else:
            merged[key] = value
    return merged


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _read_last(stored: Mapping[str, Any]) -> _Body:
    text = (stored["metadata"].get("annotations") or {}).get(LAST_APPLIED, "")
    try:
        last = json.loads(text) if text else {}
    except ValueError:
        return {}
    return last if isinstance(last, dict) else {}
