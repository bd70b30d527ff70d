"""Pictures of another size than a checkpoint was trained with: positions are stretched as the references do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.parity import cases
from benchmarks.parity_case import Pair, published, randomise
from kemm.fuse.inputs import PatchInput
from kemm.systems import SYSTEMS, system_class
from kemm.systems.names import translate
from kemm.systems.saved import import_weights
from kemm.systems.system import System
from kg.errors import InputError

STRETCHED = [name for name in SYSTEMS if system_class(name).SIDE]


def build(name: str) -> Pair:
    case = next(case for case in cases() if case.system == name and "QFormer" not in case.reference)
    try:
        return case.build()
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")


def states(model: Any) -> Callable[[Tensor], Tensor]:
    """A picture's states by the reference, its positions stretched."""
    return lambda pictures: model(pictures, interpolate_pos_encoding=True).last_hidden_state


def clip_vector(model: Any) -> Callable[[Tensor], Tensor]:
    def vector(pictures: Tensor) -> Tensor:
        found = model.vision_model(pictures, interpolate_pos_encoding=True)
        return functional.normalize(model.visual_projection(found.pooler_output), dim=-1)

    return vector


#: name → the reference's states of pictures, and ours.
COMPARED: dict[str, tuple[Callable[[Any], Callable[[Tensor], Tensor]], Callable[[Any, Tensor], Tensor]]] = {
    "vit": (lambda theirs: states(theirs.vit), lambda ours, x: ours.vision(x)),
    "clip": (clip_vector, lambda ours, x: ours.encode_image(x)),
    "siglip": (lambda theirs: states(theirs.vision_model), lambda ours, x: ours.vision(x)[0]),
    "blip-captioner": (lambda theirs: states(theirs.vision_model), lambda ours, x: ours.vision(x)),
    "blip2": (lambda theirs: states(theirs.vision_model), lambda ours, x: ours.vision(x)),
    "git": (lambda theirs: states(theirs.git.image_encoder), lambda ours, x: ours.vision(x)),
}


@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize("side", [40, 16])
def test_they_are_stretched_as_transformers_does(name: str, side: int) -> None:
    torch.manual_seed(0)
    pair = build(name)
    randomise(pair.reference, 0)
    ours, theirs = pair.ours.eval(), pair.reference.eval()
    ours.load_state_dict(translate(published(theirs), pair.names, ours.state_dict(), pair.ignored))
    assert isinstance(ours, System)
    ours.resize(side)
    reference, own = COMPARED[name]
    pictures = torch.randn(2, 3, side, side)
    with torch.no_grad():
        torch.testing.assert_close(own(ours, pictures), reference(theirs)(pictures), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", STRETCHED)
def test_a_stretched_system_is_saved_and_loaded_as_it_is(name: str, tmp_path: Path) -> None:
    system = build(name).ours.eval()
    assert isinstance(system, System)
    system.resize(48)
    loaded = System.from_pretrained(system.save_pretrained(tmp_path / "saved"))
    parts = [part for part in loaded.modules() if isinstance(part, PatchInput)]
    assert parts and all(part.grid == (48 // part.patch, 48 // part.patch) for part in parts)
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in system.state_dict().items())


def test_the_same_size_changes_nothing_and_a_ramp_stays_a_ramp() -> None:
    part = PatchInput(24, 8, 2)
    before = part.position.detach().clone()  # type: ignore[union-attr]
    part.resize(24)
    torch.testing.assert_close(part.position.detach(), before)  # type: ignore[union-attr]
    ramp = torch.arange(3.0).repeat(3, 1).flatten()[:, None].expand(9, 2)  # 0 1 2 in every row
    part.position = torch.nn.Parameter(torch.cat([torch.full((1, 2), 7.0), ramp]))
    part.resize((24, 72))
    stretched = part.position[:, 0]
    assert stretched[0] == 7.0 and part.grid == (3, 9)
    rows = stretched[1:].view(3, 9)
    # columns 0 … 8 stand at (c + ½) / 3 − ½; the middle of three new ones is an old one
    assert torch.allclose(rows[:, [1, 4, 7]], torch.tensor([0.0, 1.0, 2.0]).expand(3, 3), atol=1e-6)
    assert bool((rows.diff(dim=1)[:, 1:-1] > 0).all())


def test_published_weights_can_be_read_for_another_size(tmp_path: Path) -> None:
    pair = build("vit")
    pair.reference.save_pretrained(tmp_path / "published")
    import_weights("vit", tmp_path / "published", tmp_path / "ours", side=48)
    assert System.from_pretrained(tmp_path / "ours")(torch.zeros(1, 3, 48, 48))["states"].shape == (1, 1 + 36, 32)
    with pytest.raises(InputError, match="patches of 8 pixels do not fill a picture of 20 × 20"):
        import_weights("vit", tmp_path / "published", tmp_path / "other", side=20)
    assert not (tmp_path / "other").exists()


def test_positions_of_another_kind_are_not_stretched() -> None:
    with pytest.raises(InputError, match="MAE has no positions to be stretched"):
        build("mae").ours.resize(64)  # type: ignore[operator]
