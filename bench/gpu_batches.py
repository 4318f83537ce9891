"""Measures what packing batches and recording them as CUDA graphs bring: the engines alone, on a GPU, batch by batch.

``python bench/gpu_batches.py`` on a machine with a GPU. Three ways compute the same batches in turn, in one process:
padded by Transformers' model, packed and launched from Python, packed and replayed. The figure is the median time of
a batch, tokens in and vectors out.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from inputs import encoder_texts
from llmi_api.launch import Device, Precision, Task
from llmi_api.markdown import write_table
from llmi_server.engine.encoder.loading import load_encoder
from llmi_server.engine.gpu.encoder import GpuEncoder
from llmi_server.engine.gpu.engine import GpuEngine
from llmi_server.engine.gpu.recording import Run
from llmi_server.engine.loading import load_model, load_parts
from llmi_server.engine.preparation import LoadRequest
from llmi_server.engine.protocol import EncodedText, Engine
from llmi_server.engine.transformers_engine import TransformersEngine
from llmi_server.model import files
from llmi_testing.models import bert_large_classifier, minilm_shape
from llmi_testing.watching import Watching

MODELS = {
    "BERT-large": (bert_large_classifier, Task.TEXT_CLASSIFICATION),
    "MiniLM's shape": (minilm_shape, Task.EMBEDDINGS),
}
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128)
TURNS = 15


def main() -> None:
    """Measure and print a table."""
    lines = [line for name, (make, task) in MODELS.items() for line in measured(name, make(), task)]
    head = ("model", "texts", "tokens", "padded, ms", "packed, ms", "replayed, ms", "padded over replayed")
    print(write_table(head, lines))


def measured(name: str, folder: Path, task: Task) -> Iterator[list[str]]:
    """Yield a line for each size of batch."""
    request = LoadRequest(
        folder=folder, task=task, precision=Precision.BFLOAT16, device=Device.CUDA, max_batch_tokens=8192
    )
    ours = load_model(request, watcher=Watching())
    engines = [padded(request), packed(request, ours.engine), ours.engine]
    for texts in TEXTS:
        batch = ours.codec.encode([text.text for text in encoder_texts(texts, seed=texts)])
        tokens = sum(map(len, batch))
        seconds = in_turn(engines, batch)
        numbers = [f"{1000 * one:.2f}" for one in seconds]
        yield [name, str(texts), str(tokens), *numbers, f"{seconds[0] / seconds[2]:.2f}"]


def padded(request: LoadRequest) -> Engine:
    """Return the engine on Transformers' model."""
    parts = load_parts(request, watcher=Watching())
    return TransformersEngine(
        model=parts.model, task=request.task, facts=parts.facts, pooling=parts.pooling.mode, padding_id=0
    )


def packed(request: LoadRequest, recorded: Engine) -> Engine:
    """Return our engine without recordings."""
    config, weights = files.read_config(request.folder), files.weight_files(request.folder)
    loaded = load_encoder(config, weights, task=request.task, precision=request.precision, device="cuda")
    encoder = GpuEncoder(loaded.encoder, device="cuda", record=Unrecorded)
    return GpuEngine(encoder=encoder, head=loaded.head, task=request.task, facts=recorded.facts, pooling="mean")


class Unrecorded:
    """A run that Python launches kernel by kernel each time."""

    def __init__(self, run: Run, length: int) -> None:  # noqa: ARG002 - as recordings have it
        self._run = run

    def replay(self, inputs: torch.Tensor) -> torch.Tensor:
        """Run over the inputs."""
        return self._run(inputs.to("cuda"))


def in_turn(engines: Sequence[Engine], batch: Sequence[EncodedText]) -> list[float]:
    """Return each engine's median seconds for a batch."""
    seconds: list[list[float]] = [[] for _ in engines]
    for turn in range(TURNS + 3):
        for place, engine in enumerate(engines):
            began = time.perf_counter()
            engine.compute(batch)
            if turn >= 3:  # noqa: PLR2004 - the first ones choose kernels
                seconds[place].append(time.perf_counter() - began)
    return [statistics.median(one) for one in seconds]


if __name__ == "__main__":
    main()
