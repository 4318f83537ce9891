"""Kubernetes quantities: reading them, and one way to write each amount."""

from decimal import Decimal

_DECIMAL = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3),
    "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
}  # fmt: skip
_BINARY = {
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}  # fmt: skip
_SUFFIXES = _DECIMAL | _BINARY
_LARGEST = Decimal(2**63)
"""Beyond it the API server has rules of its own."""


def parse_quantity(value: object) -> Decimal | None:
    """Read a Kubernetes quantity; None when it is none."""
    text = str(value)
    number = text.rstrip("numkMGTPEi")
    suffix = text[len(number) :]
    try:
        return Decimal(number) * _SUFFIXES[suffix]
    except (ArithmeticError, KeyError):
        return None


def write_quantity(value: object) -> str:
    """Write an amount in the one way in which all equal amounts are written, the shortest.

    So that 1Gi in place of 1024Mi is no change. What is no quantity stays as it is: the API server will say so.
    """
    amount = parse_quantity(value)
    if amount is None or not amount.is_finite() or not 0 < amount < _LARGEST:
        return str(value)
    ways = [f"{amount / unit:f}" + suffix for suffix, unit in _SUFFIXES.items() if amount % unit == 0]
    return min((_trim(way) for way in ways), key=lambda way: (len(way), way), default=str(value))


def _trim(way: str) -> str:
    """Take a fraction of zeros away: 2.000k is 2k."""
    number = way.rstrip("numkMGTPEi")
    whole, _, fraction = number.partition(".")
    return whole + way[len(number) :] if not fraction.strip("0") else way
