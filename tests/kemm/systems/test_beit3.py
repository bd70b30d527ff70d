"""BEiT-3 from our parts computes what torchscale's does from the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from kemm.compat import mend_torchvision
from kemm.systems.beit3 import BEiT3
from kemm.systems.names import translate
from kg.errors import InputError

B, T, WORDS, PATCHES, D = 3, 5, 11, 4, 8


@pytest.fixture(scope="module")
def pair() -> tuple[BEiT3, nn.Module]:
    """Ours and theirs, with the same random weights."""
    mend_torchvision()
    reason = "not installed: pip install --no-deps torchscale fairscale"
    config = pytest.importorskip("torchscale.architecture.config", reason=reason, exc_type=ImportError)
    beit3 = pytest.importorskip("torchscale.model.BEiT3", reason=reason, exc_type=ImportError)
    torch.manual_seed(0)
    theirs = beit3.BEiT3(
        config.EncoderConfig(
            multiway=True,
            vocab_size=WORDS,
            img_size=8,
            patch_size=4,
            encoder_embed_dim=D,
            encoder_attention_heads=2,
            encoder_ffn_embed_dim=32,
            encoder_layers=2,
            no_output_layer=True,
            max_source_positions=T + 2,
        )
    )
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.copy_(torch.randn(weight.shape) * 0.3)
    ours = BEiT3(WORDS, 8, 4, D, 2, 2, text_positions=T)
    ours.load_published(theirs.state_dict())
    return ours, theirs


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "pixels": torch.randn(B, 3, 8, 8, generator=generator),
        "words": torch.randint(WORDS, (B, T), generator=generator),
        "text_mask": torch.arange(T) < torch.tensor([[5], [2], [1]]),
        "masked": torch.rand(B, PATCHES, generator=generator) < 0.4,
    }


def run(ours: BEiT3, theirs: nn.Module, given: dict[str, Tensor], is_packed: bool) -> tuple[Tensor, Tensor]:
    """Real tokens of both, (N, D)."""
    out = ours(**given, is_packed=is_packed)
    x = theirs(
        given.get("words"),
        given.get("pixels"),
        ~given["text_mask"] if "text_mask" in given else None,
        vision_masked_position=given.get("masked"),
    )["encoder_out"]
    real = [torch.ones(part.shape[:2], dtype=torch.bool) for name, part in out.items() if name == "vision"]
    real += [given.get("text_mask", torch.ones(B, T, dtype=torch.bool))] if "language" in out else []
    return torch.cat(list(out.values()), dim=1)[torch.cat(real, dim=1)], x[torch.cat(real, dim=1)]


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize(
    "names",
    [("pixels", "words"), ("pixels", "words", "text_mask", "masked"), ("pixels", "masked"), ("words", "text_mask")],
)
def test_outputs_and_gradients_are_torchscales(
    pair: tuple[BEiT3, nn.Module], names: tuple[str, ...], is_packed: bool
) -> None:
    ours, theirs = pair
    given = {name: value for name, value in batch().items() if name in names}
    x, y = run(ours, theirs, given, is_packed)
    torch.testing.assert_close(x, y, atol=1e-5, rtol=0)
    ours.zero_grad()
    theirs.zero_grad()
    weight = torch.linspace(-1, 1, x.numel()).view_as(x)
    (x * weight).sum().backward()
    (y * weight).sum().backward()
    gradients = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in theirs.named_parameters()}
    wanted = translate(gradients, BEiT3.NAMES, dict(ours.named_parameters()))
    compared = 0
    for name, parameter in ours.named_parameters():
        own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(own.flatten(), wanted[name].flatten(), atol=1e-4, rtol=1e-4, msg=name)
        compared += bool(wanted[name].abs().max() > 1e-3)
    assert compared > 20


def test_more_words_than_positions_are_refused() -> None:
    model = BEiT3(WORDS, 8, 4, D, 1, 2, text_positions=T)
    with pytest.raises(InputError, match="6 tokens do not fit into the model's 5 positions"):
        model(words=torch.zeros(1, 6, dtype=torch.long))


def test_a_checkpoint_of_another_system_or_size_leaves_the_model_as_it_was() -> None:
    model = BEiT3(WORDS, 8, 4, D, 1, 2, text_positions=T)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match=r"not a checkpoint of BEiT3: vision_embed\.\w+ is missing"):
        model.load_published({"bert.embeddings.word_embeddings.weight": torch.zeros(3, 3)})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
