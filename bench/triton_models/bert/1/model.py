"""What people write for Triton's Python back end: the Transformers model on whatever the dynamic batcher joined."""

import os
import site

site.addsitedir(os.environ["BENCH_SITE_PACKAGES"])  # the back end's Python knows no virtual environment

import torch
import triton_python_backend_utils as backend
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class TritonPythonModel:
    """A classifier of texts."""

    def initialize(self, _: dict[str, str]) -> None:
        """Load the model."""
        folder = os.environ["BENCH_MODEL"]
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    @torch.inference_mode()
    def execute(self, requests: list) -> list:
        """Answer requests of one text each."""
        texts = [backend.get_input_tensor_by_name(request, "text").as_numpy()[0, 0].decode() for request in requests]
        scores = self._model(**self._tokenizer(texts, padding=True, return_tensors="pt")).logits.softmax(-1).numpy()
        rows = (backend.Tensor("score", scores[place : place + 1]) for place in range(len(texts)))
        return [backend.InferenceResponse([row]) for row in rows]
