"""The processor's threads: each takes a share of a batch, or all work on one text."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

UNEVEN = 1.16
"""How much more than its part the largest share may have: threads that join in every step lose about as much."""

UNEVEN_BY_CLAIMS = 1.05
"""The same of threads that claim the columns of a product one panel at a time, as in our own kernels."""

_PartT = TypeVar("_PartT")
_ResultT = TypeVar("_ResultT")


def divide(lengths: Sequence[int], threads: int, uneven: float = UNEVEN) -> list[list[int]]:
    """Divide texts, given by their lengths, into one share of about the same length for each thread.

    Where that cannot be, because there are too few texts or one outweighs the rest, there is one share, for all threads
    together.

    Args:
        lengths: Of the texts, in tokens.
        threads: How many.
        uneven: How much more than its part the largest share may have.

    Returns:
        Places in ``lengths``, in ascending order in each share.
    """
    shares: list[list[int]] = [[] for _ in range(threads)]
    sums = [0] * threads
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        least = sums.index(min(sums))
        shares[least].append(place)
        sums[least] += lengths[place]
    if min(sums) == 0 or max(sums) * threads > uneven * sum(sums):
        return [list(range(len(lengths)))]
    return [sorted(share) for share in shares]


class Crew:
    """Threads that compute shares side by side, or one share together.

    Threads that join in each of hundreds of steps wait for the slowest one every time; with one thread a share they
    wait once. On a processor that others use too that is the difference between half as fast and a fifth.

    Args:
        threads: How many.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._together = ThreadPoolExecutor(1, "engine-all", initializer=torch.set_num_threads, initargs=(threads,))
        self._each = ThreadPoolExecutor(threads, "engine-each", initializer=torch.set_num_threads, initargs=(1,))

    def map(self, work: Callable[[_PartT], _ResultT], parts: Sequence[_PartT]) -> list[_ResultT]:
        """Return what ``work`` gives for each part: a single part gets all threads, of several each has one."""
        pool = self._together if len(parts) == 1 else self._each
        return list(pool.map(work, parts))
