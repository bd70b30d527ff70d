"""Ways for one stream to read another, each against a claim that can be checked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from kemm.fuse.co_attention import CoAttention
from kemm.fuse.encoder_decoder_mixture import EncoderDecoderMixture
from kemm.fuse.gated_cross_attention import GatedCrossAttention, latest_picture
from kg.errors import InputError

D, H = 8, 2


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def shaken(module: nn.Module) -> nn.Module:
    """The module with random norms and biases, too."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape) * 0.3)
    return module.eval()


# ── co-attention ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["meter", "vilbert"])
def test_streams_of_two_widths_read_each_other_and_no_padding(kind: str) -> None:
    fusion = shaken(CoAttention((D, 6), (2, 3), 2, kind, order="post"))  # type: ignore[arg-type]
    x, y, real = drawn(2, 3, D), drawn(2, 4, 6), torch.tensor([[True, True, False, False], [True] * 4])
    left, right = fusion(x, y, y_mask=real)
    assert left.shape == x.shape and right.shape == y.shape
    again, _ = fusion(x, torch.where(real[..., None], y, 9.0), y_mask=real)
    torch.testing.assert_close(again, left, atol=1e-6, rtol=0)
    other, _ = fusion(x, y + drawn(2, 4, 6), y_mask=real)
    assert not torch.allclose(other, left, atol=1e-5)


def test_both_streams_read_what_the_other_was_before_the_layer() -> None:
    fusion = CoAttention((D, D), (H, H), 1)
    x, y = drawn(2, 3, D), drawn(2, 4, D)
    torch.testing.assert_close(fusion(x, y)[1], fusion.right[0](y, x))
    with pytest.raises(InputError, match="no co-attention of the kind 'lxmert'"):
        CoAttention((D, D), (H, H), 1, "lxmert")  # type: ignore[arg-type]


# ── BLIP's mixture ────────────────────────────────────────────────────────────────────────────────────────────────


def test_encoder_and_decoder_share_all_but_self_attention() -> None:
    mixture = EncoderDecoderMixture(D, 2, H, context_width=6)
    encoder, decoder = dict(mixture.encoder.named_parameters()), dict(mixture.decoder.named_parameters())
    assert encoder.keys() == decoder.keys()
    own = {name for name in encoder if encoder[name] is not decoder[name]}
    assert own == {name for name in encoder if ".attention." in name or ".attention_residual." in name}


def test_the_decoder_reads_no_later_word_and_writes_from_a_cache() -> None:
    mixture = EncoderDecoderMixture(D, 2, H, context_width=6, order="post")
    x, context = drawn(2, 4, D), drawn(2, 3, 6)
    whole, cache = mixture.decode(x, context), mixture.decoder.new_cache()
    parts = [mixture.decode(x[:, i : i + 1], context, cache=cache) for i in range(4)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=0)
    real = torch.tensor([[True, True, True, False]] * 2)
    alone = mixture.encode(x[:, :3])
    torch.testing.assert_close(mixture.encode(x, real)[:, :3], alone, atol=1e-5, rtol=0)
    assert not torch.allclose(mixture.encode(x, real, context)[:, :3], alone, atol=1e-2)


# ── Flamingo ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_gated_cross_attention_starts_as_the_identity_bit_for_bit() -> None:
    gated, x = GatedCrossAttention(D, H, context_width=6), drawn(2, 3, D)
    out = gated(x, drawn(2, 4, 6))
    assert torch.equal(out, x)
    out.square().sum().backward()
    assert gated.cross_gate.grad is not None and gated.cross_gate.grad.abs() > 0  # and can learn


def test_a_word_reads_the_latest_picture_and_before_the_first_none() -> None:
    is_picture = torch.tensor([[False, True, False, True]])
    mask = latest_picture(is_picture, pictures=2, tokens=2)
    assert ["".join("x" if may else "." for may in row) for row in mask[0]] == ["....", "xx..", "xx..", "..xx"]
    gated = GatedCrossAttention(D, H, context_width=6)
    gated.cross_gate.data.fill_(1.0)
    x, context = drawn(1, 4, D), drawn(1, 4, 6)
    out = gated(x, context, mask)
    assert torch.equal(out[:, 0], x[:, 0]) and not torch.allclose(out[:, 1], x[:, 1])
    torch.testing.assert_close(out[:, 3], gated(x, context[:, 2:])[:, 3], atol=1e-6, rtol=0)
