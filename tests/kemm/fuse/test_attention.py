"""Attention: by hand on two keys, and every addition by what it must leave alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kemm.fuse import masks
from kemm.fuse.attention import Attention, JoinedLinear, attend
from kemm.fuse.cache import Cache
from kemm.fuse.positions import RelativeBuckets, Rotary
from kg.errors import InputError

D, H, L = 8, 2, 5


def x(batch: int = 2, length: int = L) -> Tensor:
    return torch.randn(batch, length, D, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])  # the one by PyTorch's kernel, the other by products
def test_two_keys_are_weighed_by_the_softmax_of_their_logits(dtype: torch.dtype) -> None:
    q = torch.tensor([[[[2.0]]]], dtype=dtype)
    k = torch.tensor([[[[0.0], [math.log(3)]]]], dtype=dtype)
    v = torch.tensor([[[[0.0], [1.0]]]], dtype=dtype)
    # logits 0 and 2 · ½ · ln 3: weights 1/4 and 3/4
    assert attend(q, k, v, scale=0.5).item() == pytest.approx(0.75, abs=4e-3)
    assert attend(q, k, v, scale=0.5, mask=torch.tensor([[True, False]])).item() == 0
    assert attend(q, k, v, scale=0.5, bias=torch.tensor([[math.log(3), 0.0]])).item() == pytest.approx(0.5, abs=4e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_query_that_may_read_nothing_gets_numbers_and_so_do_gradients(dtype: torch.dtype) -> None:
    attention = Attention(D, H).to(dtype)
    given = x().to(dtype).requires_grad_()
    out = attention(given, mask=torch.zeros(L, L, dtype=torch.bool), bias=torch.full((L, L), -5.0))
    out.sum().backward()
    assert out.isfinite().all() and given.grad is not None and given.grad.isfinite().all()


def test_masks_of_two_three_and_four_dimensions_say_the_same() -> None:
    attention, causal = Attention(D, H), masks.causal(L)
    wanted = attention(x(), mask=causal)
    for mask in (causal.expand(2, L, L), causal.expand(2, H, L, L)):
        assert torch.equal(attention(x(), mask=mask), wanted)
    assert not torch.equal(attention(x()), wanted)


def test_each_token_from_a_cache_is_the_one_that_the_whole_text_gives() -> None:
    attention = Attention(D, H, rotary=Rotary(D // H), relative=RelativeBuckets(H))
    whole, cache = attention(x(), mask=masks.causal(L)), Cache()
    parts = [attention(x()[:, a:b], mask=masks.causal(b - a, b), cache=cache) for a, b in ((0, 2), (2, 3), (3, 5))]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-6, rtol=0)
    cache.select(torch.tensor([1, 1]))
    assert cache.length == L and cache.key is not None and torch.equal(cache.key[0], cache.key[1])


def test_across_a_cache_stands_for_the_context() -> None:
    attention, context, cache = Attention(D, H, context_width=3), torch.randn(2, 4, 3), Cache()
    first = attention(x(), context, cache=cache)
    assert torch.equal(attention(x(), cache=cache), first) and cache.length == 4


def test_rotary_positions_matter_by_their_distance_alone() -> None:
    attention = Attention(D, H, rotary=Rotary(D // H, is_interleaved=True))
    here, there = (attention(x(), positions=torch.arange(L) + start) for start in (0, 7))
    torch.testing.assert_close(here, there, atol=1e-5, rtol=0)
    assert not torch.allclose(here, attention(x(), positions=3 * torch.arange(L)), atol=1e-4)


def test_gates_scale_heads_and_a_gate_of_zero_silences_one() -> None:
    attention = Attention(D, H, has_gates=True, bias=(True, True, True, False))
    assert attention.gates is not None
    attention.out.weight.data = torch.eye(D)
    attention.gates.data = torch.tensor([0.0, 2.0])
    out = attention(x())
    attention.gates.data = torch.tensor([1.0, 1.0])
    assert (out[..., :4] == 0).all()
    torch.testing.assert_close(out[..., 4:], 2 * attention(x())[..., 4:])


def test_a_projection_without_bias_keeps_none_and_learns_none() -> None:
    joined = JoinedLinear(2, 1, (True, False, True))
    joined(torch.ones(1, 2)).sum().backward()
    assert joined.bias[1] == 0
    assert joined.bias.grad is not None and joined.bias.grad.tolist() == [1, 0, 1]
    joined.bias.data[1] = 7.0  # even a stray one is not added
    assert torch.equal(joined(torch.zeros(1, 2))[0, 1], torch.tensor(0.0))


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(InputError, match="3 heads do not divide a width of 8"):
        Attention(D, 3)
