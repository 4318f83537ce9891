"""Rows of the grid that no text has now, and what they still know."""

from collections.abc import Mapping, Sequence

from llmi_server.generation.steps import Copy, Layout

_LEAST_SHARED_TOKENS = 16
"""A shorter beginning in common is not worth a copy, nor the loss of what a row knows."""


class Rows:
    """Free rows, least recently used first, each with the tokens whose keys and values it still holds."""

    def __init__(self, count: int = 0) -> None:
        self._free: dict[int, list[int]] = {row: [] for row in range(count)}

    def release(self, row: int, tokens: list[int]) -> None:
        """Take a row back that knows ``tokens``."""
        self._free[row] = tokens

    def take(self, wanted: Sequence[int], busy: Mapping[int, Sequence[int]]) -> tuple[int, int, Copy | None]:
        """Return a row for a text, how many of its first tokens the row knows, and a copy to make before.

        Args:
            wanted: The text's tokens, without those that must be computed in any case.
            busy: What the rows of running texts know.
        """
        shared = {row: _common(wanted, known) for row, known in {**busy, **self._free}.items()}
        best = max(shared, key=lambda row: shared[row])
        if shared[best] < _LEAST_SHARED_TOKENS:
            return self._least_useful(), 0, None
        if best in self._free:
            del self._free[best]
            return best, shared[best], None
        row = self._least_useful()
        return row, shared[best], Copy(source=best, target=row, tokens=shared[best])

    def reshape(self, layout: Layout, busy: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
        """Number the rows anew: busy ones first, then the free ones used last, as many as the shape has.

        Args:
            layout: The shape.
            busy: How many tokens each row of a running text knows.
        """
        recent = [(row, known[: layout.capacity]) for row, known in reversed(self._free.items()) if known]
        remembered = recent[: layout.rows - len(busy)]
        first = len(busy)
        empty = range(first + len(remembered), layout.rows)
        self._free = {row: [] for row in empty}
        self._free |= {first + place: known for place, (_, known) in reversed(list(enumerate(remembered)))}
        return (*busy.items(), *((row, len(known)) for row, known in remembered))

    def _least_useful(self) -> int:
        row = next((row for row, known in self._free.items() if not known), next(iter(self._free)))
        del self._free[row]
        return row


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two texts have in common at their beginnings."""
    length = min(len(first), len(second))
    return next((place for place in range(length) if first[place] != second[place]), length)
