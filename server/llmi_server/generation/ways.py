"""Which way of computing a model is taken: the fastest that gives what the model itself gives."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError
from llmi_server.generation.batched_model import BatchedModel
from llmi_server.generation.flat_model import FlatModel
from llmi_server.generation.packed_linear import can_pack, pack_linears
from llmi_server.generation.probe import gives_the_same, reference_scores
from llmi_server.generation.sequence_model import SequenceModel
from llmi_server.generation.single_model import CachedModel, RecomputedModel
from llmi_server.logs import facts


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way of computing a model.

    Attributes:
        name: ``flat``, ``batched``, ``cached`` or ``recomputed``.
        model: What computes.
        whole_prompts: Whether prompts are taken only as a whole.
        mixes: Whether prompts and answers go into one pass.
    """

    name: str
    model: SequenceModel
    whole_prompts: bool = False
    mixes: bool = False


def choose_way(model: PreTrainedModel, load_again: Callable[[], PreTrainedModel]) -> Way:
    """Return the fastest way that gives the model's own scores.

    Args:
        model: The model as it was loaded.
        load_again: Loads it anew, as trying a way may leave traces in it.

    Raises:
        StartupError: There is no way.
    """
    expected = reference_scores(model)
    makers: list[tuple[str, bool, Callable[[PreTrainedModel], SequenceModel]]] = [
        *([("flat", False, FlatModel), ("batched", False, _packed)] if can_pack(model) else []),
        ("batched", False, BatchedModel),
        ("cached", True, CachedModel),
        ("recomputed", False, RecomputedModel),
    ]
    for name, whole_prompts, make in makers:
        try:
            sequences = make(model)
            if gives_the_same(sequences, model, expected, whole_prompts=whole_prompts):
                _log().info("Way of computing chosen", extra=facts(way=name))
                return Way(name=name, model=sequences, whole_prompts=whole_prompts, mixes=name == "flat")
            reason = "its scores differ from the model's own"
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a library's model may raise anything where it is not suited
            reason = f"{type(error).__name__}: {str(error)[:200]}"
        _log().info("Way of computing does not suit", extra=facts(way=name, reason=reason))
        model = load_again()
    raise StartupError(
        FailureCode.TASK_MISMATCH,
        f"The model ({type(model).__name__}) does not compute next tokens as text-generation asks for them.",
        next_step="Choose a decoder model, such as one of Llama's, Qwen's, Mistral's or GPT-2's architecture.",
    )


def _packed(model: PreTrainedModel) -> SequenceModel:
    pack_linears(model)
    return BatchedModel(model)


def _log() -> logging.Logger:
    return logging.getLogger("llmi_server.generation")
