"""MAE, BEiT and timm's towers: what the table of equal numbers does not show."""

from __future__ import annotations

import pytest
import torch

from kemm.compat import mend_torchvision
from kemm.systems.beit import BEiT
from kemm.systems.mae import MAE
from kemm.systems.names import translate
from kemm.systems.timm_towers import TimmTower
from kg.errors import InputError

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "hidden_act": "gelu",
    "image_size": 16,
    "patch_size": 4,
}
PAINTER = {
    "decoder_hidden_size": 8,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 12,
}


def test_mae_hides_the_share_of_patches_with_the_most_noise():
    mae = MAE.from_config({**SMALL, **PAINTER, "mask_ratio": 0.75})
    found = mae(torch.randn(1, 3, 16, 16), noise=torch.arange(16.0)[None])
    assert found["hidden"][0].tolist() == [False] * 4 + [True] * 12
    assert found["states"].shape == (1, 5, 16)


def test_mae_draws_other_patches_with_another_seed_and_the_same_with_the_same():
    mae, pictures = MAE.from_config({**SMALL, **PAINTER}), torch.randn(1, 3, 16, 16)
    hidden = [mae(pictures, generator=torch.Generator().manual_seed(seed))["hidden"] for seed in (0, 0, 1)]
    assert torch.equal(hidden[0], hidden[1])
    assert not torch.equal(hidden[0], hidden[2])


def test_mae_learns_nothing_from_patches_that_it_sees():
    torch.manual_seed(0)
    mae, pictures, noise = MAE.from_config({**SMALL, **PAINTER}).eval(), torch.randn(1, 3, 16, 16), torch.arange(16.0)
    error = mae.target(pictures) - mae(pictures, noise[None])["patches"]
    torch.testing.assert_close(mae(pictures, noise[None])["loss"], error[:, 4:].square().mean())


def test_beit_does_not_see_what_is_hidden():
    torch.manual_seed(0)
    beit = BEiT.from_config({**SMALL, "use_shared_relative_position_bias": True}).eval()
    one, masked = torch.randn(1, 3, 16, 16), torch.zeros(1, 16, dtype=torch.bool)
    masked[0, 5] = True
    other = one.clone()
    other[..., 4:8, 4:8] = 9.0  # patch 5, in the second row and column of four
    assert torch.equal(beit(one, masked)["words"], beit(other, masked)["words"])
    assert not torch.equal(beit(one)["words"], beit(other)["words"])


@pytest.mark.parametrize(
    ("name", "width", "layers"), [("vit_tiny_patch16_224", 192, 12), ("eva02_tiny_patch14_336", 192, 12)]
)
def test_a_timm_tower_is_built_from_the_name_of_its_architecture(name, width, layers):
    tower = TimmTower.from_config({"architecture": name, "num_classes": 0, "global_pool": "token"})
    assert (tower.input.project.out_features, len(tower.vision.blocks)) == (width, layers)
    assert tower.input.grid == ((14, 14) if "16_224" in name else (24, 24))


@pytest.mark.parametrize(
    "name",
    [
        *(f"vit_{size}_patch16_224" for size in ("tiny", "small", "base", "large")),
        "vit_huge_patch14_224",
        "eva_giant_patch14_560",
        *(f"eva02_{size}_patch14_224" for size in ("tiny", "small", "base", "large")),
    ],
)
def test_each_architecture_has_timms_parameters(name):
    mend_torchvision()
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        theirs = timm.create_model(name)
        config = {"architecture": name, "num_classes": theirs.num_classes, "global_pool": theirs.global_pool}
        ours = TimmTower.from_config(config)
    assert translate(theirs.state_dict(), TimmTower.NAMES, ours.state_dict()).keys() == ours.state_dict().keys()


def test_an_architecture_that_is_not_known_is_named_with_those_that_are():
    with pytest.raises(InputError, match=r"architecture is 'swin_tiny_patch4_window7_224'; there are.*eva02_base"):
        TimmTower.from_config({"architecture": "swin_tiny_patch4_window7_224"})


def test_a_timm_tower_with_registers_is_refused():
    with pytest.raises(InputError, match="reg_tokens is 4; a timm tower is built with 0 alone"):
        TimmTower.from_config({"architecture": "vit_small_patch16_224", "model_args": {"reg_tokens": 4}})
