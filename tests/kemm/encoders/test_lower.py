"""A tower that trains its last blocks: what lies below them is run once and kept, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kemm.data.parts import PartMaker
from kemm.data.pictures import FeatureBank, LowerBank, lower_bank
from kemm.encoders.timm_images import Timm
from kemm.encoders.vision import EfficientNetLite0, VisionTower, open_image
from kemm.fuse.entrances import TowerPictures
from kemm.settings import Settings
from tests.kemm.tiny_towers import Blocks, TinyVision, paint


def pixels(count: int, size: int) -> torch.Tensor:
    drawn = torch.randint(0, 256, (count, size, size, 3), generator=torch.Generator().manual_seed(1))
    return drawn.to(torch.uint8)


def trained_gradients(tower: VisionTower, found: torch.Tensor) -> dict[str, torch.Tensor]:
    tower.zero_grad()
    found.float().square().mean().backward()
    return {name: weight.grad.clone() for name, weight in tower.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize(
    "build",
    [Blocks, lambda: EfficientNetLite0(pretrained=False), lambda: Timm("vit_tiny_patch16_224", weights=None, size=32)],
    ids=["blocks", "lite0", "timm"],
)
def test_kept_maps_give_the_outputs_and_gradients_of_whole_pictures(build, blocks: int) -> None:  # type: ignore[no-untyped-def]
    tower = build().requires_grad_(True).freeze(blocks).train()
    shown = pixels(2, tower.size)
    torch.manual_seed(0)  # of dropped connections
    whole = tower(shown)
    wanted = trained_gradients(tower, whole)
    lower = tower.lower(shown)
    torch.manual_seed(0)
    cut = tower.upper(lower)
    found = trained_gradients(tower, cut)
    num_trained = len(tower.stages()) - tower.num_frozen  # with the head; timm's norm counts as of the last block
    assert not lower.requires_grad and num_trained == blocks + 1 + isinstance(tower, Timm)
    assert torch.allclose(cut, whole, atol=1e-5) and found.keys() == wanted.keys() and len(found) > 2 * blocks
    for name, gradient in found.items():
        assert torch.allclose(gradient, wanted[name], rtol=1e-5, atol=1e-7), name


def test_the_chain_of_efficientnet_is_its_packages_forward() -> None:
    tower = EfficientNetLite0(pretrained=False)
    shown = pixels(1, 224)
    normalised = (shown.permute(0, 3, 1, 2).float() - 127.0) / 128.0
    with torch.no_grad():
        assert torch.equal(tower(shown), tower.body.extract_features(normalised))


def test_a_changed_picture_or_frozen_weight_is_noticed_and_a_trained_one_is_not(tmp_path: Path) -> None:
    file = paint(tmp_path / "red.png", (200, 30, 30))
    tower = Blocks().freeze(2)

    def stems_for(shown: str) -> int:
        before = tower.num_stems
        bank = LowerBank(tower, tmp_path / "kept")
        at = tower.num_stems - before  # to learn the shape
        bank.compute([shown], 2)
        return tower.num_stems - before - at

    assert stems_for(file) == 2 and stems_for(file) == 0
    with torch.no_grad():
        tower.blocks[2].weight += 1.0
    assert stems_for(file) == 0
    with torch.no_grad():
        tower.blocks[0].weight += 1.0
    assert stems_for(file) == 2
    paint(tmp_path / "red.png", (30, 200, 30), side=13)
    assert stems_for(file) == 2


def test_a_step_runs_the_trained_blocks_alone(tmp_path: Path) -> None:
    tower = Blocks().freeze(1)
    file = paint(tmp_path / "red.png", (200, 30, 30))
    entrance = TowerPictures(6, 2, 4, tower, is_tuned=True)
    maker = PartMaker.__new__(PartMaker)
    maker.has_features, maker.has_pixels, maker.lower = False, True, lower_bank({"vision": tower}, tmp_path / "kept")
    part = maker.pictures([maker.picture(file), None])
    stems = tower.num_stems
    kept = entrance.read(part)
    assert tower.num_stems == stems and part.raw is not None and part.raw.shape == (2, 6, 8, 8)
    maker.lower, maker.size, maker._pixels = None, 8, {}
    whole = entrance.read(maker.pictures([maker.picture(file), None]))
    assert torch.allclose(kept[0], whole[0], atol=1e-6) and tower.num_stems == stems + 2


def test_whole_pictures_are_given_where_maps_do_not_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lower_bank({}, None) is None  # no tuned tower
    assert lower_bank({"vision": TinyVision()}, None) is None  # no chain of stages
    assert not Timm("resnet18", weights=None).freeze(1).stages()
    assert lower_bank({"vision": Blocks().requires_grad_(True)}, None) is None  # trains whole
    assert lower_bank({"vision": Blocks().freeze(1)}, None) is not None
    monkeypatch.setattr("kemm.data.pictures.MOST_BYTES", 6 * 8 * 8 * 4 - 1)
    assert lower_bank({"vision": Blocks().freeze(1)}, None) is None  # larger than allowed


@pytest.mark.parametrize(
    ("objectives", "start", "is_kept"),
    [({}, None, True), ({"mim": {"target": "pixels"}}, None, False), ({}, "runs/other", False)],
)
def test_runs_that_need_pixels_or_start_from_other_weights_are_given_whole_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objectives: dict, start: str | None, is_kept: bool
) -> None:
    monkeypatch.setattr("kemm.data.parts.tuned_towers", lambda settings: {"vision": Blocks().freeze(2)})
    settings = Settings.model_validate(
        {
            "run": str(tmp_path),
            "data": {"store": "sqlite:///x.db", "index": "x"},
            "model": {"start": start, "towers": {"vision": {"mode": "tuned", "blocks": 2}}},
            "objectives": {"answering": {}, **objectives},
        }
    )
    maker = PartMaker(settings, None, FeatureBank(TinyVision(), None, 2))  # type: ignore[arg-type]
    assert (maker.lower is not None) == is_kept
    shown = maker.picture(paint(tmp_path / "red.png", (200, 30, 30)))["raw"]
    assert shown.dtype == (np.float32 if is_kept else np.uint8)


def test_pictures_are_cut_by_the_weights_that_a_run_was_saved_with(tmp_path: Path) -> None:
    file = paint(tmp_path / "red.png", (200, 30, 30))
    tower, saved = Blocks().freeze(2), Blocks().freeze(2)
    with torch.no_grad():
        saved.stem.bias += 0.5
    maker = PartMaker.__new__(PartMaker)
    maker.features = FeatureBank(TinyVision(), tmp_path / "kept", 2)
    maker.has_features, maker.has_pixels, maker.lower = False, True, lower_bank({"vision": tower}, tmp_path / "kept")
    before = maker.picture(file)["raw"]
    maker.take_tower(saved)
    array = torch.from_numpy(tower.array(open_image(file)).copy())[None]
    assert np.allclose(maker.picture(file)["raw"], saved.lower(array)[0]) and not np.allclose(
        maker.picture(file)["raw"], before
    )
