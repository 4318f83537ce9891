"""All layers in one call give, bit for bit, what the kernels give step by step, and refuse what does not fit."""

from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmi_server.kernels.decoder import DecoderLayer, FusedDecoder
from llmi_server.kernels.library import Combination, PackedWeights
from llmi_testing.torch_threads import torch_threads

EPSILON, SCALE = 1e-5, 0.25
ROWS, CAPACITY, WIDTH = 3, 9, 16


def drawn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def packed(kernels, out, depth, *, biased, seed):
    bias = drawn(out, seed=seed + 1) if biased else None
    return PackedWeights(packed=kernels.pack(drawn(out, depth, seed=seed) / depth**0.5), bias=bias, out=out)


def make_layer(kernels, *, hidden, inner, heads, key_heads, biased=False, seed=0):
    mixed, seen = (heads + 2 * key_heads) * WIDTH, heads * WIDTH
    shapes = {"mix": (mixed, hidden), "gather": (hidden, seen), "gate": (inner, hidden), "up": (inner, hidden),
              "down": (hidden, inner)}  # fmt: skip
    return DecoderLayer(
        **{
            name: packed(kernels, *shape, biased=biased, seed=100 * seed + 2 * number)
            for number, (name, shape) in enumerate(shapes.items())
        }
    )


def make_decoder(kernels, layers, *, heads, key_heads, width=WIDTH):
    return FusedDecoder(kernels, layers, heads=heads, key_heads=key_heads, width=width, epsilon=EPSILON, scale=SCALE)


def blocks_of(count, *, key_heads, seed=5):
    return [drawn(2, ROWS, key_heads, CAPACITY, WIDTH, seed=seed + number) for number in range(count)]


def turns_of(seed=7):
    angles = drawn(CAPACITY, WIDTH // 2, seed=seed)
    return torch.stack((angles.cos(), angles.sin()), dim=-1)


def step_by_step(kernels, layers, states, turns, blocks, *, heads, key_heads, rows, positions):
    def product(weights, inputs, **how):
        return kernels.product(inputs, weights.packed, weights.bias, weights.out, **how)

    for layer, block in zip(layers, blocks, strict=True):
        mixed = product(layer.mix, kernels.rms_norm(states, EPSILON)).view(len(states), heads + 2 * key_heads, WIDTH)
        queries = kernels.turn(mixed, turns, block, heads=heads, rows=rows, positions=positions)
        seen = kernels.attend(queries, block, rows=rows, positions=positions, scale=SCALE)
        states = product(layer.gather, seen, other=states, combination=Combination.PLUS)
        normed = kernels.rms_norm(states, EPSILON)
        gate = product(layer.gate, normed, activation="silu")
        fed = product(layer.up, normed, other=gate, combination=Combination.TIMES)
        states = product(layer.down, fed, other=states, combination=Combination.PLUS)
    return states


@settings(max_examples=60)
@given(
    counts=st.tuples(st.integers(1, 3), st.integers(1, 130), st.integers(1, 200)),
    key_heads=st.integers(1, 3),
    group=st.integers(1, 3),
    tokens=st.integers(0, 20),
    biased=st.booleans(),
    together=st.integers(1, 2),
)
@example(counts=(2, 64, 2100), key_heads=1, group=1, tokens=20, biased=True, together=2)
def test_one_call_is_the_same_as_step_by_step(kernels, counts, key_heads, group, tokens, biased, together):
    layers, hidden, inner = counts
    heads, shape = key_heads * group, {"hidden": hidden, "inner": inner}
    made = [
        make_layer(kernels, **shape, heads=heads, key_heads=key_heads, biased=biased, seed=number)
        for number in range(layers)
    ]
    states, turns, blocks = drawn(tokens, hidden), turns_of(), blocks_of(layers, key_heads=key_heads)
    others = [block.clone() for block in blocks]
    before = states.clone()
    # Several tokens of each text, neighbours or not: each sees those before it, of this call and of earlier ones.
    places = torch.randperm(ROWS * CAPACITY, generator=torch.Generator().manual_seed(tokens))[:tokens]
    rows, positions = places // CAPACITY, places % CAPACITY

    with torch_threads(together):
        done = make_decoder(kernels, made, heads=heads, key_heads=key_heads).compute(
            states, turns, blocks, rows=rows, positions=positions
        )

    how = {"heads": heads, "key_heads": key_heads, "rows": rows, "positions": positions}
    assert torch.equal(done, step_by_step(kernels, made, states, turns, others, **how))
    assert all(torch.equal(*pair) for pair in zip(blocks, others, strict=True))
    assert torch.equal(states, before)


@pytest.fixture
def small(kernels):
    """A decoder of two layers and what it takes for two tokens."""
    layers = [make_layer(kernels, hidden=24, inner=40, heads=2, key_heads=1, seed=number) for number in range(2)]
    decoder = make_decoder(kernels, layers, heads=2, key_heads=1)
    return decoder, {
        "states": drawn(2, 24),
        "turns": turns_of(),
        "blocks": blocks_of(2, key_heads=1),
        "rows": torch.tensor([0, 2]),
        "positions": torch.tensor([3, 8]),
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", torch.tensor([0, ROWS])),
        ("rows", torch.tensor([-1, 0])),
        ("positions", torch.tensor([0, CAPACITY])),
    ],
)
def test_a_token_without_a_place_is_refused_and_nothing_is_written(small, name, value):
    decoder, given = small
    before = [block.clone() for block in given["blocks"]]
    with pytest.raises(IndexError, match="outside of the blocks"):
        decoder.compute(**(given | {name: value}))
    assert all(torch.equal(*pair) for pair in zip(given["blocks"], before, strict=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("states", drawn(2, 23)),
        ("turns", turns_of()[1:]),
        ("blocks", blocks_of(1, key_heads=1)),
        ("blocks", blocks_of(2, key_heads=2)),
        ("blocks", [block.double() for block in blocks_of(2, key_heads=1)]),
        ("rows", torch.tensor([0])),
        ("positions", torch.tensor([1, 2], dtype=torch.int32)),
    ],
    ids=["states", "turns", "a block missing", "other heads", "number format", "too few rows", "small integers"],
)
def test_what_does_not_fit_is_refused(small, name, value):
    decoder, given = small
    with pytest.raises(ValueError, match="do not fit"):
        decoder.compute(**(given | {name: value}))


def test_weights_of_another_shape_are_refused(kernels):
    layer = make_layer(kernels, hidden=24, inner=40, heads=2, key_heads=1)
    wrong = replace(layer, up=packed(kernels, 40, 48, biased=False, seed=1))
    with pytest.raises(ValueError, match="do not fit"):
        make_decoder(kernels, [layer, wrong], heads=2, key_heads=1)


@pytest.mark.parametrize(("heads", "key_heads", "width"), [(2, 1, 24), (3, 2, 16)])
def test_heads_without_a_kernel_are_refused(kernels, heads, key_heads, width):
    layer = make_layer(kernels, hidden=24, inner=40, heads=2, key_heads=1)
    with pytest.raises(ValueError, match="there is no kernel for"):
        make_decoder(kernels, [layer], heads=heads, key_heads=key_heads, width=width)
