"""However PyTorch says that memory ran out, the engine says it in one way; other errors stay what they are."""

import pytest
import torch

from llmi_server.engine.out_of_memory import out_of_memory_told
from llmi_server.engine.protocol import EngineOutOfMemoryError


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=["Python", "GPU", "CPU"],
)
def test_want_of_memory_is_told_as_the_engines_own_error(error):
    with pytest.raises(EngineOutOfMemoryError), out_of_memory_told():
        raise error


def test_another_error_passes():
    with pytest.raises(RuntimeError, match="shapes do not fit"), out_of_memory_told():
        raise RuntimeError("shapes do not fit")
