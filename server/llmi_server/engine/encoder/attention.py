"""Attention over texts that lie one after the other, none padded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Group:
    """Neighbouring texts of one length, computed together."""

    begin: int
    texts: int
    tokens: int

    @property
    def rows(self) -> slice:
        """Their rows in the matrix of all tokens."""
        return slice(self.begin, self.begin + self.texts * self.tokens)


def groups_of(lengths: Sequence[int]) -> list[Group]:
    """Return the groups of texts whose lengths are given in order."""
    groups, begin = [], 0
    for tokens, run in groupby(lengths):
        groups.append(Group(begin, sum(1 for _ in run), tokens))
        begin += groups[-1].texts * tokens
    return groups


Turn = Callable[[torch.Tensor], torch.Tensor]
Hear = Callable[[torch.Tensor], torch.Tensor]
"""From query, key and value side by side, [tokens, 3 * hidden], to what each token hears, [tokens, hidden]."""


def attend(
    mixed: torch.Tensor,
    heads: int,
    groups: Sequence[Group],
    *,
    biases: Sequence[torch.Tensor | None],
    turns: Sequence[Turn | None],
) -> torch.Tensor:
    """Return what each token hears, [tokens, hidden].

    Args:
        mixed: Query, key and value side by side, [tokens, 3 * hidden].
        heads: Number of heads.
        groups: The texts.
        biases: What is added to the scores of each group, [heads or 1, tokens, tokens].
        turns: How queries and keys of each group are turned by their positions, if they are.
    """
    width = mixed.shape[1] // 3
    heard = mixed.new_empty(len(mixed), width)
    for group, bias, turn in zip(groups, biases, turns, strict=True):
        part = mixed[group.rows].view(group.texts, group.tokens, 3, heads, width // heads)
        query, key, value = part.permute(2, 0, 3, 1, 4)
        if turn is not None:
            query, key = turn(query), turn(key)
        result = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        heard[group.rows].view(group.texts, group.tokens, heads, -1).copy_(result.transpose(1, 2))
    return heard
