"""Turning queries and keys, and what the last token of a text sees of it, as PyTorch computes them."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmi_server.kernels.library import can_attend

torch.set_num_threads(1)  # small tensors: a team of threads only waits for itself
STRETCH = 128  # keys that are looked at together
WIDTHS = [16, 64, 80, 128, 256]


def drawn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shuffled(count, *, seed=3):
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def turned_by_hand(pairs, turns):
    """Pairs as complex numbers with 64 bits: [tokens, heads, width] times [tokens, 1/2 width, 2]."""
    numbers = torch.view_as_complex(pairs.double().unflatten(2, (pairs.shape[2] // 2, 2)))
    turned = numbers * torch.view_as_complex(turns.double())[:, None]
    return torch.view_as_real(turned).flatten(2).float()


@settings(max_examples=80)
@given(
    tokens=st.integers(0, 12),
    heads=st.integers(1, 6),
    key_heads=st.integers(1, 3),
    half=st.integers(1, 70),
    seed=st.integers(0, 99),
)
@example(tokens=12, heads=6, key_heads=2, half=32, seed=0)
def test_queries_and_keys_are_turned_and_kept_where_they_belong(kernels, tokens, heads, key_heads, half, seed):
    grid_rows, capacity, width = 3, 7, 2 * half
    cells = shuffled(grid_rows * capacity, seed=seed)[:tokens]
    rows, positions = cells // capacity, cells % capacity
    mixed = drawn(tokens, heads + 2 * key_heads, width, seed=seed)
    angles = drawn(capacity, half, seed=seed + 1)
    turns = torch.stack((angles.cos(), angles.sin()), dim=-1)
    around = drawn(2 * grid_rows * key_heads * capacity * width + 64, seed=seed + 2)
    before = around.clone()
    block = around[32:-32].view(2, grid_rows, key_heads, capacity, width)

    queries = kernels.turn(mixed, turns, block, heads=heads, rows=rows, positions=positions)

    turned = turned_by_hand(mixed[:, : heads + key_heads], turns[positions])
    torch.testing.assert_close(queries, turned[:, :heads], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(block[0, rows, :, positions], turned[:, heads:], atol=1e-6, rtol=1e-6)
    assert torch.equal(block[1, rows, :, positions], mixed[:, heads + key_heads :])
    block[:, rows, :, positions] = before[32:-32].view_as(block)[:, rows, :, positions]
    assert torch.equal(around, before)  # nothing else was touched, inside the block or beside it


def test_what_is_mixed_may_have_gaps(kernels):
    mixed, turns = drawn(10, 5, 32)[::2], drawn(4, 16, 2)
    rows, positions = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 3, 0, 1, 2])
    block, other = torch.zeros(2, 2, 1, 4, 32), torch.zeros(2, 2, 1, 4, 32)
    got = kernels.turn(mixed, turns, block, heads=3, rows=rows, positions=positions)
    wanted = kernels.turn(mixed.clone(), turns, other, heads=3, rows=rows, positions=positions)
    assert torch.equal(got, wanted)
    assert torch.equal(block, other)


class Texts:
    """Texts of some lengths in a grid, where everything that none of them may see is no number."""

    def __init__(self, lengths, *, key_heads, group, width, seed=1):
        count = len(lengths)
        self.lengths, self.scale = lengths, 1 / math.sqrt(width)
        self.rows = shuffled(count + 2, seed=seed)  # two more than texts: a list goes on with the tokens of prompts
        self.positions = torch.tensor([*(length - 1 for length in lengths), 0, 1])
        self.queries = drawn(count, key_heads * group, width, seed=seed)
        self.block = torch.full((2, count + 2, key_heads, max(lengths) + 3, width), torch.nan)
        for row, length in zip(self.rows, lengths, strict=False):
            self.block[:, row, :, :length] = drawn(2, key_heads, length, width, seed=seed + int(row) + 1)

    def seen(self, kernels):
        return kernels.attend(self.queries, self.block, rows=self.rows, positions=self.positions, scale=self.scale)

    def exact(self):
        """What PyTorch computes with 64 bits, text by text."""
        found = []
        for query, row, length in zip(self.queries, self.rows, self.lengths, strict=False):
            keys, values = self.block[:, row, :, :length].double()
            seen = torch.nn.functional.scaled_dot_product_attention(
                query.double()[None, :, None], keys[None], values[None], scale=self.scale, enable_gqa=True
            )
            found.append(seen.flatten())
        return torch.stack(found).float()


# Means of numbers near 1 whose weights are off by 1e-6 at most.
def assert_near(got, wanted):
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


@settings(max_examples=80)
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=4),
    key_heads=st.integers(1, 3),
    group=st.integers(1, 3),
    width=st.sampled_from(WIDTHS),
    seed=st.integers(0, 99),
)
@example(lengths=[1, 127, 128, 129], key_heads=2, group=3, width=80, seed=0)
@example(lengths=[255, 256, 257, 400], key_heads=3, group=1, width=256, seed=0)
def test_a_token_sees_its_text_as_in_pytorch_and_nothing_else(kernels, lengths, key_heads, group, width, seed):
    texts = Texts(lengths, key_heads=key_heads, group=group, width=width, seed=seed)
    assert_near(texts.seen(kernels), texts.exact())


@pytest.mark.parametrize("width", [width for width in range(1, 300) if can_attend(width)])
def test_every_width_that_it_says_to_know_is_known(kernels, width):
    texts = Texts([3, 131], key_heads=1, group=2, width=width)
    assert_near(texts.seen(kernels), texts.exact())


def test_widths_are_known_in_steps_of_16_up_to_256():
    assert [width for width in range(1, 300) if can_attend(width)] == list(range(16, 257, 16))


def test_what_is_seen_does_not_depend_on_the_texts_beside_it(kernels):
    texts = Texts([5, 300, 1, 140], key_heads=2, group=2, width=80)
    together = texts.seen(kernels)
    for text in range(4):
        part = slice(text, text + 1)
        alone = kernels.attend(
            texts.queries[part],
            texts.block,
            rows=texts.rows[part],
            positions=texts.positions[part],
            scale=texts.scale,
        )
        assert torch.equal(alone[0], together[text])


def test_what_is_seen_does_not_depend_on_the_number_of_threads(kernels, threads):
    texts = Texts([5, 300, 1, 140, 260], key_heads=3, group=2, width=64)
    threads(1)
    alone = texts.seen(kernels)
    threads(2)
    for _ in range(20):  # who looks at which text is left to chance
        assert torch.equal(texts.seen(kernels), alone)


def test_queries_may_have_gaps(kernels):
    texts = Texts([5, 150], key_heads=1, group=2, width=64)
    texts.queries = drawn(2, 64, 2).transpose(1, 2)
    assert_near(texts.seen(kernels), texts.exact())


def test_no_texts_see_nothing(kernels):
    seen = kernels.attend(
        drawn(0, 2, 64),
        drawn(2, 1, 1, 4, 64),
        rows=torch.zeros(0, dtype=torch.long),
        positions=torch.zeros(0, dtype=torch.long),
        scale=1.0,
    )
    assert seen.shape == (0, 128)


@pytest.mark.parametrize("score", [80.0, -80.0, 1e4, -1e4])
@pytest.mark.parametrize("place", [0, STRETCH - 1, STRETCH, 299])
def test_one_key_far_above_or_below_all_others_does_not_overflow(kernels, score, place):
    texts = Texts([300], key_heads=1, group=1, width=64)
    row = texts.rows[0]
    texts.block[0, row, 0, place] = texts.queries[0, 0] / texts.queries[0, 0].square().sum() * score / texts.scale
    got = texts.seen(kernels)
    assert_near(got, texts.exact())
    if score > 0:
        assert_near(got[0], texts.block[1, row, 0, place])


@pytest.mark.parametrize("rising", [True, False])
def test_scores_that_rise_or_fall_by_thousands_from_stretch_to_stretch_do_not_overflow(kernels, rising):
    texts = Texts([400], key_heads=1, group=1, width=64)
    slopes = torch.arange(400.0) * (30 if rising else -30)
    texts.block[0, texts.rows[0], 0, :400] = slopes[:, None] * texts.queries[0] / texts.queries[0].square().sum()
    assert_near(texts.seen(kernels), texts.exact())


@pytest.mark.parametrize("part", [0, 1])
def test_a_key_or_value_that_is_no_number_spoils_its_own_text_only(kernels, part):
    texts = Texts([150, 150, 150], key_heads=1, group=2, width=64)
    sound = texts.seen(kernels)
    texts.block[part, texts.rows[1], 0, 140] = torch.nan
    got = texts.seen(kernels)
    assert got[1].isnan().all()
    assert torch.equal(got[[0, 2]], sound[[0, 2]])


def test_other_number_formats_of_queries_are_refused(kernels):
    texts = Texts([5], key_heads=1, group=1, width=64)
    texts.queries = texts.queries.bfloat16()
    with pytest.raises(TypeError, match="32-bit floats were expected"):
        texts.seen(kernels)


def test_a_key_that_is_no_number_is_seen_whatever_its_lowest_bits(kernels):
    texts = Texts([150], key_heads=1, group=1, width=64)
    texts.block[0, texts.rows[0], 0, 140, 5] = torch.tensor([0x7FC00001], dtype=torch.int32).view(torch.float32)
    assert texts.seen(kernels).isnan().all()


@pytest.mark.parametrize(("row", "position"), [(3, 0), (-1, 0), (0, 8), (0, -1)])
def test_places_outside_of_the_block_are_refused_and_nothing_is_written(kernels, row, position):
    rows, positions = torch.tensor([1, row]), torch.tensor([1, position])
    block = torch.zeros(2, 3, 1, 8, 64)
    with pytest.raises(IndexError, match="outside of the block"):
        kernels.turn(drawn(2, 3, 64), drawn(8, 32, 2), block, heads=1, rows=rows, positions=positions)
    with pytest.raises(IndexError, match="outside of the block"):
        kernels.attend(drawn(2, 1, 64), block, rows=rows, positions=positions, scale=1.0)
    assert (block == 0).all()


@pytest.mark.parametrize(
    "places",
    [torch.zeros(2, dtype=torch.int32), torch.zeros(4, dtype=torch.long)[::2], torch.zeros(1, dtype=torch.long)],
)
def test_places_of_another_kind_are_refused(kernels, places):
    block, right = torch.zeros(2, 3, 1, 8, 64), torch.zeros(2, dtype=torch.long)
    for rows, positions in ((places, right), (right, places)):
        with pytest.raises(TypeError, match="64-bit integers"):
            kernels.turn(drawn(2, 3, 64), drawn(8, 32, 2), block, heads=1, rows=rows, positions=positions)
        with pytest.raises(TypeError, match="64-bit integers"):
            kernels.attend(drawn(2, 1, 64), block, rows=rows, positions=positions, scale=1.0)


@pytest.mark.parametrize(("heads", "key_heads", "width"), [(1, 1, 72), (1, 1, 272), (3, 2, 64)])
def test_heads_that_there_is_no_kernel_for_are_refused(kernels, heads, key_heads, width):
    places = torch.zeros(1, dtype=torch.long)
    with pytest.raises(ValueError, match="do not fit"):
        kernels.attend(
            drawn(1, heads, width), drawn(2, 1, key_heads, 4, width), rows=places, positions=places, scale=1.0
        )


def test_a_block_that_would_have_to_be_copied_is_refused(kernels):
    places = torch.zeros(1, dtype=torch.long)
    for block in (drawn(2, 1, 1, 64, 8).transpose(3, 4), drawn(2, 1, 1, 8, 64).double()):
        with pytest.raises(TypeError, match="without gaps"):
            kernels.turn(drawn(1, 3, 64), drawn(8, 32, 2), block, heads=1, rows=places, positions=places)
        with pytest.raises(TypeError, match="without gaps"):
            kernels.attend(drawn(1, 1, 64), block, rows=places, positions=places, scale=1.0)
