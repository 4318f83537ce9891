"""The C library's heap while weights are read: what they leave behind goes back to the system at once.

A weight is read, laid out anew for the processor, and let go. glibc learns from the first ones it is given back to take
such sizes from its heap, where small things that stay keep the rest from being returned: with BERT-large a third of
the weights' own size was held so, for good (docs/decisions/0035).
"""

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Names of mallopt(3)'s parameters."""

_WHILE_LOADING = 1 << 20
_LARGEST = 32 << 20
"""What glibc comes to by itself at most, and what computing is best with: activations stay on the heap."""

_KEPT_AT_THE_END = 16 << 20
"""Of a heap; what is less than a batch needs would be paged in anew for every batch."""

_ARENAS = 2
"""Heaps in all; by default each thread has one, and each keeps what it once needed."""


@contextmanager
def returned_at_once() -> Iterator[None]:
    """Give memory of a MiB and more back to the system as soon as it is free, until the block ends.

    Elsewhere than on glibc nothing changes.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is None:
        yield
        return
    choose(_ARENA_MAX, _ARENAS)
    choose(_MMAP_THRESHOLD, _WHILE_LOADING)
    try:
        yield
    finally:
        choose(_MMAP_THRESHOLD, _LARGEST)
        choose(_TRIM_THRESHOLD, _KEPT_AT_THE_END)


def with_huge_pages(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables for a process whose weights shall lie in huge pages, where the system gives them on request.

    Every token of an answer reads all weights once, and half a gigabyte of small pages is more than the processor's
    tables hold. An encoder computes many tokens for each reading and gains nothing by it. The C library reads
    the variable as a process begins, so it cannot be set from within.
    """
    own = environment.get("GLIBC_TUNABLES", "")
    if "glibc.malloc.hugetlb" in own:
        return dict(environment)
    return {**environment, "GLIBC_TUNABLES": ":".join(filter(None, [own, "glibc.malloc.hugetlb=1"]))}
