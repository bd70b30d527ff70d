"""Positions and masks, against tables written by hand and against the published implementations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kemm.compat import mend_torchvision
from kemm.fuse import masks
from kemm.fuse.positions import LearnedPositions, RelativeBuckets, RelativeGrid, RotaryGrid, sinusoidal, sinusoidal_grid
from kg.errors import InputError


def drawn(mask: Tensor) -> list[str]:
    return ["".join("x" if may else "." for may in row) for row in mask]


def test_masks_as_they_are_drawn_in_the_papers() -> None:
    assert drawn(masks.causal(3)) == ["x..", "xx.", "xxx"]
    assert drawn(masks.causal(2, 4)) == ["xxx.", "xxxx"]
    assert drawn(masks.prefix(4, 2)) == ["xx..", "xx..", "xxx.", "xxxx"]
    assert drawn(masks.prefix(3, torch.tensor([0, 2]))[1]) == ["xx.", "xx.", "xxx"]
    assert drawn(masks.bidirectional(1, 2)) == ["xxx", "xxx", "xxx"]
    assert drawn(masks.multimodal_causal(2, 2)) == ["xx..", "xx..", "xxx.", "xxxx"]
    assert drawn(masks.unimodal(2, 2)) == ["xx..", "xx..", "..xx", "..xx"]
    assert drawn(masks.keys(torch.tensor([[True, False]]))[0]) == ["x."]
    lengths = {"vision": 1, "language": 1, "knowledge": 1}
    assert drawn(masks.by_modality(lengths, {"vision": ["vision"], "knowledge": ["knowledge", "language"]})) == [
        "x..",
        "xxx",
        ".xx",
    ]
    with pytest.raises(InputError, match="a mask names 'sound', but the tokens are of vision"):
        masks.by_modality({"vision": 1}, {"vision": ["sound"]})


def test_learned_positions_start_where_told_and_end() -> None:
    positions = LearnedPositions(3, 2, first=2)
    assert torch.equal(positions(torch.zeros(1, 1, 2), offset=2)[0, 0], positions.table[4])
    with pytest.raises(InputError, match="4 tokens do not fit into the model's 3 positions"):
        positions(torch.zeros(1, 2, 2), offset=2)


def test_sinusoids() -> None:
    assert sinusoidal(2, 2)[1].tolist() == pytest.approx([0.84147, 0.54030], abs=1e-5)  # sin 1, cos 1
    assert sinusoidal(3, 4, is_interleaved=False)[2].tolist() == pytest.approx(
        [0.90930, 0.02000, -0.41615, 0.99980], abs=1e-5
    )
    mend_torchvision()
    from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

    torch.testing.assert_close(
        sinusoidal_grid(2, 3, 8), build_2d_sinusoidal_position_embedding(2, 3, 8, cls_token=True)
    )


@pytest.mark.parametrize("is_causal", [False, True])
def test_relative_buckets_are_t5s(is_causal: bool) -> None:
    mend_torchvision()
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-300, 300)
    ours = RelativeBuckets(2, is_causal=is_causal)
    assert torch.equal(ours.bucket(distance), T5Attention._relative_position_bucket(distance, not is_causal))
    assert torch.equal(ours(5, 5)[:, 3:], ours(2, 5))  # queries are the last of the keys


def test_the_grids_bias_is_beits() -> None:
    mend_torchvision()
    from transformers import BeitConfig
    from transformers.models.beit.modeling_beit import BeitRelativePositionBias

    theirs = BeitRelativePositionBias(BeitConfig(image_size=12, patch_size=4, num_attention_heads=2))
    ours = RelativeGrid(3, 3, 2)
    ours.table.data = torch.randn(ours.table.shape)
    theirs.relative_position_bias_table.data = ours.table.data
    torch.testing.assert_close(ours(10, 10), theirs((3, 3))[0])
    with pytest.raises(InputError, match="for 10 tokens, class token included, not for 9"):
        ours(9, 9)


def test_rotations_of_a_grid_are_timms() -> None:
    mend_torchvision()
    from timm.layers import RotaryEmbeddingCat, apply_rot_embed_cat

    theirs = RotaryEmbeddingCat(8, in_pixels=False, feat_shape=[2, 3], ref_feat_shape=[2, 2])
    x = torch.randn(1, 1, 7, 8)
    ours = RotaryGrid(2, 3, 8, pretrained=2)(x, torch.arange(7))
    torch.testing.assert_close(ours[:, :, 1:], apply_rot_embed_cat(x[:, :, 1:], theirs.get_embed([2, 3])))
    assert torch.equal(ours[:, :, 0], x[:, :, 0])  # the class token is not turned
