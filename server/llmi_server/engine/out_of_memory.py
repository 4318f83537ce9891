"""PyTorch's ways to say that a batch did not fit into memory, on a CPU and on a GPU, told as one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from llmi_server.engine.protocol import EngineOutOfMemoryError

_ON_CPU = "can't allocate memory"


@contextmanager
def out_of_memory_told() -> Iterator[None]:
    """Turn errors of a block that are for want of memory into the engine's own.

    Raises:
        EngineOutOfMemoryError: The block ran out of memory.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise EngineOutOfMemoryError(str(error)[:200]) from None
    except RuntimeError as error:
        if _ON_CPU in str(error):
            raise EngineOutOfMemoryError(str(error)[:200]) from None
        raise
