"""The engine on PyTorch and Transformers. Only this file and ``loading`` import them."""

import inspect
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from transformers import PreTrainedModel

from llmi_api.launch import Task
from llmi_server.engine.out_of_memory import out_of_memory_told
from llmi_server.engine.protocol import EncodedText, ModelFacts, Output


class ModelResult(Protocol):
    """What a model returns; which of the two it has depends on its head."""

    logits: torch.Tensor
    last_hidden_state: torch.Tensor


class TransformersEngine:
    """Runs padded batches through a Transformers model and picks what the task wants."""

    def __init__(self, *, model: PreTrainedModel, task: Task, facts: ModelFacts, pooling: str, padding_id: int) -> None:
        self._model = model
        self._facts = facts
        self._padding_id = padding_id
        self._device = model.device
        self._takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
        self._pick: Callable[[ModelResult, torch.Tensor, Sequence[EncodedText]], list[Output]] = {
            Task.FILL_MASK: _logits_at_positions,
            Task.TEXT_CLASSIFICATION: _logits_of_texts,
            Task.TOKEN_CLASSIFICATION: _logits_of_tokens,
            Task.ZERO_SHOT_CLASSIFICATION: _logits_of_texts,
            Task.RERANK: _logits_of_texts,
            Task.EMBEDDINGS: {"mean": _mean, "cls": _first, "max": _maximum, "last": _last}[pooling],
        }[task]

    @property
    def facts(self) -> ModelFacts:
        """What the loaded model says about itself."""
        return self._facts

    @torch.inference_mode()
    def compute(self, batch: Sequence[EncodedText]) -> list[Output]:
        """Return one array for each text; see the protocol for shapes.

        Raises:
            EngineOutOfMemoryError: The batch did not fit into memory.
        """
        ids, mask = self._padded(batch)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self._takes_types and any(any(text.type_ids) for text in batch):
            inputs["token_type_ids"] = self._padded_types(batch, ids.shape[1])
        with out_of_memory_told():
            return self._pick(self._model(**inputs), mask, batch)

    def device_memory_bytes(self) -> int | None:
        """Return the most memory that PyTorch held on the GPU; None on a CPU."""
        return torch.cuda.max_memory_reserved(self._device) if self._device.type == "cuda" else None

    def _padded(self, batch: Sequence[EncodedText]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and attention mask, both [texts, longest]."""
        width = max(map(len, batch))
        ids = np.full((len(batch), width), self._padding_id, dtype=np.int64)
        mask = np.zeros((len(batch), width), dtype=np.int64)
        for row, text in enumerate(batch):
            ids[row, : len(text)] = text.ids
            mask[row, : len(text)] = 1
        return torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device)

    def _padded_types(self, batch: Sequence[EncodedText], width: int) -> torch.Tensor:
        types = np.zeros((len(batch), width), dtype=np.int64)
        for row, text in enumerate(batch):
            types[row, : len(text)] = text.type_ids
        return torch.from_numpy(types).to(self._device)


def _to_numpy(tensor: torch.Tensor) -> Output:
    array: Output = tensor.float().cpu().numpy()
    return array


def _logits_at_positions(result: ModelResult, mask: torch.Tensor, batch: Sequence[EncodedText]) -> list[Output]:  # noqa: ARG001 - one signature for all
    rows = [row for row, text in enumerate(batch) for _ in text.positions]
    columns = [position for text in batch for position in text.positions]
    wanted = _to_numpy(result.logits[rows, columns])
    ends = np.cumsum([len(text.positions) for text in batch])[:-1]
    return np.split(wanted, ends)


def _logits_of_texts(result: ModelResult, mask: torch.Tensor, batch: Sequence[EncodedText]) -> list[Output]:  # noqa: ARG001 - one signature for all
    return list(_to_numpy(result.logits))


def _logits_of_tokens(result: ModelResult, mask: torch.Tensor, batch: Sequence[EncodedText]) -> list[Output]:  # noqa: ARG001 - one signature for all
    logits = _to_numpy(result.logits)
    return [logits[row, : len(text)] for row, text in enumerate(batch)]


def _mean(result: ModelResult, mask: torch.Tensor, batch: Sequence[EncodedText]) -> list[Output]:  # noqa: ARG001 - one signature for all
    weights = mask.unsqueeze(-1).float()
    total = (result.last_hidden_state.float() * weights).sum(dim=1)
    return list(_to_numpy(total / weights.sum(dim=1)))


def _first(result: ModelResult, mask: torch.Tensor, batch: Sequence[EncodedText]) -> list[Output]:  # noqa: ARG001 - one signature for all
    return list(_to_numpy(result.last_hidden_state[:, 0]))


def _last(result: ModelResult, mask: torch.Tensor, batch: Sequence[EncodedText]) -> list[Output]:
    rows = torch.arange(len(batch), device=mask.device)
    return list(_to_numpy(result.last_hidden_state[rows, mask.sum(dim=1) - 1]))


def _maximum(result: ModelResult, mask: torch.Tensor, batch: Sequence[EncodedText]) -> list[Output]:  # noqa: ARG001 - one signature for all
    hidden = result.last_hidden_state.float().masked_fill(mask.unsqueeze(-1) == 0, float("-inf"))
    return list(_to_numpy(hidden.amax(dim=1)))
