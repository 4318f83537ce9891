"""All kernels of one run, recorded as a CUDA graph: one call launches them, where Python would launch each."""

from collections.abc import Callable
from typing import Any

import torch

Run = Callable[[torch.Tensor], torch.Tensor]


class Recording:
    """A run over inputs of one size.

    Args:
        run: What is recorded. It must launch the same kernels whatever the inputs are.
        length: Of the inputs.
        device: Where they are.
        pool: Whose memory the run uses; recordings that share one must not run side by side.
    """

    def __init__(self, run: Run, length: int, *, device: str, pool: Any) -> None:  # noqa: ANN401 - PyTorch's handle has no type
        self._inputs = torch.zeros(length, dtype=torch.int32, device=device)
        self._graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            run(self._inputs)  # libraries make their handles at the first call, which cannot be recorded
        # Only what this thread does belongs to the recording: others may ask the device something meanwhile.
        with torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            self._outputs = run(self._inputs)
        torch.cuda.current_stream(device).wait_stream(stream)

    def replay(self, inputs: torch.Tensor) -> torch.Tensor:
        """Run over other inputs of the same size; what it returns is overwritten by the next run."""
        self._inputs.copy_(inputs)
        self._graph.replay()
        return self._outputs
