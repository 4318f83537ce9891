"""What the scheduler tells the engine to do, and what comes of it. Plain data."""

from dataclasses import dataclass
from enum import StrEnum


class FinishReason(StrEnum):
    """Why an answer ended; the values are OpenAI's."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Shape of the grid that keeps keys and values.

    Attributes:
        rows: Texts that fit at the same time.
        capacity: Tokens that fit into each row.
    """

    rows: int
    capacity: int


@dataclass(frozen=True, kw_only=True)
class Relayout:
    """A new shape of the grid.

    Attributes:
        layout: The shape.
        kept: Old rows that go on, with the number of their tokens to keep; the first becomes row 0, and so on.
    """

    layout: Layout
    kept: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Copy:
    """The first tokens of one row are wanted in another too."""

    source: int
    target: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Tokens of one text that are computed in one pass.

    Attributes:
        key: The job.
        row: Its row in the grid.
        start: Place of the first of the tokens in its text.
        tokens: The tokens.
        samples: Whether the next token is chosen after them: they end what is known of the text.
    """

    key: int
    row: int
    start: int
    tokens: tuple[int, ...]
    samples: bool


@dataclass(frozen=True, kw_only=True)
class Step:
    """What the engine does next, in this order: relayout, copies, passes.

    Attributes:
        relayout: A new shape of the grid, if one is needed.
        copies: Beginnings of texts that another row knows already.
        passes: Slices that the model computes together.
        started: Jobs that have begun with this step.
        reused_tokens: Tokens that need not be computed because a row has them.
    """

    relayout: Relayout | None
    copies: tuple[Copy, ...]
    passes: tuple[tuple[Slice, ...], ...]
    started: tuple[int, ...]
    reused_tokens: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A token that was chosen for a job, and whether the answer ends with it."""

    key: int
    token: int
    finish: FinishReason | None
