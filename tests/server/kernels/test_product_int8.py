"""Products in eight bits: what fits into eight bits is multiplied exactly, and what does not is near."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmi_server.engine.encoder.linear import activate
from llmi_server.kernels import int8
from llmi_server.kernels.library import ACTIVATIONS, find_kernels

torch.set_num_threads(1)  # small tensors: a team of threads only waits for itself
KERNELS = find_kernels()
pytestmark = pytest.mark.skipif(
    KERNELS is None or not KERNELS.has_int8, reason="these kernels need AVX-512 with VNNI, and the processor lacks it"
)
UNIT = 1 / 16


def whole_numbers(least, greatest, *shape, generator):
    """Random ones, with both ends in each row: eight bits hold them as they are."""
    found = torch.randint(least, greatest + 1, shape, generator=generator).float()
    if shape[-1] > 1:
        found[:, 0], found[:, -1] = least, greatest
    return found


def drawn(rows, width, depth, seed=1):
    """Rows, weights, a bias and another tensor; rows and weights are multiples of a unit that eight bits hold."""
    generator = torch.Generator().manual_seed(seed)
    given = whole_numbers(-100, 155, rows, depth, generator=generator) * UNIT
    weight = whole_numbers(-127, 127, width, depth, generator=generator) * UNIT
    return given, weight, torch.randn(width, generator=generator), torch.randn(rows, width, generator=generator)


def exact(rows, weight, bias, activation="none", plus=None):
    """What PyTorch computes with 64 bits."""
    wide = torch.nn.functional.linear(rows.double(), weight.double(), None if bias is None else bias.double())
    return activate(wide, activation) + (0 if plus is None else plus.double())


def assert_near(got, wanted, depth):
    # The greatest sum is depth times both units' ends; floats of 32 bits hold 6e-8 of it, and so much is added thrice.
    torch.testing.assert_close(got.double(), wanted, atol=2e-7 * depth * (155 * UNIT) * (127 * UNIT) + 1e-6, rtol=1e-6)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(0, 40),
    width=st.integers(1, 200),
    depth=st.integers(2, 300),
    biased=st.booleans(),
    added=st.booleans(),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    seed=st.integers(0, 99),
)
@example(rows=40, width=200, depth=1100, biased=True, added=True, activation="gelu", seed=0)
@example(rows=1, width=1, depth=2, biased=False, added=True, activation="none", seed=0)
@example(rows=9, width=97, depth=17, biased=True, added=True, activation="none", seed=0)
@example(rows=500, width=60, depth=1024, biased=True, added=False, activation="none", seed=0)  # several stacks
def test_what_fits_into_eight_bits_is_multiplied_exactly(rows, width, depth, biased, added, activation, seed):
    given_rows, weight, bias, other = drawn(rows, width, depth, seed)
    packed = int8.pack(KERNELS, weight, bias if biased else None)
    got = int8.product(KERNELS, given_rows, packed, activation=activation, plus=other if added else None)
    wanted = exact(given_rows, weight, bias if biased else None, activation, other if added else None)
    assert_near(got, wanted, depth)


def test_each_row_and_each_channel_has_a_range_of_its_own():
    rows, weight, _, _ = drawn(5, 70, 64)
    loud, quiet = torch.tensor([1e-3, 1, 1e3, 1e6, 1]).unsqueeze(1), torch.logspace(-5, 5, 70).unsqueeze(1)
    got = int8.product(KERNELS, rows * loud, int8.pack(KERNELS, weight * quiet, None)) / loud / quiet.T
    torch.testing.assert_close(got.double(), exact(rows, weight, None), atol=1e-1, rtol=1e-3)


def test_rows_of_any_numbers_are_near():
    generator = torch.Generator().manual_seed(3)
    rows, weight = torch.randn(50, 768, generator=generator), torch.randn(100, 768, generator=generator)
    got, wanted = int8.product(KERNELS, rows, int8.pack(KERNELS, weight, None)), exact(rows, weight, None)
    # A level is a 40th of a row's deviation and is missed by 0.29 of it; weights have half as many, so the root of two
    # such squares, 0.007 and 0.008.
    assert 0.009 < float((got - wanted).norm() / wanted.norm()) < 0.013


@pytest.mark.parametrize("width", [5, 48, 100])
def test_a_row_does_not_depend_on_the_rows_beside_it(width):
    rows, weight, bias, other = drawn(23, width, 1050)
    packed = int8.pack(KERNELS, weight, bias)
    rows += torch.rand(23, 1)

    def product(part):
        return int8.product(KERNELS, rows[part], packed, activation="gelu", plus=other[part])

    together = product(slice(None))
    for count in (1, 2, 3, 5, 8, 13):  # tiles of every height
        parts = [product(slice(begin, begin + count)) for begin in range(0, 23, count)]
        assert torch.equal(torch.cat(parts), together)


@pytest.mark.parametrize("count", [17, 400])
def test_a_product_does_not_depend_on_the_number_of_threads(threads, count):
    rows, weight, bias, _ = drawn(count, 500, 1050)
    packed = int8.pack(KERNELS, weight, bias)
    threads(1)
    alone = int8.product(KERNELS, rows, packed, activation="gelu")
    threads(2)
    again = int8.pack(KERNELS, weight, bias)
    assert torch.equal(again.packed, packed.packed)
    assert torch.equal(again.columns, packed.columns)
    for _ in range(20):  # who computes which columns is left to chance
        assert torch.equal(int8.product(KERNELS, rows, packed, activation="gelu"), alone)


def test_nothing_is_written_beyond_the_end():
    rows, weight, bias, _ = drawn(3, 50, 30)
    packed = int8.pack(KERNELS, weight, bias)
    assert not packed.columns[:, 50:].any()
    assert int8.product(KERNELS, rows[:0], packed).shape == (0, 50)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_a_row_with_a_number_that_is_none_becomes_none(odd):
    rows, weight, bias, _ = drawn(3, 20, 50)
    rows[1, 7] = odd
    got = int8.product(KERNELS, rows, int8.pack(KERNELS, weight, bias))
    assert got[1].isnan().all()
    assert got[::2].isfinite().all()


def test_what_does_not_fit_is_refused():
    rows, weight, bias, other = drawn(3, 20, 50)
    packed = int8.pack(KERNELS, weight, bias)
    for broken in (lambda: int8.product(KERNELS, rows[:, :49], packed),
                   lambda: int8.product(KERNELS, rows.double(), packed),
                   lambda: int8.product(KERNELS, rows, packed, plus=other[:2]),
                   lambda: int8.pack(KERNELS, weight, bias[:5]),
                   lambda: int8.pack(KERNELS, weight.double(), bias),
                   lambda: int8.pack(KERNELS, torch.zeros(1, 66_313), None)):  # fmt: skip
        with pytest.raises(ValueError, match="do not fit each other"):
            broken()
