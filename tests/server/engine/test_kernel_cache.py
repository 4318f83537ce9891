import sys

import pytest

from llmi_api.launch import Task
from llmi_server.engine.kernel_cache import bound_kernel_caches
from llmi_testing.models import small_model
from llmi_testing.served import served
from llmi_testing.server import MODEL_NAME

MIB = 1 << 20
SHAPES = 250
WORDS = 12


def texts_of(words):
    """Texts that have so many words together."""
    whole, rest = divmod(words, WORDS)
    return ["word " * WORDS] * whole + ["word " * rest] * bool(rest)


@pytest.mark.timeout(600)  # starting a server imports PyTorch
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_batches_of_ever_new_sizes_leave_next_to_nothing_in_memory():
    with served(small_model("bert", "base"), Task.EMBEDDINGS) as server:

        def embed(words):
            body = {"model": MODEL_NAME, "input": texts_of(words)}
            server.http.post("/v1/embeddings", json=body).raise_for_status()

        embed(SHAPES)  # the largest, so that what a batch takes is no growth
        before = server.memory_bytes()
        for words in range(1, SHAPES):
            embed(words)
        grown = (server.memory_bytes() - before) // MIB
        assert grown < 100, "a kernel is kept for every size"


def test_who_has_set_a_bound_keeps_it():
    environment = {"LRU_CACHE_CAPACITY": "1"}
    bound_kernel_caches(environment, threads=4)
    assert environment == {"LRU_CACHE_CAPACITY": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}
