"""Keys and values of many texts in one block of memory for each layer: [rows, heads, capacity, width]."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache

from llmi_server.generation.sequence_model import UnsuitableModelError
from llmi_server.generation.steps import Copy, Layout, Relayout


@dataclass(frozen=True)
class Rectangle:
    """Which places of the grid one pass of the model writes and sees.

    Attributes:
        rows: The grid's rows, one for each text of the pass.
        positions: Place of each token in its text, [texts, width]; padding repeats the last one.
        valid: Which of them are not padding, [texts, width].
        length: Longest text so far, these tokens included.
        padded: Whether there is any padding.
    """

    rows: torch.Tensor
    positions: torch.Tensor
    valid: torch.Tensor
    length: int
    padded: bool


class KvGrid(Cache):
    """A cache for Transformers models that writes each text's new keys and values into its row."""

    def __init__(self) -> None:
        self.layers = []
        self.layout = Layout(rows=0, capacity=0)
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}
        self._rectangle: Rectangle | None = None
        self._masks: dict[int | None, torch.Tensor] = {}
        self._first: int | None = None

    @property
    def seen(self) -> bool:
        """Whether the present pass has asked for a mask, that is: whether the model's attention is ours."""
        return bool(self._masks)

    def begin(self, rectangle: Rectangle) -> None:
        """Say where the next pass writes."""
        self._rectangle = rectangle
        self._masks = {}
        rows = rectangle.rows.tolist()
        self._first = rows[0] if rows == list(range(rows[0], rows[0] + len(rows))) else None

    def mask(self, window: int | None) -> torch.Tensor:
        """Return which places each token sees, [texts, 1, width, length]: itself and what is before it."""
        rectangle = self._present()
        if window not in self._masks:
            seen = torch.arange(rectangle.length, device=rectangle.rows.device)
            own = rectangle.positions[:, :, None]
            mask = seen <= own
            if window is not None:
                mask &= seen > own - window
            self._masks[window] = mask[:, None]
        return self._masks[window]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new keys and values and return those that the pass sees, [texts, heads, length, width]."""
        return self._write(self._keys, key_states, layer_idx), self._write(self._values, value_states, layer_idx)

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 - the signature of Transformers
        """Say nothing of the past: positions are always given."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:  # noqa: ARG002 - likewise
        """Return the length of what is seen; the masks themselves are ours."""
        return self._present().length, 0

    def relayout(self, relayout: Relayout) -> None:
        """Take another shape, layer by layer, so that little is kept twice."""
        self.layout = relayout.layout
        for store in (self._keys, self._values):
            for layer, old in store.items():
                new = self._empty(old)
                for row, (source, tokens) in enumerate(relayout.kept):
                    new[row, :, :tokens] = old[source, :, :tokens]
                store[layer] = new

    def copy(self, copy: Copy) -> None:
        """Let a row begin as another does."""
        for store in (self._keys, self._values):
            for block in store.values():
                block[copy.target, :, : copy.tokens] = block[copy.source, :, : copy.tokens]

    def _write(self, store: dict[int, torch.Tensor], states: torch.Tensor, layer: int) -> torch.Tensor:
        rectangle = self._present()
        if states.shape[0] != len(rectangle.rows) or states.shape[2] != rectangle.positions.shape[1]:
            raise UnsuitableModelError("the model caches something else than one key and value a token")
        block = store.get(layer)
        if block is None:
            block = store[layer] = self._empty(states)
        states = states.transpose(1, 2)
        if rectangle.padded:
            rows = rectangle.rows[:, None].expand_as(rectangle.positions)[rectangle.valid]
            block[rows, :, rectangle.positions[rectangle.valid]] = states[rectangle.valid]
        else:
            block[rectangle.rows[:, None], :, rectangle.positions] = states
        seen = block[:, :, : rectangle.length]
        if self._first is not None:
            return seen[self._first : self._first + len(rectangle.rows)]
        return seen.index_select(0, rectangle.rows)

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        """Return a layer's memory. Zeros, as masked places are multiplied too; untouched pages cost nothing."""
        shape = (self.layout.rows, like.shape[1], self.layout.capacity, like.shape[3])
        return torch.zeros(shape, dtype=like.dtype, device=like.device)

    def _present(self) -> Rectangle:
        if self._rectangle is None:
            raise UnsuitableModelError("the model uses its cache outside a pass")
        return self._rectangle


def grid_attention(grid: KvGrid) -> Callable[..., tuple[torch.Tensor, None]]:
    """Return an attention function for Transformers' registry that sees the grid."""

    def attend(  # noqa: PLR0917 - the signature of Transformers
        module: torch.nn.Module,  # noqa: ARG001 - the signature of Transformers
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        sliding_window: int | None = None,
        **more: object,
    ) -> tuple[torch.Tensor, None]:
        odd = [name for name in ("softcap", "s_aux", "position_bias") if more.get(name) is not None]
        if attention_mask is not None or dropout or odd:
            raise UnsuitableModelError(f"its attention has {odd[0] if odd else 'a mask of its own'}")
        output = torch.nn.functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=grid.mask(sliding_window),
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return output.transpose(1, 2), None

    return attend
