"""One request that fits a task, and what its answer says in a few lines."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from llmi_api.launch import Task

PATH = "/"
"""The route that every task has: Hugging Face's."""
TOP = 5
MOST_NEW_TOKENS = 48
_SIDES = ("How do I change my password?", "Steps to reset the login secret")
_DOCUMENTS = (
    "Parrots live in tropical forests.",
    "Penguins live on the coasts of Antarctica.",
    "Pasta takes ten minutes.",
)
_LABELS = ("technology", "sport", "politics")
_TEXTS = {
    Task.FILL_MASK: "The capital of France is {mask}.",
    Task.TEXT_CLASSIFICATION: "I did not expect to like it, and I loved every minute.",
    Task.TOKEN_CLASSIFICATION: "Ada Lovelace met Charles Babbage in London.",
    Task.ZERO_SHOT_CLASSIFICATION: "The new phone's battery lasts two days.",
    Task.EMBEDDINGS: _SIDES[0],
    Task.RERANK: "Where do penguins live?",
    Task.TEXT_GENERATION: "Once upon a time",
}


@dataclass(frozen=True)
class Request:
    """What is sent to the path `PATH`, and the text in it that the user would recognise."""

    text: str
    body: dict[str, Any]


def make_request(task: Task, text: str | None, mask: str | None) -> Request:
    """Write a request that every model of the task can answer.

    Args:
        task: What the model was made for.
        text: The user's own; None takes one of ours.
        mask: What stands for a missing word.
    """
    chosen = _TEXTS[task].format(mask=mask or "[MASK]") if text is None else text
    inputs: object = chosen
    parameters: dict[str, Any] = {}
    if task is Task.FILL_MASK:
        parameters = {"top_k": TOP}
    elif task is Task.ZERO_SHOT_CLASSIFICATION:
        parameters = {"candidate_labels": list(_LABELS)}
    elif task is Task.EMBEDDINGS:
        inputs = [chosen, _SIDES[1]]
    elif task is Task.RERANK:
        inputs = {"query": chosen, "texts": list(_DOCUMENTS)}
    elif task is Task.TEXT_GENERATION:
        parameters = {"max_new_tokens": MOST_NEW_TOKENS}
    return Request(chosen, {"inputs": inputs, **({"parameters": parameters} if parameters else {})})


def summarise(task: Task, answer: object) -> tuple[str, ...] | None:
    """Say what an answer means, one fact a line; None when it has another shape than the task's."""
    try:
        return tuple(_SUMMARIES[task](answer))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


def _flatten(answer: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON
    return [item for part in answer for item in (part if isinstance(part, list) else [part])]


def _summarise_masks(answer: Any) -> Iterable[str]:  # noqa: ANN401
    return [f"{item['score']:6.1%}  {item['token_str'].strip()}" for item in _flatten(answer)]


def _summarise_classes(answer: Any) -> Iterable[str]:  # noqa: ANN401
    found = sorted(_flatten(answer), key=lambda item: -item["score"])
    # Those of a regression are no shares.
    shares = all(0 <= item["score"] <= 1 for item in found)
    return [f"{_write_score(item['score'], shares=shares)}  {item['label']}" for item in found[:TOP]]


def _summarise_entities(answer: Any) -> Iterable[str]:  # noqa: ANN401
    found = _flatten(answer)
    lines = [f"{item['score']:6.1%}  {item.get('entity_group') or item['entity']}  {item['word']}" for item in found]
    return lines or ["no entity found"]


def _summarise_vectors(answer: Any) -> Iterable[str]:  # noqa: ANN401
    first, second = answer
    product = sum(a * b for a, b in zip(first, second, strict=True))
    size = math.hypot(*first) * math.hypot(*second)
    return [f"{len(first)} numbers a text", f"{product / size:6.3f}  how alike it is to: {_SIDES[1]}"]


def _summarise_ranking(answer: Any) -> Iterable[str]:  # noqa: ANN401
    found = sorted(answer, key=lambda item: -item["score"])
    return [f"{item['score']:6.3f}  {_DOCUMENTS[item['index']]}" for item in found]


def _summarise_text(answer: Any) -> Iterable[str]:  # noqa: ANN401
    return [str(item["generated_text"]) for item in _flatten(answer if isinstance(answer, list) else [answer])]


def _write_score(score: float, *, shares: bool) -> str:
    return f"{score:6.1%}" if shares else f"{score:7.4f}"


_SUMMARIES: dict[Task, Callable[[Any], Iterable[str]]] = {
    Task.FILL_MASK: _summarise_masks,
    Task.TEXT_CLASSIFICATION: _summarise_classes,
    Task.TOKEN_CLASSIFICATION: _summarise_entities,
    Task.ZERO_SHOT_CLASSIFICATION: _summarise_classes,
    Task.EMBEDDINGS: _summarise_vectors,
    Task.RERANK: _summarise_ranking,
    Task.TEXT_GENERATION: _summarise_text,
}
