"""Matrix products and norms of our own are PyTorch's, whatever their shape."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmi_server.engine.encoder.linear import activate
from llmi_server.kernels.library import Combination

torch.set_num_threads(1)  # small tensors: a team of threads only waits for itself
ACTIVATIONS = ["none", "relu", "gelu", "gelu_tanh", "silu", "tanh"]


def drawn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(width, depth, *, seed=2):
    """Weights and a bias whose results are about 1 each, so that one tolerance means the same for all depths."""
    return drawn(width, depth, seed=seed) / math.sqrt(depth), drawn(width, seed=seed + 1)


def combined(result, other, combination):
    match combination:
        case Combination.PLUS:
            return result + other
        case Combination.TIMES:
            return result * other
    return result


def exact(rows, weight, bias, activation="none", other=None, combination=Combination.ALONE):
    """What PyTorch computes with 64 bits."""
    wide = [None if tensor is None else tensor.double() for tensor in (rows, weight, bias, other)]
    return combined(activate(torch.nn.functional.linear(*wide[:3]), activation), wide[3], combination).float()


# A sum of 1100 products near 1 is off by about the root of 1100 times 6e-8, 2e-6; the error function by 1.5e-7. Other
# tensors multiply that by up to 5. One weight left out would be off by 3e-2.
def assert_near(got, wanted, atol=3e-5):
    torch.testing.assert_close(got, wanted, atol=atol, rtol=1e-6)


@settings(max_examples=150)
@given(
    rows=st.integers(0, 40),
    width=st.integers(1, 200),
    depth=st.integers(1, 1100),
    biased=st.booleans(),
    activation=st.sampled_from(ACTIVATIONS),
    combination=st.sampled_from(Combination),
    seed=st.integers(0, 99),
)
@example(rows=40, width=200, depth=1100, biased=True, activation="gelu", combination=Combination.PLUS, seed=0)
@example(rows=97, width=50, depth=70, biased=True, activation="relu", combination=Combination.PLUS, seed=0)
@example(rows=289, width=97, depth=1100, biased=True, activation="none", combination=Combination.TIMES, seed=0)
@example(rows=1, width=1, depth=1, biased=False, activation="silu", combination=Combination.TIMES, seed=0)
@example(rows=9, width=97, depth=1024, biased=True, activation="none", combination=Combination.ALONE, seed=0)
@example(rows=9, width=97, depth=1025, biased=True, activation="tanh", combination=Combination.TIMES, seed=0)
def test_a_product_is_that_of_pytorch(kernels, rows, width, depth, biased, activation, combination, seed):
    weight, bias = layer(width, depth, seed=seed)
    given_rows, other = drawn(rows, depth, seed=seed + 100), drawn(rows, width, seed=seed + 200)
    got = kernels.product(
        given_rows,
        kernels.pack(weight),
        bias if biased else None,
        width,
        activation=activation,
        other=other,
        combination=combination,
    )
    assert_near(got, exact(given_rows, weight, bias if biased else None, activation, other, combination))


@pytest.mark.parametrize("depth", [2048, 2049, 5000])
def test_deep_products_are_summed_in_parts(kernels, depth):
    weight, bias = layer(70, depth)
    rows, other = drawn(11, depth), drawn(11, 70, seed=5)
    got = kernels.product(
        rows, kernels.pack(weight), bias, 70, activation="gelu", other=other, combination=Combination.PLUS
    )
    assert_near(got, exact(rows, weight, bias, "gelu", other, Combination.PLUS))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("width", [5, 48, 100])
def test_a_row_does_not_depend_on_the_rows_beside_it(kernels, activation, width):
    weight, bias = layer(width, 1050)
    packed, rows, other = kernels.pack(weight), drawn(23, 1050), drawn(23, width, seed=6)

    def product(part):
        return kernels.product(
            rows[part], packed, bias, width, activation=activation, other=other[part], combination=Combination.TIMES
        )

    together = product(slice(None))
    for count in (1, 2, 3, 5, 8, 13):  # tiles of every height
        parts = [product(slice(begin, begin + count)) for begin in range(0, 23, count)]
        assert torch.equal(torch.cat(parts), together)


@pytest.mark.parametrize("count", [187, 188, 400])
def test_a_row_does_not_depend_on_the_stack_of_rows_it_is_in(kernels, count):
    weight, bias = layer(100, 1050)
    packed, rows = kernels.pack(weight), drawn(count, 1050)
    alone = [kernels.product(row, packed, bias, 100, activation="gelu") for row in rows]
    assert torch.equal(kernels.product(rows, packed, bias, 100, activation="gelu"), torch.stack(alone))


@pytest.mark.parametrize("count", [17, 200])
def test_a_product_does_not_depend_on_the_number_of_threads(kernels, threads, count):
    weight, bias = layer(500, 1050)
    packed, rows = kernels.pack(weight), drawn(count, 1050)
    threads(1)
    alone = kernels.product(rows, packed, bias, 500, activation="gelu")
    threads(2)
    for _ in range(20):  # who computes which columns is left to chance
        assert torch.equal(kernels.product(rows, packed, bias, 500, activation="gelu"), alone)


def test_tensors_with_gaps_are_taken_as_they_look(kernels):
    weight, bias = drawn(50, 30).t(), drawn(30)
    rows, other = drawn(50, 14, seed=3).t()[::2], drawn(7, 60, seed=4)[:, ::2]
    got = kernels.product(rows, kernels.pack(weight), bias, 30, other=other, combination=Combination.PLUS)
    assert_near(got, exact(rows, weight, bias, "none", other, Combination.PLUS))


def test_rows_may_lie_in_more_dimensions(kernels):
    weight, bias = layer(33, 20)
    rows, other = drawn(2, 5, 20), drawn(2, 5, 33, seed=4)
    got = kernels.product(rows, kernels.pack(weight), bias, 33, other=other, combination=Combination.TIMES)
    assert got.shape == (2, 5, 33)
    assert_near(got, exact(rows, weight, bias, "none", other, Combination.TIMES))
    assert_near(kernels.product(rows[0, 0], kernels.pack(weight), bias, 33), exact(rows[0, 0], weight, bias))


def test_no_rows_give_an_empty_result(kernels):
    weight, bias = layer(33, 20)
    assert kernels.product(drawn(0, 20), kernels.pack(weight), bias, 33, activation="gelu").shape == (0, 33)
    assert kernels.product(drawn(3, 0, 20), kernels.pack(weight), bias, 33).shape == (3, 0, 33)
    assert kernels.rms_norm(drawn(0, 20), 1e-6).shape == (0, 20)


@pytest.mark.parametrize("rows", [1, 6, 13, 203])
@pytest.mark.parametrize("width", [1, 7, 24, 49, 100])
def test_nothing_is_written_beside_the_result(kernels, rows, width):
    weight, bias = layer(width, 1030)
    given_rows, packed, around = drawn(rows, 1030), kernels.pack(weight), torch.full((rows * width + 128,), 7.0)
    inside = around[64:-64]
    kernels._product(
        inside.data_ptr(), given_rows.data_ptr(), packed.data_ptr(), bias.data_ptr(), None, rows, 1030, width, 0, 0, 1
    )
    assert_near(inside.view(rows, width), exact(given_rows, weight, bias))
    assert (around[:64] == 7).all()
    assert (around[-64:] == 7).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", [20, 1100])
def test_a_row_that_is_no_number_stays_so_and_spoils_no_other(kernels, activation, depth):
    weight, bias = layer(53, depth)
    packed, rows = kernels.pack(weight), drawn(9, depth)
    sound = kernels.product(rows, packed, bias, 53, activation=activation)
    rows[4, 3] = torch.nan
    got = kernels.product(rows, packed, bias, 53, activation=activation)
    assert got[4].isnan().all()
    others = [0, 1, 2, 3, 5, 6, 7, 8]
    assert torch.equal(got[others], sound[others])


def test_infinities_stay_visible(kernels):
    weight, bias = layer(53, 20)
    rows = drawn(6, 20)
    rows[1, 3], rows[2, 5], rows[3, 3], rows[3, 4] = torch.inf, -torch.inf, torch.inf, -torch.inf
    assert torch.equal(
        kernels.product(rows, kernels.pack(weight), bias, 53).isfinite(), exact(rows, weight, bias).isfinite()
    )
    infinite = [1, 2]
    got = kernels.product(rows[infinite], kernels.pack(weight), bias, 53)
    assert torch.equal(got, exact(rows[infinite], weight, bias))  # of the same sign, too


def test_a_weight_that_is_no_number_spoils_its_column_only(kernels):
    weight, bias = layer(53, 20)
    weight[50, 3] = torch.nan
    got = kernels.product(drawn(9, 20), kernels.pack(weight), bias, 53)
    assert got[:, 50].isnan().all()
    assert got.isnan().sum() == 9


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_finite_and_right_however_large_the_number(kernels, activation):
    far = [0.0, 1e-30, 1e-3, 10, 87, 88, 89, 100, 1e3, 1e4]
    rows = torch.cat([torch.tensor(far), -torch.tensor(far), torch.linspace(-20, 20, 4001)])[:, None]
    got = kernels.product(rows, kernels.pack(torch.ones(1, 1)), None, 1, activation=activation)
    assert got.isfinite().all()
    assert_near(got, activate(rows.double(), activation).float(), atol=2e-6)


def test_weights_that_were_packed_for_another_shape_are_refused(kernels):
    packed = kernels.pack(drawn(33, 20))
    with pytest.raises(ValueError, match="33 x 21 were expected"):
        kernels.product(drawn(2, 21), packed, None, 33)
    with pytest.raises(ValueError, match="99 x 20 were expected"):
        kernels.product(drawn(2, 20), packed, None, 99)


@pytest.mark.parametrize("combination", [Combination.PLUS, Combination.TIMES])
@pytest.mark.parametrize("shape", [None, (3, 32), (2, 33), (33,)])
def test_what_is_combined_must_be_there_and_fit(kernels, combination, shape):
    packed = kernels.pack(drawn(33, 20))
    with pytest.raises(ValueError, match="must have the result's shape"):
        kernels.product(drawn(3, 20), packed, None, 33, other=shape and drawn(*shape), combination=combination)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64])
def test_other_number_formats_are_refused(kernels, dtype):
    rows, packed = drawn(3, 20), kernels.pack(drawn(33, 20))
    with pytest.raises(TypeError, match="32-bit floats were expected"):
        kernels.pack(drawn(33, 20).to(dtype))
    with pytest.raises(TypeError, match="32-bit floats were expected"):
        kernels.product(rows.to(dtype), packed, None, 33)
    with pytest.raises(TypeError, match="32-bit floats were expected"):
        kernels.product(rows, packed, None, 33, other=drawn(3, 33).to(dtype), combination=Combination.PLUS)
    with pytest.raises(TypeError, match="32-bit floats were expected"):
        kernels.rms_norm(rows.to(dtype), 1e-6)


def test_a_function_that_there_is_none_of_is_refused(kernels):
    with pytest.raises(KeyError):
        kernels.product(drawn(3, 20), kernels.pack(drawn(33, 20)), None, 33, activation="mish")


@settings(max_examples=100)
@given(rows=st.integers(0, 9), width=st.integers(1, 700), epsilon=st.sampled_from([1e-6, 1e-5, 1e-2]))
@example(rows=3, width=576, epsilon=1e-5)
def test_norms_are_those_of_pytorch(kernels, rows, width, epsilon):
    given_rows = drawn(rows, width, seed=width) * torch.logspace(-4, 4, max(rows, 1))[:rows, None]
    wanted = torch.nn.functional.rms_norm(given_rows.double(), (width,), None, epsilon).float()
    torch.testing.assert_close(kernels.rms_norm(given_rows, epsilon), wanted, atol=1e-6, rtol=1e-6)


def test_norms_take_gaps_dimensions_zeros_and_what_is_no_number(kernels):
    rows = drawn(3, 4, 80)[:, :2, ::2]
    rows[0, 0], rows[1, 1, 7] = 0, torch.nan
    got = kernels.rms_norm(rows, 1e-6)
    assert (got[0, 0] == 0).all()
    assert got[1, 1].isnan().all()
    assert got.isnan().sum() == 40
    wanted = torch.nn.functional.rms_norm(rows, (40,), None, 1e-6)
    torch.testing.assert_close(got, wanted, equal_nan=True, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_no_number_stays_so_whatever_its_lowest_bits(kernels, activation):
    rows = drawn(2, 20)
    rows[1, 3] = torch.tensor([0x7FC00001], dtype=torch.int32).view(torch.float32)
    assert kernels.product(rows, kernels.pack(drawn(33, 20)), None, 33, activation=activation)[1].isnan().all()


def test_a_bias_may_have_gaps(kernels):
    weight, bias, rows = drawn(8, 4), drawn(16)[::2], drawn(3, 4)
    assert_near(kernels.product(rows, kernels.pack(weight), bias, 8), exact(rows, weight, bias))


@pytest.mark.parametrize("bias", [torch.zeros(8, dtype=torch.bfloat16), torch.zeros(7), torch.zeros(9)])
def test_a_bias_that_does_not_fit_is_refused(kernels, bias):
    with pytest.raises((TypeError, ValueError), match="expected"):
        kernels.product(drawn(3, 4), kernels.pack(drawn(8, 4)), bias, 8)


def test_another_default_number_format_changes_nothing(kernels):
    rows, weight = drawn(3, 4), drawn(8, 4)
    torch.set_default_dtype(torch.float64)
    try:
        got = kernels.product(rows, kernels.pack(weight), None, 8)
    finally:
        torch.set_default_dtype(torch.float32)
    assert_near(got, exact(rows, weight, None))
