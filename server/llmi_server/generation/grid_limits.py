"""How much memory keys and values take, and which shapes of the grid fit into it. Pure arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from llmi_server.generation.steps import Layout

_BLOCK_TOKENS = 256
_SLACK_TOKENS = 64
"""Room beyond what is needed now, so that the grid is not made anew for each token."""


@dataclass(frozen=True, kw_only=True)
class GridLimits:
    """Bounds of the grid.

    Attributes:
        max_rows: Most texts at the same time.
        max_row_tokens: Longest text, prompt and answer together.
        budget_tokens: Tokens that fit into memory, over all rows; at least one row of the longest text.
    """

    max_rows: int
    max_row_tokens: int
    budget_tokens: int

    def layout_for(self, tokens: int) -> Layout:
        """Return the shape with the most rows whose rows hold at least ``tokens``."""
        capacity = layout_tokens(self.max_row_tokens, tokens)
        return Layout(rows=max(1, min(self.max_rows, self.budget_tokens // capacity)), capacity=capacity)


def layout_tokens(longest: int, tokens: int) -> int:
    """Return the length of a shape's rows that hold at least ``tokens``, where texts have ``longest`` at most."""
    return min(longest, ceil((tokens + _SLACK_TOKENS) / _BLOCK_TOKENS) * _BLOCK_TOKENS)


def bytes_per_token(config: Mapping[str, Any], element_bytes: int) -> int:
    """Return the size of one token's keys and values, from a model's ``config.json``.

    Where the configuration does not say how many heads share keys and values, all have their own, which is the most.
    """
    text = config.get("text_config")
    fields = text if isinstance(text, Mapping) else config
    layers = _first(fields, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    hidden = _first(fields, "hidden_size", "n_embd", "d_model", "dim")
    heads = _first(fields, "num_attention_heads", "n_head", "n_heads", "num_heads") or 1
    shared = _first(fields, "num_key_value_heads", "num_kv_heads") or heads
    width = _first(fields, "head_dim") or hidden // heads
    return max(1, 2 * layers * shared * width * element_bytes)


def tied_head_bytes(config: Mapping[str, Any], element_bytes: int) -> int:
    """Return the size of the vocabulary head where it is one with the input embeddings, and is copied to be packed."""
    tied = config.get("tie_word_embeddings", True)
    return _first(config, "vocab_size") * _first(config, "hidden_size", "n_embd") * element_bytes if tied else 0


def sequence_limit(*, context: int, batch: int, longest_input: int | None, longest_output: int | None) -> int:
    """Return the longest text, prompt and answer together.

    Args:
        context: What the model can take.
        batch: The default where nothing is asked for.
        longest_input: The longest prompt that shall be taken, if that was said.
        longest_output: The longest answer that shall be given, if that was said.
    """
    if longest_input is not None and longest_output is not None:
        return min(context, longest_input + longest_output)
    return min(context, max(batch, (longest_input or longest_output or 0) + 1))


def _first(fields: Mapping[str, Any], *names: str) -> int:
    values = (fields.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and value > 0), 0)
