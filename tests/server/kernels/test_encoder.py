"""All layers of an encoder in one call give what PyTorch computes with 64 bits, whatever lies beside a text."""

from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from llmi_server.kernels.encoder import EncoderLayer, FusedEncoder
from llmi_server.kernels.library import PackedWeights
from llmi_testing.torch_threads import torch_threads

EPSILON = 1e-5
ACTIVATIONS = {
    "gelu": functional.gelu,
    "gelu_tanh": lambda rows: functional.gelu(rows, approximate="tanh"),
    "relu": functional.relu,
}


def drawn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain_layer(*, hidden, inner, seed=0):
    """Weights and biases of the products, gains and shifts of the norms."""
    shapes = {"mix": (3 * hidden, hidden), "out": (hidden, hidden), "up": (inner, hidden), "down": (hidden, inner)}
    made = {
        name: (drawn(*shape, seed=10 * seed + place) / shape[1] ** 0.5, drawn(shape[0], seed=10 * seed + place + 5))
        for place, (name, shape) in enumerate(shapes.items())
    }
    for place, name in enumerate(("out_norm", "down_norm")):
        made[name] = drawn(hidden, seed=10 * seed + place + 8), drawn(hidden, seed=10 * seed + place + 11)
    return made


def packed(kernels, layer):
    products = {
        name: PackedWeights(packed=kernels.pack(layer[name][0]), bias=layer[name][1], out=len(layer[name][0]))
        for name in ("mix", "out", "up", "down")
    }
    return EncoderLayer(**products, out_norm=layer["out_norm"], down_norm=layer["down_norm"])


def make_encoder(kernels, layers, *, heads, activation="gelu"):
    return FusedEncoder(
        kernels, [packed(kernels, layer) for layer in layers], heads=heads, epsilon=EPSILON, activation=activation
    )


def in_double_precision(layers, rows, *, heads, activation):
    """One text, alone."""
    rows = rows.double()

    def linear(layer, name, inputs):
        return functional.linear(inputs, *(part.double() for part in layer[name]))

    def norm(layer, name, inputs):
        return functional.layer_norm(inputs, inputs.shape[1:], *(part.double() for part in layer[name]), eps=EPSILON)

    for layer in layers:
        query, key, value = linear(layer, "mix", rows).view(len(rows), 3, heads, -1).permute(1, 2, 0, 3)
        heard = functional.scaled_dot_product_attention(query, key, value).transpose(0, 1).flatten(1)
        rows = norm(layer, "out_norm", linear(layer, "out", heard) + rows)
        fed = ACTIVATIONS[activation](linear(layer, "up", rows))
        rows = norm(layer, "down_norm", linear(layer, "down", fed) + rows)
    return rows.float()


@settings(max_examples=50)
@given(
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=5),
    heads=st.integers(1, 3),
    width=st.sampled_from([16, 32, 64, 80]),
    inner=st.integers(1, 200),
    layers=st.integers(1, 2),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    together=st.integers(1, 3),
)
@example(lengths=[1, 16, 17, 513], heads=2, width=64, inner=1500, layers=1, activation="gelu", together=2)
def test_texts_are_computed_as_pytorch_does(kernels, lengths, heads, width, inner, layers, activation, together):
    hidden = heads * width
    made = [plain_layer(hidden=hidden, inner=inner, seed=number) for number in range(layers)]
    states = drawn(sum(lengths), hidden)
    before = states.clone()
    with torch_threads(together):
        done = make_encoder(kernels, made, heads=heads, activation=activation).compute(states, lengths)
    for rows, found in zip(states.split(lengths), done.split(lengths), strict=True):
        wanted = in_double_precision(made, rows, heads=heads, activation=activation)
        torch.testing.assert_close(found, wanted, atol=5e-5, rtol=5e-5)
    assert torch.equal(states, before)


@settings(max_examples=20)
@given(lengths=st.lists(st.integers(1, 90), min_size=2, max_size=5), seed=st.integers(0, 99))
def test_a_text_is_the_same_bit_for_bit_whatever_lies_beside_it(kernels, lengths, seed):
    encoder = make_encoder(kernels, [plain_layer(hidden=64, inner=100)], heads=2)
    states = drawn(sum(lengths), 64, seed=seed)
    with torch_threads(2):
        together = encoder.compute(states, lengths)
    with torch_threads(1):
        alone = [encoder.compute(rows.contiguous(), [len(rows)]) for rows in states.split(lengths)]
    assert torch.equal(together, torch.cat(alone))


def test_extreme_scores_give_numbers(kernels):
    layer = plain_layer(hidden=32, inner=40)
    layer["mix"] = layer["mix"][0] * 1000, layer["mix"][1]
    states = drawn(20, 32)
    found = make_encoder(kernels, [layer], heads=2).compute(states, [20])
    wanted = in_double_precision([layer], states, heads=2, activation="gelu")
    torch.testing.assert_close(found, wanted, atol=2e-2, rtol=2e-2)


def test_what_is_no_number_stays_in_its_own_text(kernels):
    encoder = make_encoder(kernels, [plain_layer(hidden=32, inner=40)], heads=2)
    states = drawn(30, 32)
    states[3, 5] = float("nan")
    found = encoder.compute(states, [10, 20])
    assert bool(found[:10].isnan().any())
    assert bool(found[10:].isfinite().all())


def test_no_text_gives_no_rows(kernels):
    encoder = make_encoder(kernels, [plain_layer(hidden=32, inner=40)], heads=2)
    assert encoder.compute(torch.empty(0, 32), []).shape == (0, 32)


@pytest.mark.parametrize(
    ("states", "lengths"),
    [
        (drawn(4, 31), [4]),
        (drawn(4, 32), [3]),
        (drawn(4, 32).double(), [4]),
        (drawn(4, 64)[:, ::2], [4]),
        (drawn(4, 32), [5, -1]),
    ],
    ids=["width", "lengths", "number format", "gaps", "a negative length"],
)
def test_what_does_not_fit_is_refused(kernels, states, lengths):
    encoder = make_encoder(kernels, [plain_layer(hidden=32, inner=40)], heads=2)
    with pytest.raises(ValueError, match="do not fit"):
        encoder.compute(states, lengths)


def test_weights_of_another_shape_are_refused(kernels):
    layer = packed(kernels, plain_layer(hidden=32, inner=40))
    wrong = [replace(layer, up=layer.mix), replace(layer, out_norm=(torch.ones(32), torch.ones(16)))]
    for each in wrong:
        with pytest.raises(ValueError, match="do not fit"):
            FusedEncoder(kernels, [layer, each], heads=2, epsilon=EPSILON, activation="gelu")


@pytest.mark.parametrize("heads", [3, 4])
def test_heads_without_a_kernel_are_refused(kernels, heads):
    with pytest.raises(ValueError, match="there is no kernel for"):
        make_encoder(kernels, [plain_layer(hidden=32, inner=40)], heads=heads)
