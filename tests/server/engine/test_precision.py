"""Which GPUs and number formats our own encoders compute in."""

import pytest

from llmi_api.launch import Precision
from llmi_server.engine.precision import packs_on_gpu

TURING, AMPERE, HOPPER = (7, 5), (8, 0), (9, 0)


@pytest.mark.parametrize(
    ("precision", "capability", "built", "packs"),
    [
        (Precision.BFLOAT16, AMPERE, True, True),
        (Precision.FLOAT16, HOPPER, True, True),
        (Precision.FLOAT32, HOPPER, True, False),
        (Precision.FLOAT16, TURING, True, False),
        (Precision.BFLOAT16, HOPPER, False, False),
    ],
    ids=["Ampere", "Hopper", "float32", "before Ampere", "a build without the kernel"],
)
def test_batches_are_packed_on_gpus_and_in_formats_that_the_kernel_knows(precision, capability, built, packs):
    assert packs_on_gpu(precision, capability=capability, built=built) == packs
