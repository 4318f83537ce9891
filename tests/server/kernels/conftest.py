"""The kernels, once for each set of instructions that this processor has."""

import ctypes

import pytest
import torch

from llmi_server.kernels import library
from llmi_server.kernels.library import Kernels

NEEDED = {"x86_64_v3": ("AVX2", "AVX512"), "x86_64_v4": ("AVX512",)}
"""What PyTorch calls the processors that can run a library."""


@pytest.fixture(scope="session", params=NEEDED)
def kernels(request):
    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in NEEDED[request.param]:
        pytest.skip(f"{request.param} needs {NEEDED[request.param][0]}, and this processor has {capability}")
    compiled = ctypes.CDLL(str(library._FOLDER / f"{request.param}.so"))
    openmp = ctypes.CDLL(None)
    threads = [ctypes.cast(call, ctypes.c_void_p).value for call in (openmp.GOMP_parallel, openmp.GOMP_barrier)]
    return Kernels(compiled, level=request.param, threads=(threads[0], threads[1]))


@pytest.fixture
def threads():
    """Sets PyTorch's number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
