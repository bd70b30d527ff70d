"""Targets of hidden patches against hand, against a slow formula, and against transformers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kemm.compat import mend_torchvision
from kemm.objectives.losses.hog import hog
from kemm.objectives.losses.picture_targets import (
    code_loss,
    negative_cosine,
    normalised,
    patchify,
    squared_error,
    unmasked_alignment,
)

ONE_HIDDEN = torch.tensor([[True, False]])


def test_a_patch_of_1_2_3_is_minus_one_nought_one() -> None:
    assert normalised(torch.tensor([[[1.0, 2.0, 3.0]]]))[0, 0].tolist() == pytest.approx([-1, 0, 1], abs=1e-5)
    assert not normalised(torch.full((1, 1, 3), 5.0)).any()  # an even patch: zeros, no NaN


def test_only_hidden_patches_count_in_the_squared_error() -> None:
    predicted, target = torch.tensor([[[1.0, 2.0], [9.0, 9.0]]]), torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])
    assert squared_error(predicted, target, ONE_HIDDEN).item() == pytest.approx((1 + 4) / 2)


def test_codes_cost_their_negative_log_chance() -> None:
    logits = torch.log(torch.tensor([[[0.2, 0.3, 0.5], [0.9, 0.05, 0.05]]]))
    assert code_loss(logits, torch.tensor([[2, -100]]), ONE_HIDDEN).item() == pytest.approx(-math.log(0.5))


def test_a_feature_at_a_right_angle_costs_nothing_one_opposite_one() -> None:
    predicted, teacher = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]]), torch.tensor([[[4.0, 3.0], [-2.0, 0.0]]])
    assert negative_cosine(predicted, teacher, ONE_HIDDEN).item() == pytest.approx(-24 / 25)
    assert negative_cosine(predicted, teacher, ~ONE_HIDDEN).item() == pytest.approx(1.0)


def test_alignment_is_the_squared_distance_of_unit_vectors() -> None:
    student, teacher = torch.tensor([[[[3.0, 4.0], [1.0, 1.0]]]]), torch.tensor([[[[1.0, 0.0], [5.0, 5.0]]]])
    # (.6 − 1)² + .8² = .8 over two values
    assert unmasked_alignment(student, teacher, ONE_HIDDEN).item() == pytest.approx(0.4)


def test_pixels_agree_with_masked_autoencoders_of_transformers() -> None:
    pytest.importorskip("transformers")
    mend_torchvision()
    from transformers import ViTMAEConfig
    from transformers.models.vit_mae.modeling_vit_mae import ViTMAEForPreTraining

    config = ViTMAEConfig(
        image_size=32,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
        norm_pix_loss=True,
    )
    model = ViTMAEForPreTraining(config).eval()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = model(pixels)
    ours = squared_error(output.logits, normalised(patchify(pixels, 8)), output.mask.bool())
    assert torch.equal(patchify(pixels, 8), model.patchify(pixels))
    assert ours.item() == pytest.approx(output.loss.item(), rel=1e-5)


def slow_hog(picture: np.ndarray, patch: int, cell: int, bins: int, is_windowed: bool) -> np.ndarray:
    """The formula, one pixel at a time, of one channel (H, W) → (rows of cells, columns of cells, bins)."""
    height, width = picture.shape
    around = np.pad(picture, 1, mode="reflect")
    sums = np.zeros((height // cell, width // cell, bins))
    bell = [math.exp(-0.5 * ((k - (patch - 1) / 2) / (patch / 2)) ** 2) for k in range(patch)]
    for y in range(height):
        for x in range(width):
            near = around[y : y + 3, x : x + 3]
            g_x = near[0, 0] + 2 * near[1, 0] + near[2, 0] - near[0, 2] - 2 * near[1, 2] - near[2, 2]
            g_y = near[0, 0] + 2 * near[0, 1] + near[0, 2] - near[2, 0] - 2 * near[2, 1] - near[2, 2]
            g_x = 0.0 if abs(g_x) < 1e-9 else g_x  # at the mirrored edges, but for rounding
            weight = bell[y % patch] * bell[x % patch] / sum(bell) ** 2 if is_windowed else 1.0
            angle = math.atan2(g_x, g_y) % math.pi  # directions half a turn apart are one
            sums[y // cell, x // cell, min(int(angle / math.pi * bins), bins - 1)] += math.hypot(g_x, g_y) * weight
    return sums / np.maximum(np.sqrt((sums**2).sum(-1, keepdims=True)), 1e-12)


@pytest.mark.parametrize("is_windowed", [True, False])
def test_histograms_agree_with_the_formula_pixel_by_pixel(is_windowed: bool) -> None:
    pixels = torch.rand(2, 3, 32, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = hog(pixels, window=is_windowed)
    assert ours.shape == (2, 6, 108)  # 2 × 3 patches of 3 channels · 9 directions · 2 × 2 cells
    ours = ours.view(2, 2, 3, 3, 9, 2, 2)
    for sample in range(2):
        for channel in range(3):
            slow = slow_hog(pixels[sample, channel].numpy(), 16, 8, 9, is_windowed)
            for row in range(4):
                for column in range(6):
                    got = ours[sample, row // 2, column // 2, channel, :, row % 2, column % 2]
                    assert got.numpy() == pytest.approx(slow[row, column], abs=1e-9)


def test_a_slope_to_the_right_has_one_direction_and_an_even_picture_none() -> None:
    slope = torch.arange(16.0, dtype=torch.float64).expand(1, 1, 16, 16)
    histogram = hog(slope).view(9, 4)
    # Brightness grows along x alone: g_y = 0, atan2(g_x, 0) = ∓π/2, the middle one of nine bins.
    assert histogram[4].tolist() == pytest.approx([1, 1, 1, 1])
    assert histogram.sum() == pytest.approx(4)
    assert not hog(torch.ones(1, 3, 16, 16)).any()


def test_a_picture_of_broken_patches_is_an_error() -> None:
    with pytest.raises(ValueError, match="30 × 32 pixels has no whole patches of 16"):
        hog(torch.zeros(1, 3, 30, 32))
