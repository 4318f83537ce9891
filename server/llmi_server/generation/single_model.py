"""One text after another through a Transformers model as it is: slower, and it fits every architecture."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from llmi_server.generation.steps import Copy, Relayout, Slice

_STATES = ("past_key_values", "cache_params", "state", "mems")
"""What models call what they remember."""


class CachedModel:
    """Keeps for each row whatever the model itself keeps."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._states: dict[int, dict[str, object]] = {}

    def relayout(self, relayout: Relayout) -> None:
        """Number the rows anew."""
        kept = {row: self._states.get(source) for row, (source, tokens) in enumerate(relayout.kept) if tokens}
        self._states = {row: state for row, state in kept.items() if state is not None}

    def copy(self, copy: Copy) -> None:
        """Not done: what a model remembers cannot be cut."""
        raise NotImplementedError

    @torch.inference_mode()
    def compute(self, slices: Sequence[Slice]) -> torch.Tensor:
        """Return the scores of the next token for each slice that samples, [sampling slices, vocabulary]."""
        scores = [self._compute_one(part) for part in slices]
        return _stacked([row for row, part in zip(scores, slices, strict=True) if part.samples])

    def _compute_one(self, part: Slice) -> torch.Tensor:
        state = self._states.get(part.row, {}) if part.start else {}
        tokens = torch.tensor([part.tokens], device=self._model.device)
        result = self._model(input_ids=tokens, use_cache=True, **state)
        self._states[part.row] = {name: result[name] for name in _STATES if result.get(name) is not None}
        scores: torch.Tensor = result.logits[0, -1]
        return scores


class RecomputedModel:
    """Remembers the tokens only and computes whole texts each time: slowest, and needs nothing of the model."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._texts: dict[int, list[int]] = {}

    def relayout(self, relayout: Relayout) -> None:
        """Number the rows anew."""
        self._texts = {row: self._texts.get(source, [])[:tokens] for row, (source, tokens) in enumerate(relayout.kept)}

    def copy(self, copy: Copy) -> None:
        """Let a row begin as another does."""
        self._texts[copy.target] = self._texts[copy.source][: copy.tokens]

    @torch.inference_mode()
    def compute(self, slices: Sequence[Slice]) -> torch.Tensor:
        """Return the scores of the next token for each slice that samples, [sampling slices, vocabulary]."""
        scores = []
        for part in slices:
            text = [*self._texts.get(part.row, [])[: part.start], *part.tokens]
            self._texts[part.row] = text
            if part.samples:
                result = self._model(input_ids=torch.tensor([text], device=self._model.device), use_cache=False)
                scores.append(result.logits[0, -1])
        return _stacked(scores)


def _stacked(scores: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(scores) if scores else torch.empty(0, 0)
