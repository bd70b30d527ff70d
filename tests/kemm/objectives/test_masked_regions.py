"""Regions of a detector: how they come in, what is hidden of them, and what is to be said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from kemm.data.parts import PartMaker
from kemm.objectives.masked_regions import MaskedRegions
from kemm.pretrain.task import PretrainTask
from kg.errors import InputError
from tests.kemm import tiny_batch
from tests.kemm.tiny_batch import task_of as task


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("target", ["features", "class", "distribution"])
def test_what_a_region_shows_is_said_from_its_place_alone(target: str) -> None:
    made, batch = task(masked_regions={"target": target, "rate": 0.5}).eval(), tiny_batch.batch(is_told=True)
    masked, samples = made.objectives["masked_regions"], batch.samples
    assert isinstance(masked, MaskedRegions) and samples is not None
    said, right, hidden = masked.compared(made.encode(batch, generator()))
    part = samples.parts["regions"]
    assert part.raw is not None and part.mask is not None
    assert hidden.any(1).all() and not (hidden & ~part.mask).any()
    other = part.raw.clone()
    other[..., :6] = torch.where(hidden[..., None], 5.0, other[..., :6])
    changed = replace(samples, parts={**samples.parts, "regions": replace(part, raw=other)})
    again = masked.compared(made.encode(replace(batch, samples=changed), generator()))
    assert torch.equal(said[hidden], again[0][hidden])
    other[..., 6:10] = torch.where(hidden[..., None], 0.5, other[..., 6:10])  # its box
    assert not torch.equal(
        said[hidden], masked.compared(made.encode(replace(batch, samples=changed), generator()))[0][hidden]
    )
    z, y = said[hidden], right[hidden]
    expected = {
        "features": (z - y).square().mean() if target == "features" else None,
        "class": None if target == "features" else -z.log_softmax(1)[torch.arange(len(z)), y.argmax(1)].mean(),
        "distribution": None if target == "features" else (y * (y.log() - z.log_softmax(1))).sum(1).mean(),
    }[target]
    torch.testing.assert_close(masked(made.encode(batch, generator())), expected)


def test_without_a_detectors_judgement_its_classes_cannot_be_asked_for() -> None:
    settings, context = tiny_batch.settings([]), tiny_batch.context()
    chosen = {**settings.model_dump(), "objectives": {"masked_regions": {"target": "class"}}}
    made = type(settings).model_validate(chosen)
    with pytest.raises(InputError, match=r"needs the classes .*set model\.towers\.regions\.classes$"):
        PretrainTask(made, replace(context, regions=(6, 0)))


def maker() -> PartMaker:
    settings: Any = tiny_batch.settings([])
    found = object.__new__(PartMaker)
    found.settings = cast(Any, SimpleNamespace(model=settings.model))
    return found


def test_regions_are_read_from_a_file_of_arrays_and_the_first_are_taken(tmp_path: Path) -> None:
    features, boxes = np.arange(24.0).reshape(4, 6), np.full((4, 4), 0.5)
    np.savez(tmp_path / "four.npz", features=features, boxes=boxes, classes=np.full((4, 5), 0.2))
    np.savez(tmp_path / "one.npz", features=features[:1], boxes=boxes[:1], classes=np.full((1, 5), 0.2))
    part = maker().regions([str(tmp_path / "four.npz"), None, str(tmp_path / "one.npz")])
    assert part.raw is not None and part.raw.shape == (3, 3, 15) and part.mask is not None
    assert part.present.tolist() == [True, False, True] and part.mask.sum(1).tolist() == [3, 0, 1]
    assert part.raw[0, 2].tolist() == pytest.approx([12, 13, 14, 15, 16, 17, *[0.5] * 4, *[0.2] * 5])


def test_a_file_without_these_arrays_is_named_with_what_is_wanted(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", features=np.zeros((2, 6)))
    (tmp_path / "text.npz").write_text("no arrays")
    for name in ("bare.npz", "text.npz", "none.npz"):
        with pytest.raises(InputError, match=r"features \(R, 6\), boxes \(R, 4\), classes \(R, 5\) is needed"):
            maker().regions([str(tmp_path / name)])
