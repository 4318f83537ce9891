"""From settings and a loaded model to the task that answers, whoever calls it."""

from typing import Any

from llmi_api.failure import FailureCode
from llmi_api.launch import LongInputs, Task
from llmi_server.engine.protocol import LoadedModel, ModelFacts
from llmi_server.errors import StartupError
from llmi_server.settings import ServeSettings
from llmi_server.tasks.embeddings import Embeddings
from llmi_server.tasks.fill_mask import FillMask
from llmi_server.tasks.rerank import Rerank
from llmi_server.tasks.task import Task as TaskProtocol
from llmi_server.tasks.text_classification import TextClassification
from llmi_server.tasks.token_classification import TokenClassification
from llmi_server.tasks.zero_shot_classification import ZeroShotClassification


def build_task(loaded: LoadedModel, settings: ServeSettings) -> TaskProtocol[Any]:
    """Return what makes texts into the engine's input, and its output into answers.

    Raises:
        StartupError: The limits contradict the model, or it lacks what the task needs.
    """
    facts, codec = loaded.engine.facts, loaded.codec
    limit = _token_limit(settings, facts)
    long_inputs = settings.long_inputs or LongInputs.REFUSE
    match settings.task:
        case Task.FILL_MASK:
            if codec.mask_token_id is None:
                raise StartupError(
                    FailureCode.TASK_MISMATCH,
                    "The model's tokenizer has no mask token, which fill-mask needs.",
                    next_step="Set another task, or choose another model.",
                )
            return FillMask(codec, limit=limit, long_inputs=long_inputs)
        case Task.TEXT_CLASSIFICATION:
            return TextClassification(
                codec, limit=limit, labels=facts.labels, problem_type=facts.problem_type, long_inputs=long_inputs
            )
        case Task.TOKEN_CLASSIFICATION:
            return TokenClassification(codec, limit=limit, labels=facts.labels, long_inputs=long_inputs)
        case Task.ZERO_SHOT_CLASSIFICATION:
            return ZeroShotClassification(codec, limit=limit, labels=facts.labels, long_inputs=long_inputs)
        case Task.RERANK:
            return Rerank(codec, limit=limit, labels=facts.labels, long_inputs=long_inputs)
        case Task.EMBEDDINGS:
            return Embeddings(
                codec, limit=limit, normalize=loaded.normalize, recipe=loaded.recipe, long_inputs=long_inputs
            )
        case Task.TEXT_GENERATION:
            raise AssertionError("an engine of its own does it")


def _token_limit(settings: ServeSettings, facts: ModelFacts) -> int:
    wanted = settings.max_input_tokens
    if wanted is not None and wanted > facts.max_tokens:
        raise StartupError(
            FailureCode.INVALID_SETTINGS,
            f"The limit of {wanted} input tokens is above the model's own limit of {facts.max_tokens}.",
            next_step=f"Set maxInputTokens to at most {facts.max_tokens}, or leave it out.",
        )
    return wanted or min(facts.max_tokens, settings.max_batch_tokens)
