"""The task of a run from its settings and its world."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from kemm.data.world import World
from kemm.encoders import tuned_towers
from kemm.objectives.objective import Context
from kemm.pretrain.task import PretrainTask
from kemm.settings import Settings


def build_task(settings: Settings, world: World, vocabulary: Sequence[str]) -> PretrainTask:
    """The task of a run, with fresh weights by its seed."""
    torch.manual_seed(settings.train.seed)
    towers = {"vision": world.vision, "language": world.text, **tuned_towers(settings.model)}
    return PretrainTask(settings, context_of(settings, world, vocabulary, towers))


def context_of(settings: Settings, world: World, vocabulary: Sequence[str], towers: dict) -> Context:
    """What heads are sized by; see ``Context``."""
    model, chosen = settings.model, settings.model.towers
    side = chosen.vision.size // chosen.vision.patch if chosen.vision.mode == "scratch" else model.grid
    pooled = {
        "vision": model.width if chosen.vision.mode == "scratch" else world.vision.width,
        "language": model.width if chosen.language.mode == "scratch" else world.text.width,
        "knowledge": model.width,
    }
    grids = {"vision": (side, side)}
    if chosen.audio is not None:
        pooled["audio"] = model.width
        grids["audio"] = (chosen.audio.size // chosen.audio.patch, chosen.audio.frames // chosen.audio.patch)
    if chosen.video is not None:
        pooled["video"] = model.width
        grids["video"] = (chosen.video.size // chosen.video.patch,) * 2
    if chosen.regions is not None:
        pooled["regions"] = model.width
        grids["regions"] = (chosen.regions.most, 1)
    return Context(
        width=model.width,
        vision_width=world.vision.width,
        text_width=world.text.width,
        pooled=pooled,
        grids=grids,
        word_width=model.width if chosen.language.mode == "scratch" else world.text.width,
        lexicon=world.text.lexicon(),
        vocabulary=tuple(vocabulary),
        has_pixels=world.parts.has_pixels,
        has_features=world.parts.has_features,
        regions=(chosen.regions.features, chosen.regions.classes) if chosen.regions is not None else (0, 0),
        frames=chosen.video.frames if chosen.video is not None else 0,
        towers=towers,
        entity_vectors=world.entity_vectors,
    )
