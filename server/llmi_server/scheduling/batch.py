"""What the scheduler hands out: items of requests, grouped for one pass of the engine."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Item:
    """One text of one request.

    Attributes:
        request: Key of the request.
        index: Place of the text in its request.
        tokens: Length of the text in tokens.
        arrival: Place in the order of arrival over all requests.
    """

    request: int
    index: int
    tokens: int
    arrival: int


@dataclass(frozen=True)
class Batch:
    """Items that the engine computes together."""

    items: tuple[Item, ...]

    @property
    def padded_tokens(self) -> int:
        """Cost of the batch in tokens when every text is padded to the longest."""
        return max(item.tokens for item in self.items) * len(self.items)
