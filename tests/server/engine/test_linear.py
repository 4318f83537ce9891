"""Packed weights give what plain ones give."""

import pytest
import torch

from llmi_server.engine.encoder import int8, linear
from llmi_server.engine.encoder.family import NotOursError
from llmi_server.engine.encoder.int8 import Int8Linear
from llmi_server.engine.encoder.linear import Linear, Plain, activation_named


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "relu", "silu", "tanh", "none"])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 200])
def test_packed_and_plain_weights_give_the_same(monkeypatch, name, biased, rows):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(48, 32, generator=generator)
    bias = torch.randn(48, generator=generator) if biased else None
    given = torch.randn(rows, 32, generator=generator)
    packed = Linear(weight, bias, activation_named(name))(given)
    monkeypatch.setattr(linear, "_CAN_PACK", False)
    plain = Linear(weight, bias, activation_named(name))(given)
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


@needs_int8
@pytest.mark.parametrize("vnni", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_eight_bits_are_near_the_exact_product(monkeypatch, vnni, biased):
    monkeypatch.setattr(int8, "_has_vnni", lambda: vnni)
    weight, bias, rows = drawn(7)
    exact = Plain(weight, bias if biased else None, "gelu")(rows)
    near = Int8Linear(weight, bias if biased else None, "gelu")(rows)
    assert float((near - exact).norm() / exact.norm()) < (0.01 if vnni else 0.02)


@needs_int8
def test_in_eight_bits_a_row_does_not_depend_on_the_rows_beside_it():
    weight, bias, rows = drawn(9)
    step = Int8Linear(weight, bias)
    rows[3] *= 1000
    assert (step(rows)[:1] == step(rows[:1])).all()


@needs_int8
def test_a_channel_of_zeros_and_a_row_of_one_number_do_no_harm_in_eight_bits():
    weight, bias, rows = drawn(2)
    weight[5], rows[1] = 0, 3.0
    near, exact = Int8Linear(weight, bias)(rows), Plain(weight, bias)(rows)
    assert near[:, 5].tolist() == pytest.approx(bias[5].repeat(2).tolist())
    torch.testing.assert_close(near[1], exact[1], atol=0.5, rtol=0.05)


def test_a_function_that_we_do_not_have_is_left_to_transformers():
    with pytest.raises(NotOursError):
        activation_named("mish")
