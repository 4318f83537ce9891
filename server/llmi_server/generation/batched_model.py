"""Many texts in one pass of a Transformers model, over a grid of keys and values."""

import inspect
import itertools
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from llmi_server.generation.kv_grid import KvGrid, Rectangle, grid_attention
from llmi_server.generation.sequence_model import UnsuitableModelError
from llmi_server.generation.steps import Copy, Relayout, Slice

_numbers = itertools.count()
"""Each model's grid has an attention function of its own in Transformers' registry."""

_VARYING_ROTATIONS = frozenset({"dynamic", "longrope"})
"""Position encodings that depend on the longest text of a pass, so that texts would change each other."""


class BatchedModel:
    """Computes slices as one rectangle: texts are rows, and shorter ones are padded at their end."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Prepare a model.

        Raises:
            UnsuitableModelError: Its attention cannot be replaced, or depends on other texts.
        """
        _refuse_unsuitable(model)
        self._grid = KvGrid()
        self._model = model
        attention = f"llmi_grid_{next(_numbers)}"
        ALL_ATTENTION_FUNCTIONS.register(attention, grid_attention(self._grid))
        try:
            model.set_attn_implementation(attention)
        except (ValueError, AttributeError, TypeError, ImportError) as error:
            raise UnsuitableModelError(str(error)[:200]) from None
        self._head_on_request = "logits_to_keep" in inspect.signature(model.forward).parameters

    @torch.inference_mode()
    def relayout(self, relayout: Relayout) -> None:
        """Take another shape."""
        self._grid.relayout(relayout)

    @torch.inference_mode()
    def copy(self, copy: Copy) -> None:
        """Let a row begin as another does."""
        self._grid.copy(copy)

    @torch.inference_mode()
    def compute(self, slices: Sequence[Slice]) -> torch.Tensor:
        """Return the scores of the next token for each slice that samples, [sampling slices, vocabulary]."""
        tokens, rectangle = self._rectangle(slices)
        self._grid.begin(rectangle)
        rows = [place for place, part in enumerate(slices) if part.samples]
        ends = [len(slices[row].tokens) - 1 for row in rows]
        wanted = sorted(set(ends)) or [0]
        more = {"logits_to_keep": torch.tensor(wanted, device=tokens.device)} if self._head_on_request else {}
        result = self._model(
            input_ids=tokens, position_ids=rectangle.positions, past_key_values=self._grid, use_cache=True, **more
        )
        if not self._grid.seen:
            raise UnsuitableModelError("its attention is not the usual one")
        places = [wanted.index(end) for end in ends] if self._head_on_request else ends
        scores: torch.Tensor = result.logits[rows, places]
        return scores

    def _rectangle(self, slices: Sequence[Slice]) -> tuple[torch.Tensor, Rectangle]:
        device = self._model.device
        width = max(len(part.tokens) for part in slices)
        padded = any(len(part.tokens) != width for part in slices)
        tokens = [[*part.tokens, *[part.tokens[-1]] * (width - len(part.tokens))] for part in slices]
        starts = torch.tensor([part.start for part in slices])[:, None]
        counts = torch.tensor([len(part.tokens) for part in slices])[:, None]
        steps = torch.arange(width)[None]
        rectangle = Rectangle(
            rows=torch.tensor([part.row for part in slices]).to(device),
            positions=(starts + torch.minimum(steps, counts - 1)).to(device),
            valid=(steps < counts).to(device),
            length=max(part.start + len(part.tokens) for part in slices),
            padded=padded,
        )
        return torch.tensor(tokens).to(device), rectangle


def _refuse_unsuitable(model: PreTrainedModel) -> None:
    config = model.config.get_text_config()
    rotation = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kinds = {str(part.get("rope_type", part.get("type"))) for part in _parts(rotation)}
    if kinds & _VARYING_ROTATIONS:
        raise UnsuitableModelError("its position encoding depends on the longest text")
    if getattr(model, "_is_stateful", False):
        raise UnsuitableModelError("it keeps a state other than keys and values")


def _parts(rotation: dict[str, object]) -> list[dict[str, object]]:
    """Return the rotations of a model, which may have one for each kind of layer."""
    return [rotation, *(part for part in rotation.values() if isinstance(part, dict))]
