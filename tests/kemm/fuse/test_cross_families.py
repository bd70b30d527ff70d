"""Ways for one stream to read another: each against a claim that can be checked, and transformers' where it has one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from kemm.compat import mend_torchvision
from kemm.fuse import masks
from kemm.fuse.co_attention import CoAttention
from kemm.fuse.encoder_decoder_mixture import EncoderDecoderMixture
from kemm.fuse.gated_cross_attention import GatedCrossAttention, latest_picture
from kemm.fuse.perceiver_resampler import PerceiverResampler
from kemm.fuse.q_former import QFormer
from kemm.systems import weight_names
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
    assert gated.cross_residual.gate is not None and gated.cross_residual.gate.grad is not None
    assert gated.cross_residual.gate.grad.abs() > 0  # and can learn


def test_a_word_reads_the_latest_picture_and_before_the_first_none() -> None:
    is_picture = torch.tensor([[False, True, False, True]])
    mask = latest_picture(is_picture, pictures=2, tokens=2)
    assert ["".join("x" if may else "." for may in row) for row in mask[0]] == ["....", "xx..", "xx..", "..xx"]
    gated = GatedCrossAttention(D, H, context_width=6)
    assert gated.cross_residual.gate is not None
    gated.cross_residual.gate.data.fill_(1.0)
    x, context = drawn(1, 4, D), drawn(1, 4, 6)
    out = gated(x, context, mask)
    assert torch.equal(out[:, 0], x[:, 0]) and not torch.allclose(out[:, 1], x[:, 1])
    torch.testing.assert_close(out[:, 3], gated(x, context[:, 2:])[:, 3], atol=1e-6, rtol=0)


def test_the_resampler_is_idefics() -> None:
    mend_torchvision()
    from transformers import IdeficsConfig
    from transformers.models.idefics.perceiver import IdeficsPerceiverResampler

    config = IdeficsConfig(perceiver_config={"qk_layer_norms_perceiver": False}, vision_config={"embed_dim": D})
    theirs = shaken(IdeficsPerceiverResampler(config, D, 2, H, 4, 3))
    ours = PerceiverResampler(D, 2, H, 3, head_width=4, activation="relu")
    attention, feed = "blocks.*.0.", "blocks.*.1."
    names = {
        "latents": "latents",
        "norm": "layer_norm",
        "blocks.*.context_norm": f"{attention}context_layer_norm",
        "blocks.*.cross_residual.norm": f"{attention}latents_layer_norm",
        "blocks.*.cross.query": f"{attention}q_proj",
        "blocks.*.cross.key_value": (f"{attention}k_proj", f"{attention}v_proj"),
        "blocks.*.cross.out": f"{attention}output_proj",
        "blocks.*.feed_forward_residual.norm": f"{feed}ln",
        "blocks.*.feed_forward.up": f"{feed}fc",
        "blocks.*.feed_forward.down": f"{feed}c_proj",
    }
    weight_names.load(ours, theirs.state_dict(), names)
    x = drawn(2, 5, D)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=0)
    real = torch.tensor([[True] * 3 + [False] * 2] * 2)
    torch.testing.assert_close(ours(x, real), ours(x[:, :3]), atol=1e-6, rtol=0)


# ── BLIP-2 ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _bert(ours: str, theirs: str, feed: dict[str, str], has_cross: bool) -> dict[str, str | tuple[str, ...]]:
    names: dict[str, str | tuple[str, ...]] = {}
    for own, other in (("attention", "attention"), *((("cross", "crossattention"),) if has_cross else ())):
        parts = tuple(f"{theirs}{other}.attention.{part}" for part in ("query", "key", "value"))
        if own == "cross":
            names |= {f"{ours}cross.query": parts[0], f"{ours}cross.key_value": parts[1:]}
        else:
            names[f"{ours}attention.qkv"] = parts
        names[f"{ours}{own}.out"] = f"{theirs}{other}.output.dense"
        names[f"{ours}{own}_residual.norm"] = f"{theirs}{other}.output.LayerNorm"
    for own, ending in feed.items():
        names[f"{ours}feed_forward.{own}.up"] = f"{theirs}intermediate{ending}.dense"
        names[f"{ours}feed_forward.{own}.down"] = f"{theirs}output{ending}.dense"
        names[f"{ours}feed_forward_residual.{own}.norm"] = f"{theirs}output{ending}.LayerNorm"
    return names


def test_the_q_former_is_blip_2s_with_a_text_and_without() -> None:
    mend_torchvision()
    from transformers import Blip2QFormerConfig, Blip2QFormerModel

    config = Blip2QFormerConfig(
        hidden_size=D,
        num_hidden_layers=3,
        num_attention_heads=H,
        intermediate_size=16,
        encoder_hidden_size=6,
        cross_attention_frequency=2,
        use_qformer_text_input=True,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    theirs = shaken(Blip2QFormerModel(config))
    ours = QFormer(D, 3, H, 6, queries=3, hidden=16).eval()
    weights = theirs.state_dict() | {"query_tokens": drawn(1, 3, D)}
    both = {"queries": "_query", "text": ""}
    names = {
        "queries": "query_tokens",
        "norm": "layernorm",
        **_bert("blocks.*.", "encoder.layer.*.", both, has_cross=False),
        **{n: o for n, o in _bert("blocks.*.", "encoder.layer.*.", both, has_cross=True).items() if ".cross" in n},
    }
    weight_names.load(ours, weights, names)
    context, text = drawn(2, 4, 6), drawn(2, 5, D)
    queries = ours.queries.detach().expand(2, -1, -1)
    out, none = ours(context)
    assert none is None
    torch.testing.assert_close(out, theirs(queries, encoder_hidden_states=context)[0], atol=1e-5, rtol=0)
    wanted = theirs(torch.cat([queries, text], dim=1), query_length=3, encoder_hidden_states=context)[0]
    read, words = ours(context, text)
    torch.testing.assert_close(torch.cat([read, words], dim=1), wanted, atol=1e-5, rtol=0)
    # the three masks: queries don't see a text that they are to be contrasted with, nor one that is to be written
    for mask in (masks.unimodal(3, 5), masks.multimodal_causal(3, 5)):
        torch.testing.assert_close(ours(context, text, mask)[0], out, atol=1e-5, rtol=0)
    alone = ours(None, text)[1]
    torch.testing.assert_close(ours(context, text, masks.unimodal(3, 5))[1], alone, atol=1e-5, rtol=0)
