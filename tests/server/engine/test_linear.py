"""Packed weights give what plain ones give."""

import pytest
import torch

from llmi_server.engine.encoder import linear
from llmi_server.engine.encoder.family import NotOursError
from llmi_server.engine.encoder.linear import Linear, activation_named


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


def test_a_function_that_we_do_not_have_is_left_to_transformers():
    with pytest.raises(NotOursError):
        activation_named("mish")
