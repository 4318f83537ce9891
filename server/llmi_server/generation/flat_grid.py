"""Keys and values of many texts, and the attention of a flat list of tokens to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llmi_server.generation.steps import Copy, Relayout, Slice
from llmi_server.kernels.library import Kernels, can_attend, find_kernels

_SPARSE = 2
"""Answers whose rows lie in a stretch of so many times their number are computed with the rows between them."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The single tokens, which come first in the list and attend together.

    Attributes:
        count: How many there are.
        rows: What is seen: a stretch of rows, or the rows one by one.
        own: Which of the seen rows are theirs, or None if all are, in their order.
        seen: How many rows that are.
        length: Longest text, these tokens included.
        mask: 0 where a token sees a place and minus infinity elsewhere, [seen rows x heads, 1, length].
    """

    count: int
    rows: slice | torch.Tensor
    own: torch.Tensor | None
    seen: int
    length: int
    mask: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Several tokens of one text.

    Attributes:
        row: Its row.
        begin: Place of the first in the list.
        end: Place after the last.
        length: The text's length with these tokens.
        mask: What each of them sees, [tokens, length]; None if all of the text is here.
    """

    row: int
    begin: int
    end: int
    length: int
    mask: torch.Tensor | None


@dataclass(frozen=True, kw_only=True)
class Places:
    """A pass as one list of tokens.

    Attributes:
        tokens: The tokens.
        rows: Each one's row.
        positions: Each one's place in its text.
        ends: Places of the tokens after which the next is wanted, in the order of the slices.
        answers: The single tokens, if there are any.
        prompts: The others.
    """

    tokens: torch.Tensor
    rows: torch.Tensor
    positions: torch.Tensor
    ends: torch.Tensor
    answers: Answers | None
    prompts: tuple[Prompt, ...]


def lay_out(slices: Sequence[Slice], *, heads: int) -> Places:
    """Make one list of slices: single tokens first, in the order of their rows; ``heads`` are those of the keys."""
    single = sorted((part for part in slices if len(part.tokens) == 1), key=lambda part: part.row)
    several = [part for part in slices if len(part.tokens) > 1]
    tokens: list[int] = []
    rows: list[int] = []
    positions: list[int] = []
    prompts: list[Prompt] = []
    ends: dict[int, int] = {}
    for part in (*single, *several):
        if len(part.tokens) > 1:
            prompts.append(_prompt(part, begin=len(tokens)))
        tokens += part.tokens
        rows += [part.row] * len(part.tokens)
        positions += range(part.start, part.start + len(part.tokens))
        ends[part.key] = len(tokens) - 1
    return Places(
        tokens=torch.tensor(tokens),
        rows=torch.tensor(rows),
        positions=torch.tensor(positions),
        ends=torch.tensor([ends[part.key] for part in slices if part.samples], dtype=torch.long),
        answers=_answers(single, heads) if single else None,
        prompts=tuple(prompts),
    )


def _answers(single: Sequence[Slice], heads: int) -> Answers:
    rows, starts = [part.row for part in single], [part.start for part in single]
    first, seen, length = rows[0], rows[-1] + 1 - rows[0], max(starts) + 1
    positions, own = starts, None
    seen_rows: slice | torch.Tensor = slice(first, first + seen)
    if seen > _SPARSE * len(rows):
        seen, seen_rows = len(rows), torch.tensor(rows)
    elif seen > len(rows):
        places = [row - first for row in rows]
        positions = [0] * seen  # a row between sees its own first token, and nobody looks at what comes of it
        for place, start in zip(places, starts, strict=True):
            positions[place] = start
        own = torch.tensor(places)
    mask = _mask(positions, length).repeat_interleave(heads, dim=0)[:, None]
    return Answers(count=len(rows), rows=seen_rows, own=own, seen=seen, length=length, mask=mask)


def _mask(positions: Sequence[int], length: int) -> torch.Tensor:
    unseen = torch.arange(length)[None] > torch.tensor(positions)[:, None]
    return torch.zeros(unseen.shape).masked_fill_(unseen, -torch.inf)


def _prompt(part: Slice, begin: int) -> Prompt:
    count = len(part.tokens)
    length = part.start + count
    mask = _mask(range(part.start, length), length) if part.start else None
    return Prompt(row=part.row, begin=begin, end=begin + count, length=length, mask=mask)


class FlatGrid:
    """Keys and values in one block for each layer: [keys and values, rows, heads, capacity, width]."""

    def __init__(self, *, layers: int, heads: int, width: int) -> None:
        self._heads, self._width = heads, width
        self._blocks = [self._empty(0, 0) for _ in range(layers)]

    @property
    def blocks(self) -> Sequence[torch.Tensor]:
        """The layers' blocks."""
        return self._blocks

    def relayout(self, relayout: Relayout) -> None:
        """Take another shape, layer by layer, so that little is kept twice."""
        for layer, old in enumerate(self._blocks):
            new = self._empty(relayout.layout.rows, relayout.layout.capacity)
            for row, (source, tokens) in enumerate(relayout.kept):
                new[:, row, :, :tokens] = old[:, source, :, :tokens]
            self._blocks[layer] = new

    def copy(self, copy: Copy) -> None:
        """Let a row begin as another does."""
        for block in self._blocks:
            block[:, copy.target, :, : copy.tokens] = block[:, copy.source, :, : copy.tokens]

    def turn(
        self, layer: int, places: Places, mixed: torch.Tensor, turns: torch.Tensor, *, queries: int
    ) -> torch.Tensor:
        """Turn queries and keys by their positions, keep keys and values, and return the queries.

        Args:
            layer: Which.
            places: Of the tokens.
            mixed: Queries, keys and values side by side, [tokens, heads, width]; the two numbers of a pair that is
                turned together are neighbours.
            turns: Cosine and sine of each pair at each position, [positions, 1/2 width, 2].
            queries: Number of the queries' heads.

        Returns:
            [tokens, query heads, width].
        """
        turned = queries + self._heads
        factors = torch.view_as_complex(turns[places.positions])[:, None]
        pairs = torch.view_as_complex(mixed[:, :turned].reshape(len(mixed), turned, -1, 2)) * factors
        heads = torch.view_as_real(pairs).view(len(mixed), turned, self._width)
        block = self._blocks[layer]
        block[0, places.rows, :, places.positions] = heads[:, queries:]
        block[1, places.rows, :, places.positions] = mixed[:, turned:]
        return heads[:, :queries]

    def attend(self, layer: int, places: Places, queries: torch.Tensor, scale: float) -> torch.Tensor:
        """Return what each token sees: queries are [tokens, query heads, width], results [tokens, heads x width]."""
        block, parts = self._blocks[layer], list[torch.Tensor]()
        if places.answers is not None:
            parts.append(self._attend_answers(block, places, places.answers, queries, scale))
        for prompt in places.prompts:
            parts.append(_attend_prompt(block, prompt, queries, scale))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _attend_answers(
        self, block: torch.Tensor, _: Places, answers: Answers, queries: torch.Tensor, scale: float
    ) -> torch.Tensor:
        return _attend_answers(block, answers, queries, scale)

    def _empty(self, rows: int, capacity: int) -> torch.Tensor:
        """Return a layer's memory. Zeros, as masked places are multiplied too; untouched pages cost nothing."""
        return torch.zeros(2, rows, self._heads, capacity, self._width)


class KernelGrid(FlatGrid):
    """The same by our own kernels: one pass over the keys and values of each text, and none over its neighbours'."""

    def __init__(self, kernels: Kernels, *, layers: int, heads: int, width: int) -> None:
        super().__init__(layers=layers, heads=heads, width=width)
        self._kernels = kernels

    def turn(
        self, layer: int, places: Places, mixed: torch.Tensor, turns: torch.Tensor, *, queries: int
    ) -> torch.Tensor:
        """Turn queries and keys, keep keys and values, and return the queries."""
        return self._kernels.turn(
            mixed, turns, self._blocks[layer], heads=queries, rows=places.rows, positions=places.positions
        )

    def _attend_answers(
        self, block: torch.Tensor, places: Places, answers: Answers, queries: torch.Tensor, scale: float
    ) -> torch.Tensor:
        if not can_attend(self._width):
            return super()._attend_answers(block, places, answers, queries, scale)
        return self._kernels.attend(
            queries[: answers.count], block, rows=places.rows, positions=places.positions, scale=scale
        )


def grid_of(*, layers: int, heads: int, width: int) -> FlatGrid:
    """Return a grid that computes as fast as this processor allows."""
    kernels = find_kernels()
    if kernels is None:
        return FlatGrid(layers=layers, heads=heads, width=width)
    return KernelGrid(kernels, layers=layers, heads=heads, width=width)


def _attend_answers(block: torch.Tensor, answers: Answers, queries: torch.Tensor, scale: float) -> torch.Tensor:
    keys, values = block[:, answers.rows, :, : answers.length]
    own = queries[: answers.count]
    if answers.own is not None:
        spread = own.new_zeros(answers.seen, *own.shape[1:])
        spread[answers.own] = own
        own = spread
    # Two batched products read keys and values once for all queries of a group; the fused kernel reads them for each.
    keys, values = keys.reshape(-1, *keys.shape[2:]), values.reshape(-1, *values.shape[2:])
    grouped = own.reshape(len(keys), -1, own.shape[-1])
    scores = torch.baddbmm(answers.mask, grouped, keys.transpose(1, 2), alpha=scale)
    seen = torch.bmm(torch.softmax(scores, dim=-1), values).reshape(answers.seen, -1)
    return seen if answers.own is None else seen[answers.own]


def _attend_prompt(block: torch.Tensor, prompt: Prompt, queries: torch.Tensor, scale: float) -> torch.Tensor:
    keys, values = block[:, prompt.row, None, :, : prompt.length]
    own = queries[None, prompt.begin : prompt.end].transpose(1, 2)
    seen = torch.nn.functional.scaled_dot_product_attention(
        own,
        keys,
        values,
        attn_mask=prompt.mask,
        is_causal=prompt.mask is None,
        scale=scale,
        enable_gqa=own.shape[1] != keys.shape[1],
    )
    return seen[0].transpose(0, 1).flatten(1)
