"""The engine answers on a GPU as it does on the CPU. Skipped, with the reason, where there is none."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]
