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
        studio: Where it is recorded.
    """

    def __init__(self, run: Run, length: int, studio: "Studio") -> None:
        self._inputs = torch.zeros(length, dtype=torch.int32, device=studio.device)
        self._graph = torch.cuda.CUDAGraph()
        now = torch.cuda.current_stream(studio.device)
        studio.stream.wait_stream(now)
        with torch.cuda.stream(studio.stream):
            run(self._inputs)  # libraries choose and load their kernels at the first call, which cannot be recorded
        # Only what this thread does belongs to the recording: others may ask the device something meanwhile.
        mode = "thread_local"
        with torch.cuda.graph(self._graph, pool=studio.pool, stream=studio.stream, capture_error_mode=mode):
            self._outputs = run(self._inputs)
        now.wait_stream(studio.stream)

    def replay(self, inputs: torch.Tensor) -> torch.Tensor:
        """Run over other inputs of the same size; what it returns is overwritten by the next run."""
        self._inputs.copy_(inputs)
        self._graph.replay()
        return self._outputs


class Studio:
    """What recordings share: a stream, so that libraries have one workspace, and memory, since one runs at a time.

    Args:
        device: The GPU.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.pool: Any = torch.cuda.graph_pool_handle()

    def record(self, run: Run, length: int) -> Recording:
        """Record a run over inputs of one size."""
        return Recording(run, length, self)
