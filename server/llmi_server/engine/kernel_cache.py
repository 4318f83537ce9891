"""How many of the processor's matrix kernels are kept: those of the last batches, not of every size that ever came.

oneDNN, and ideep, through which PyTorch calls it, make a kernel for each number of tokens and shape of weights, half a
MiB each, and keep 1,024 of them. Texts that are packed without padding come in a new number of tokens with nearly every
batch: that is half a GiB in the end, however small the model. Making one anew takes some tenths of a millisecond, once
for all layers of a batch (docs/decisions/0043).
"""

from collections.abc import MutableMapping

_VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""oneDNN's and ideep's, in this order; both libraries look at their first product."""

_KERNELS_PER_THREAD = 16
"""A thread computes texts of its own, and needs about five for them."""


def bound_kernel_caches(environment: MutableMapping[str, str], threads: int) -> None:
    """Set the libraries' variables where nobody has; to be done before PyTorch computes."""
    for name in _VARIABLES:
        environment.setdefault(name, str(_KERNELS_PER_THREAD * max(2, threads)))
