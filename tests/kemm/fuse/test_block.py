"""Blocks and stacks: norm orders by hand, the order of parts by silencing them, T5's and BERT's shapes of stacks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.block import Block
from kemm.fuse.feed_forward import ACTIVATIONS, FeedForward
from kemm.fuse.positions import RelativeBuckets, Rotary
from kemm.fuse.residual import Residual
from kemm.fuse.transformer import Transformer
from kg.errors import InputError

D, H, L = 8, 2, 5


def x(batch: int = 2, length: int = L, width: int = D) -> Tensor:
    return torch.randn(batch, length, width, generator=torch.Generator().manual_seed(0))


def test_where_norms_stand() -> None:
    given = torch.tensor([[1.0, 3.0]])  # its LayerNorm is (−1, 1)
    pre, post = Residual(2, "pre", eps=0, layer_scale=0.5), Residual(2, "post", eps=0)
    assert pre.enter(given).tolist() == [[-1, 1]] and post.enter(given) is given
    assert pre.leave(given, torch.tensor([[2.0, 2.0]])).tolist() == [[2, 4]]  # x + ½ y
    assert post.leave(given, torch.tensor([[9.0, 1.0]])).tolist() == [[1, -1]]  # LN(10, 4)
    with pytest.raises(InputError, match="no order of norms 'between'"):
        Residual(2, "between")  # type: ignore[arg-type]


def test_a_sample_goes_without_a_branch_as_often_as_told_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    residual = Residual(1, drop_path=0.25).train()
    zero, one = torch.zeros(4000, 2, 1), torch.ones(4000, 2, 1)
    out = residual.leave(zero, one)
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(out[:, 0], out[:, 1])  # all tokens of a sample, or none
    assert out.mean().item() == pytest.approx(1, abs=0.05)
    rows = residual.leave(zero[:, 0], one[:, 0], torch.arange(2000).repeat(2), 2000)
    assert torch.equal(rows[:2000], rows[2000:])  # rows of one sample, wherever they stand
    assert torch.equal(residual.eval().leave(zero, one), one)


def test_feed_forward_with_a_gate_and_a_norm_by_hand() -> None:
    layer = FeedForward(1, 2, activation="relu", is_gated=True, bias=False, inner_eps=0.0)
    layer.up.weight.data = torch.tensor([[1.0], [2.0], [3.0], [4.0]])  # gates 1 and 2, values 3 and 4
    layer.down.weight.data = torch.tensor([[1.0, 5.0]])
    assert layer(torch.tensor([[1.0]])).tolist() == [[4.0]]  # LN(1·3, 2·4) = (−1, 1)


@pytest.mark.parametrize(
    ("name", "at_one"),
    [("gelu", 0.8413447), ("gelu-tanh", 0.8411920), ("quick-gelu", 0.8457958), ("silu", 0.7310586), ("relu", 1.0)],
)
def test_activations_at_one(name: str, at_one: float) -> None:
    assert ACTIVATIONS[name](torch.tensor(1.0)).item() == pytest.approx(at_one, abs=1e-6)
    assert ACTIVATIONS[name](torch.tensor(0.0)).item() == 0


@pytest.mark.parametrize("order", ["pre", "post", "sub"])
def test_a_block_is_its_parts_in_order(order: str) -> None:
    block = Block(D, H, context_width=3, order=order)  # type: ignore[arg-type]
    context = torch.randn(2, 4, 3)
    a, c, f = block.attention_residual, block.cross_residual, block.feed_forward_residual
    y = x()
    for around, part in ((a, block.attention), (c, lambda y: block.cross(y, context)), (f, block.feed_forward)):
        y = around.norm(y + part(y)) if order == "post" else y + part(around.norm(y))
    torch.testing.assert_close(block(x(), context), y)
    assert (block.attention.norm is not None) == (block.feed_forward.norm is not None) == (order == "sub")
    without = block(x())
    block.cross.out.weight.data.zero_()
    block.cross.out.bias.data.zero_()
    if order != "post":
        torch.testing.assert_close(block(x(), context), without)  # a silent cross-attention is none


def test_a_decoder_with_a_cache_writes_what_it_reads_whole() -> None:
    for options in ({"rotary": Rotary(D // H)}, {"shared_relative": RelativeBuckets(H, is_causal=True)}):
        decoder = Transformer(D, 3, H, context_width=3, cross_layers=(0, 2), is_rms=True, is_gated=True, **options)  # type: ignore[arg-type]
        context, padding = torch.randn(2, 4, 3), torch.tensor([[[True, True, False, False]], [[True] * 4]])
        whole = decoder(x(), context, mask=masks.causal(L), context_mask=padding)
        cache = decoder.new_cache()
        parts = [
            decoder(x()[:, a:b], context, cache, mask=masks.causal(b - a, b), context_mask=padding)
            for a, b in ((0, 2), (2, 3), (3, 5))
        ]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=0)
        assert [block.has_cross for block in decoder.blocks] == [True, False, True]


def test_the_last_of_the_states_with_its_norm_is_what_comes_out() -> None:
    encoder = Transformer(D, 3, H)
    states = list(encoder.states(x()))
    assert len(states) == 3 and torch.equal(encoder.norm(states[-1]), encoder(x()))


def test_each_layer_has_a_bias_of_its_own_where_asked_and_dropping_rises() -> None:
    encoder = Transformer(D, 3, H, relative=lambda: RelativeBuckets(H), drop_path=0.4)
    tables = {block.attention.relative.table for block in encoder.blocks}
    assert len(tables) == 3 and encoder(x()).shape == (2, L, D)
    assert [block.attention_residual.drop_path for block in encoder.blocks] == pytest.approx([0, 0.2, 0.4])


def test_checkpointed_gradients_are_the_same() -> None:
    gradients = []
    for is_checkpointed in (False, True):
        torch.manual_seed(0)
        encoder = Transformer(D, 2, H, is_checkpointed=is_checkpointed, dropout=0.2, attention_dropout=0.2).train()
        functional.mse_loss(encoder(x(), mask=masks.causal(L)), x()).backward()
        gradients.append([p.grad for p in encoder.parameters()])
    assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(*gradients))
