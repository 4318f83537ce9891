"""Whether a model may be loaded and does what it is asked: pure judgements over its configuration."""

from collections.abc import Mapping
from typing import Any

from llmi_api.failure import FailureCode
from llmi_api.launch import Task
from llmi_server.errors import StartupError

_CODE_KEYS = ("auto_map", "custom_pipelines", "_attn_implementation_internal")
_ENCODER = (Task.EMBEDDINGS,)
_TASKS_BY_ENDING: dict[str, tuple[Task, ...]] = {
    "ForMaskedLM": (Task.FILL_MASK, *_ENCODER),
    "ForPreTraining": (Task.FILL_MASK, *_ENCODER),
    "ForSequenceClassification": (
        Task.TEXT_CLASSIFICATION,
        Task.ZERO_SHOT_CLASSIFICATION,
        Task.RERANK,
        *_ENCODER,
    ),
    "ForTokenClassification": (Task.TOKEN_CLASSIFICATION, *_ENCODER),
    "ForQuestionAnswering": _ENCODER,
    "ForMultipleChoice": _ENCODER,
    "ForNextSentencePrediction": _ENCODER,
    "ForCausalLM": (Task.TEXT_GENERATION,),
    "LMHeadModel": (Task.TEXT_GENERATION,),
    "WithLMHead": (Task.TEXT_GENERATION,),
    "ForConditionalGeneration": (),
    "Model": _ENCODER,
}
_OFFSET_POSITIONS = frozenset(
    {"camembert", "data2vec-text", "esm", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta",
     "xlm-roberta-xl", "xmod", "luke", "layoutlm-roberta", "markuplm", "ibert"}
)  # fmt: skip
"""Model types whose positions begin after the padding token's id."""

_FALLBACK_TOKENS = 512
_LARGEST_TOKENIZER_LIMIT = 1_000_000


def refuse_code(config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> None:
    """Refuse a model that runs code of its own.

    Raises:
        StartupError: The configuration names code.
    """
    for name, content in (("config.json", config), ("tokenizer_config.json", tokenizer_config)):
        keys = [key for key in _CODE_KEYS if content.get(key)]
        if keys:
            raise StartupError(
                FailureCode.REMOTE_CODE_NEEDED,
                f"The model needs code from its repository ({name} has {keys[0]}), which is never run.",
                next_step="Choose a model whose architecture is part of Transformers.",
            )


def refuse_mismatch(config: Mapping[str, Any], task: Task) -> None:
    """Refuse a model whose head does not do ``task``.

    Raises:
        StartupError: The configuration's architecture fits other tasks.
    """
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not architectures:
        return
    name = str(architectures[0])[:80]
    tasks = tasks_of(name)
    if task not in tasks:
        raise task_mismatch(f"The model's architecture {name} does not do {task}; it fits {_listed(tasks)}.", tasks)


def tasks_of(architecture: str) -> tuple[Task, ...]:
    """Return the tasks that models of an architecture can do."""
    for ending, tasks in _TASKS_BY_ENDING.items():
        if architecture.endswith(ending):
            return tasks
    return ()


def task_mismatch(message: str, tasks: tuple[Task, ...]) -> StartupError:
    """Return the refusal of a task that the model was not trained for."""
    fitting = f"Set task to {_listed(tasks)}, or choose another model." if tasks else "Choose another model."
    return StartupError(FailureCode.TASK_MISMATCH, message, next_step=fitting)


def token_limit(config: Mapping[str, Any], tokenizer_config: Mapping[str, Any], *, made_for: int | None) -> int:
    """Return the longest input in tokens, special tokens included.

    Args:
        config: The model's configuration.
        tokenizer_config: The tokenizer's configuration.
        made_for: What a Sentence Transformers model says of itself.
    """
    limits = []
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and positions > 0:
        padding = config.get("pad_token_id")
        offset = (
            (padding if isinstance(padding, int) else 1) + 1 if config.get("model_type") in _OFFSET_POSITIONS else 0
        )
        limits.append(max(1, positions - offset))
    stated = tokenizer_config.get("model_max_length")
    if isinstance(stated, int) and 0 < stated <= _LARGEST_TOKENIZER_LIMIT:
        limits.append(stated)
    if made_for is not None:
        limits.append(made_for)
    return min(limits, default=_FALLBACK_TOKENS)


def _listed(tasks: tuple[Task, ...]) -> str:
    return " or ".join(tasks) or "no task that this server knows"
