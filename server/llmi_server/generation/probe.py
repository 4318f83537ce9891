"""Does a way of computing a model give what the model itself gives? Asked once, with numbers, at start-up."""

from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from llmi_server.generation.sequence_model import SequenceModel
from llmi_server.generation.steps import Layout, Relayout, Slice

_LENGTHS = (5, 12)
_ANSWER = 3
_TOLERANCES = {torch.float32: 2e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}
"""Largest difference of scores, as a share of the largest score; half precisions round differently in batches."""


@torch.inference_mode()
def reference_scores(model: PreTrainedModel) -> list[torch.Tensor]:
    """Return the model's own scores after each of the last tokens of the trial texts, [answer, vocabulary] each."""
    result = []
    for text in _texts(model):
        scores = model(input_ids=torch.tensor([text], device=model.device), use_cache=False).logits[0]
        result.append(scores[-_ANSWER - 1 : -1].float().cpu())
    return result


def gives_the_same(
    sequences: SequenceModel, model: PreTrainedModel, expected: list[torch.Tensor], *, whole_prompts: bool
) -> bool:
    """Say whether ``sequences`` computes the trial texts as the model itself does."""
    sequences.relayout(Relayout(layout=Layout(rows=3, capacity=32), kept=()))
    texts = _texts(model)
    parts = _slices(texts, whole_prompts=whole_prompts)
    got: list[list[torch.Tensor]] = [[] for _ in texts]
    for group in parts:
        scores = sequences.compute(group)
        for row, part in zip(scores, [part for part in group if part.samples], strict=True):
            got[part.key].append(row.float().cpu())
    return all(_close(torch.stack(rows), want, model.dtype) for rows, want in zip(got, expected, strict=True))


def _slices(texts: list[list[int]], *, whole_prompts: bool) -> list[list[Slice]]:
    """Return passes: prompts (in two parts where the model may), together, then tokens of the answers one by one."""
    ends = [len(text) - _ANSWER for text in texts]
    first: Callable[[int], int] = lambda end: 0 if whole_prompts else end // 2  # noqa: E731 - one line
    cuts = [(0, first(end)) for end in ends], [(first(end), end) for end in ends]
    answers = [[(end + step, end + step + 1) for end in ends] for step in range(_ANSWER - 1)]
    return [
        [
            Slice(key=key, row=2 * key, start=a, tokens=tuple(text[a:b]), samples=b >= ends[key])
            for key, (text, (a, b)) in enumerate(zip(texts, spans, strict=True))
            if b > a
        ]
        for spans in (*cuts, *answers)
        if any(b > a for a, b in spans)
    ]


def _close(got: torch.Tensor, want: torch.Tensor, dtype: torch.dtype) -> bool:
    scale = max(float(want.abs().max()), 1e-6)
    return bool(torch.isfinite(got).all()) and float((got - want).abs().max()) <= _TOLERANCES[dtype] * scale


def _texts(model: PreTrainedModel) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    size = model.config.get_text_config().vocab_size
    return [torch.randint(0, size, (length + _ANSWER,), generator=generator).tolist() for length in _LENGTHS]
