"""Writing vectors as JSON: ours against Pydantic's, which takes Python's floats; ``make bench-json``.

The two take turns, and the ratio is that of the medians. The texts' number and the vectors' length are those of common
requests: one text of BERT-large's width and of MiniLM's, and 64 of MiniLM's.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from pydantic import BaseModel

from llmi_api.markdown import write_table
from llmi_server.schema.number_json import to_json

SHAPES = ((1, 1024), (1, 384), (64, 384))
TURNS = 200


class Whole(BaseModel):
    """As much of an answer as matters."""

    data: list[list[float]]


def milliseconds(write: Callable[[], bytes]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    write()
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    """Measure and print a table."""
    lines = []
    for count, width in SHAPES:
        vectors = list(np.random.default_rng(0).standard_normal((count, width), dtype=np.float32))

        def before(vectors: list[np.ndarray] = vectors) -> bytes:
            return Whole(data=[vector.tolist() for vector in vectors]).model_dump_json().encode()

        def now(vectors: list[np.ndarray] = vectors) -> bytes:
            return to_json({"data": vectors})

        pairs = [(milliseconds(before), milliseconds(now)) for _ in range(TURNS)]
        theirs, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
        cells = (count, width, f"{theirs:.3f}", f"{ours:.3f}", f"{theirs / ours:.1f}", len(before()), len(now()))
        lines.append(list(map(str, cells)))
    head = ("vectors", "numbers in each", "ms, Pydantic", "ms, ours", "times as fast", "bytes, Pydantic", "bytes, ours")
    print(write_table(head, lines))


if __name__ == "__main__":
    main()
