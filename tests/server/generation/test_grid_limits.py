"""Memory of keys and values, and the shapes that fit into it."""

import pytest

from llmi_server.generation.grid_limits import GridLimits, bytes_per_token, sequence_limit
from llmi_server.generation.steps import Layout

LLAMA = {"num_hidden_layers": 30, "hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3}
GPT2 = {"n_layer": 12, "n_embd": 768, "n_head": 12}


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (LLAMA, 2 * 30 * 3 * 64 * 4),
        (LLAMA | {"head_dim": 128}, 2 * 30 * 3 * 128 * 4),
        (GPT2, 2 * 12 * 768 * 4),
        ({"text_config": LLAMA, "hidden_size": 1}, 2 * 30 * 3 * 64 * 4),
        ({}, 1),
    ],
)
def test_a_tokens_memory_follows_from_the_configuration(config, count):
    assert bytes_per_token(config, 4) == count


def test_short_texts_get_many_rows_and_long_ones_few():
    limits = GridLimits(max_rows=32, max_row_tokens=8192, budget_tokens=16384)
    assert limits.layout_for(10) == Layout(rows=32, capacity=256)
    assert limits.layout_for(3000) == Layout(rows=5, capacity=3072)
    assert limits.layout_for(8192) == Layout(rows=2, capacity=8192)


@pytest.mark.parametrize(
    ("longest_input", "longest_output", "limit"),
    [
        (None, None, 8192),
        (100, 50, 150),
        (9000, None, 9001),
        (None, 9000, 9001),
        (100, None, 8192),
        (30000, 30000, 32768),
    ],
)
def test_the_longest_text_follows_from_what_is_asked_for(longest_input, longest_output, limit):
    got = sequence_limit(context=32768, batch=8192, longest_input=longest_input, longest_output=longest_output)
    assert got == limit
