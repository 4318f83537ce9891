"""JSON of answers that may hold many numbers: straight from NumPy's memory, each as short as its precision allows."""

import numpy as np
import orjson


def to_json(value: object) -> bytes:
    """Return a JSON document without blanks, in UTF-8.

    A float32 is written with the fewest digits that name it among all float32 (as a Python float it would have up to
    17, eight of which say nothing), so a vector takes little more than half the bytes.

    Args:
        value: Objects, lists, texts, numbers, and arrays of float32 in any depth.
    """
    return orjson.dumps(value, default=_in_one_piece, option=orjson.OPT_SERIALIZE_NUMPY)


def _in_one_piece(value: object) -> object:
    """Return what orjson does not take as it lies: a view of every other number, say."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value)
    raise TypeError
