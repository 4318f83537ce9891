"""What the calls that compute all layers at once have in common: how weights are told to C, and what is refused."""

import ctypes
from collections.abc import Iterator, Sequence

from llmi_server.kernels.library import PackedWeights

ADDRESS, COUNT = ctypes.c_void_p, ctypes.c_int64


def product_fields(names: Sequence[str]) -> Iterator[tuple[str, type]]:
    """Yield the fields of a structure that tells the weights and biases of these products."""
    for name in names:
        yield name, ADDRESS
        yield f"{name}_bias", ADDRESS


def tell_weights(structure: ctypes.Structure, name: str, weights: PackedWeights) -> None:
    """Fill in the fields of one product; whoever does so keeps the weights for as long as the structure is used."""
    setattr(structure, name, weights.packed.data_ptr())
    setattr(structure, f"{name}_bias", None if weights.bias is None else weights.bias.data_ptr())


def require_fit(fits: bool) -> None:  # noqa: FBT001 - one condition
    """Refuse what would be read or written beyond its end.

    Raises:
        ValueError: It does not fit.
    """
    if not fits:
        raise ValueError("shapes or number formats do not fit each other")
