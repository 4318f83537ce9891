"""Packed weights give what plain ones give."""

import pytest
import torch

from llmi_server.engine.encoder import int8, linear
from llmi_server.engine.encoder.family import NotOursError
from llmi_server.engine.encoder.int8 import FbgemmLinear, Int8Linear, lay_in_int8
from llmi_server.engine.encoder.linear import Linear, Plain, activation_named


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "relu", "silu", "tanh", "none"])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 200])
@pytest.mark.parametrize("way", ["kernels", "onednn", "pytorch"])
def test_packed_and_plain_weights_give_the_same(monkeypatch, name, biased, rows, way):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(48, 32, generator=generator)
    bias = torch.randn(48, generator=generator) if biased else None
    given = torch.randn(rows, 32, generator=generator)
    if way != "kernels":
        monkeypatch.setattr(linear, "find_kernels", lambda: None)
    if way == "pytorch":
        monkeypatch.setattr(linear, "_CAN_PACK", False)
    packed = Linear(weight, bias, activation_named(name))(given)
    plain = Plain(weight, bias, activation_named(name))(given)
    torch.testing.assert_close(packed, plain, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not linear.computes_bfloat16(), reason="this processor does not compute bfloat16")
def test_packed_bfloat16_gives_what_plain_bfloat16_gives():
    weight, bias, rows = (tensor.bfloat16() for tensor in drawn(40))
    packed = Linear(weight, bias, "gelu")(rows)
    assert packed.dtype is torch.bfloat16
    torch.testing.assert_close(packed, Plain(weight, bias, "gelu")(rows), atol=0.1, rtol=0.02)


def drawn(rows, seed=1):
    generator = torch.Generator().manual_seed(seed)
    weight, bias = torch.randn(48, 64, generator=generator), torch.randn(48, generator=generator)
    return weight, bias, torch.randn(rows, 64, generator=generator)


needs_int8 = pytest.mark.skipif(int8.unsupported() is not None, reason=f"int8: {int8.unsupported()}")


@pytest.fixture(params=["kernels", "vnni", "avx2"])
def way(request):
    return request.param


@pytest.fixture
def lay(way, monkeypatch):
    """Each way to multiply in eight bits that this processor has."""
    if way == "kernels":
        if int8.kernels_for_int8() is None:
            pytest.skip("our kernels for int8 need AVX-512 with VNNI")
        return lay_in_int8
    monkeypatch.setattr(int8, "find_kernels", lambda: None)
    monkeypatch.setattr(int8, "_has_vnni", lambda: way == "vnni")
    return lay_in_int8


@needs_int8
@pytest.mark.parametrize("biased", [True, False])
def test_eight_bits_are_near_the_exact_product(way, lay, biased):
    weight, bias, rows = drawn(7)
    exact = Plain(weight, bias if biased else None, "gelu")(rows)
    near = lay(weight, bias if biased else None, "gelu")(rows)
    assert float((near - exact).norm() / exact.norm()) < (0.02 if way == "avx2" else 0.01)


@needs_int8
def test_in_eight_bits_a_row_does_not_depend_on_the_rows_beside_it(lay):
    weight, bias, rows = drawn(9)
    step = lay(weight, bias)
    rows[3] *= 1000
    assert (step(rows)[:1] == step(rows[:1])).all()


@needs_int8
def test_a_channel_of_zeros_and_a_row_of_one_number_do_no_harm_in_eight_bits(lay):
    weight, bias, rows = drawn(2)
    weight[5], rows[1] = 0, 3.0
    near, exact = lay(weight, bias)(rows), Plain(weight, bias)(rows)
    assert near[:, 5].tolist() == pytest.approx(bias[5].repeat(2).tolist())
    torch.testing.assert_close(near[1], exact[1], atol=0.5, rtol=0.05)


@needs_int8
def test_a_row_with_a_number_that_is_none_becomes_none_in_eight_bits_and_harms_no_other(lay):
    weight, bias, rows = drawn(3)
    before = lay(weight, bias)(rows)
    rows[1, 5] = float("nan")
    after = lay(weight, bias)(rows)
    assert after[1].isnan().all()
    assert torch.equal(after[::2], before[::2])


@needs_int8
def test_without_our_kernels_eight_bits_are_multiplied_by_pytorch(monkeypatch):
    weight, bias, _ = drawn(1)
    monkeypatch.setattr(int8, "find_kernels", lambda: None)
    assert isinstance(lay_in_int8(weight, bias), FbgemmLinear)


@pytest.mark.skipif(int8.kernels_for_int8() is None, reason="our kernels for int8 need AVX-512 with VNNI")
def test_our_kernels_for_eight_bits_need_nothing_of_pytorch(monkeypatch):
    weight, bias, _ = drawn(1)
    monkeypatch.setattr(int8, "_multiply", None)
    assert int8.unsupported() is None
    assert isinstance(lay_in_int8(weight, bias), Int8Linear)


def test_a_function_that_we_do_not_have_is_left_to_transformers():
    with pytest.raises(NotOursError):
        activation_named("mish")


@pytest.mark.parametrize("name", ["gelu", "none"])
@pytest.mark.parametrize("way", ["kernels", "onednn", "pytorch", "plain", "int8", "fbgemm"])
def test_what_is_added_comes_after_the_function_and_stays_as_it_is(monkeypatch, name, way):
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(48, 32, generator=generator), torch.randn(48, generator=generator)
    given, other = torch.randn(7, 32, generator=generator), torch.randn(7, 48, generator=generator)
    if way != "kernels":
        monkeypatch.setattr(linear, "find_kernels", lambda: None)
    if way == "pytorch":
        monkeypatch.setattr(linear, "_CAN_PACK", False)
    step = {"plain": Plain, "int8": lay_in_int8, "fbgemm": FbgemmLinear}.get(way, Linear)(
        weight, bias, activation_named(name)
    )
    before = other.clone()
    torch.testing.assert_close(step(given, other), step(given) + other, atol=1e-5, rtol=1e-5)
    assert torch.equal(other, before)
