"""SigLIP and FILIP by hand."""

from __future__ import annotations

import math

import pytest
import torch

from kemm.objectives.losses.sigmoid import sigmoid_contrast
from kemm.objectives.losses.token_wise import late_interaction, token_wise, token_wise_contrast


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, requires_grad=True)


def test_each_pair_is_judged_alone() -> None:
    s = torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    # logits 2s − 1: 1 and 1 for pairs; −1 and 0 for others
    expected = (3 * math.log(1 + math.exp(-1)) + math.log(2)) / 2
    assert sigmoid_contrast(s, 2.0, -1.0).item() == pytest.approx(expected, abs=1e-6)


def test_the_sigmoid_contrast_is_that_of_siglip() -> None:
    pytest.importorskip("transformers")
    from transformers import SiglipConfig, SiglipModel

    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = small | {"vocab_size": 20, "max_position_embeddings": 4}
    vision = small | {"image_size": 4, "patch_size": 2}
    torch.manual_seed(0)
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
    out = model(input_ids=torch.arange(12).view(3, 4), pixel_values=torch.randn(3, 3, 4, 4), return_loss=True)
    ours = sigmoid_contrast(out.text_embeds @ out.image_embeds.T, model.logit_scale.exp(), model.logit_bias)
    torch.testing.assert_close(ours, out.loss)


def test_every_token_takes_its_best_match() -> None:
    image = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    text = torch.tensor([[[0.6, 0.8], [1.0, 0.0], [0.0, -1.0]]])
    # patches: max(.6, 1, 0) = 1 and max(.8, 0, −1) = .8; words: .8, 1, 0
    forth, back = token_wise(image, text)
    assert forth.item() == pytest.approx(0.9) and back.item() == pytest.approx(0.6)
    assert late_interaction(image, text).item() == pytest.approx(1.8)


def test_padding_and_the_order_of_the_batch_change_nothing() -> None:
    image, text = random(3, 4, 2), random(3, 5, 2, seed=1)
    padded = torch.cat([text, torch.full((3, 2, 2), 9.0)], 1)
    mask = torch.arange(7).expand(3, 7) < 5
    for ours, plain in zip(token_wise(image, padded, text_mask=mask), token_wise(image, text)):
        torch.testing.assert_close(ours, plain)
    order = torch.tensor([2, 0, 1])
    turned = token_wise_contrast(*token_wise(image[order], text[order]), 3.0)
    torch.testing.assert_close(turned, token_wise_contrast(*token_wise(image, text), 3.0))
    torch.testing.assert_close(
        sigmoid_contrast(image[order, 0] @ text[order, 0].T), sigmoid_contrast(image[:, 0] @ text[:, 0].T)
    )


def test_an_empty_text_scores_nothing() -> None:
    forth, back = token_wise(random(1, 2, 2), random(1, 3, 2), text_mask=torch.zeros(1, 3, dtype=torch.bool))
    assert forth.item() == 0 and back.item() == 0


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda s: sigmoid_contrast(s, 2.0, -1.0), random(3, 3))
    assert torch.autograd.gradcheck(
        lambda v, t: token_wise_contrast(*token_wise(v, t), 2.0), (random(2, 3, 2), random(2, 2, 2, seed=1))
    )
