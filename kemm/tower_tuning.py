"""Tune a picture tower to the pictures of a graph's entities, before anything else is learned on its features."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.data.pictures import LowerBank, by_split
from kemm.data.questions import Holdout
from kemm.encoders import build_encoder
from kemm.encoders.tuned import ABOUT, save_tower
from kemm.encoders.vision import VisionTower
from kemm.progress import Progress, bars
from kemm.settings import Settings
from kemm.whole_folder import check_free, written_whole
from kg.errors import InputError

SCALE, SMOOTHING = 16.0, 0.1
READ = 64  # pictures at a time where nothing is learned
BLENDS = (0.25, 0.5, 0.75)  # shares of tuned weights
FEWEST = 4  # pictures of an entity of which some are kept apart


class Photos(NamedTuple):
    """What enters the trained blocks, of N pictures by their files, and the number of the entity each shows."""

    files: Sequence[str]
    entity: np.ndarray


class Choice(NamedTuple):
    """Weights: how many pictures they link, after which epoch, what share of them is tuned."""

    linked: float
    epoch: int
    share: float
    weights: dict[str, Any]


def tune(
    settings: Settings,
    out: Path,
    blocks: int = 2,
    epochs: int = 12,
    views: int = 2,
    batch: int = 32,
    rate: float = 3e-4,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Teach the last blocks of ``model.vision`` which entity a picture shows, and write the tower.

        L = CE(s · cos(v̄, w_e)), v̄ the mean feature of a picture, w_e learned for each entity from its pictures' mean

    with s = 16 and labels smoothed by 0.1 (NormFace, Wang et al., 2017, arXiv:1704.06369). Entities that the settings
    hold out, and ``dev`` and test pictures, are not learned from. Neither is a group of each entity's training pictures
    that are alike and unlike its others, taken another day or elsewhere: kept are the weights by which the most of
    these are nearest the mean of their entity's pictures, among those after each epoch, the last ones blended with the
    untuned (WiSE-FT, Wortsman et al., 2022, arXiv:2109.01903) and the untuned.

    Args:
        settings: of the run to come: its store, its split of pictures, its held-out entities.
        out: folder to write; ``model.vision: tuned:FOLDER`` and ``kemm index --vision tuned:FOLDER`` take it.
        blocks: how many of the tower's last blocks are trained.
        views: augmented views of each picture besides itself.
        rate: AdamW's learning rate, falling as a cosine.

    Returns:
        Counts; ``before`` and ``after``, shares of the groups' pictures that are linked rightly, ``dev_before`` and
        ``dev_after``, of ``dev`` pictures; the ``epoch`` kept, and the ``share`` of its weights in the blend; seconds.

    Raises:
        StoreMissing, InputError: there are no pictures to learn from, or the tower can't be trained in part.
    """
    if progress is None:
        with bars() as shown:
            return tune(settings, out, blocks, epochs, views, batch, rate, shown)
    started = time.perf_counter()
    check_free(out, ABOUT, "a tuned tower")
    train, dev, names = _photos(settings)
    torch.manual_seed(settings.train.seed)
    base = settings.model.vision
    tower: VisionTower = build_encoder(base).float().requires_grad_(True)
    tower.freeze(blocks)
    if not tower.num_frozen:
        raise InputError(
            f"{base} is no chain of blocks of which the last {blocks} could be tuned; choose another tower"
        )
    bank = LowerBank(tower, settings.run / "features")
    tick = progress("encode pictures", len(train.files) * (1 + views) + len(dev.files))
    bank.compute(train.files, 1 + views, tick)
    bank.compute(dev.files, 1, tick)
    pooled = _pooled(tower, bank, train.files)
    is_apart = apart(pooled.numpy(), train.entity)
    learned = np.flatnonzero(~is_apart)

    def judged(features: Tensor) -> float:
        """Share of the pictures kept apart that are nearest their own entity."""
        means = _means(features[learned], train.entity[learned], len(names))
        return _linked(means, features[is_apart], train.entity[is_apart])

    def dev_linked(features: Tensor) -> float:
        return _linked(_means(features, train.entity, len(names)), _pooled(tower, bank, dev.files), dev.entity)

    dev_before, linked = dev_linked(pooled), [judged(pooled)]
    untuned = copy.deepcopy(tower.state_dict())
    best = Choice(linked[0], 0, 0.0, untuned)
    heads = nn.Parameter(_means(pooled[learned], train.entity[learned], len(names)))
    chosen = [weight for weight in tower.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": chosen, "lr": rate, "weight_decay": 0.05},
            {"params": [heads], "lr": 10 * rate, "weight_decay": 0.0},
        ]
    )
    steps = math.ceil(len(learned) / batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _falling(epochs * steps))
    random = np.random.default_rng(settings.train.seed)
    tick = progress("tune", epochs * steps)
    for epoch in range(1, epochs + 1):
        tower.train()
        for rows in np.array_split(random.permutation(learned), steps):
            maps = _maps(bank, [train.files[row] for row in rows], random.integers(0, 1 + views, len(rows)).tolist())
            logits = SCALE * F.normalize(tower.upper(maps).mean((2, 3)), dim=-1) @ F.normalize(heads, dim=-1).T
            loss = F.cross_entropy(logits, torch.from_numpy(train.entity[rows]), label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([*chosen, heads], 1.0)
            optimizer.step()
            schedule.step()
            tick(1, f"loss {loss.item():.2f}")
        linked.append(judged(_pooled(tower, bank, train.files)))
        if linked[-1] > best.linked:
            best = Choice(linked[-1], epoch, 1.0, copy.deepcopy(tower.state_dict()))
    last, blended = copy.deepcopy(tower.state_dict()), {}
    for share in BLENDS:
        tower.load_state_dict(_blend(untuned, last, share))
        blended[share] = judged(_pooled(tower, bank, train.files))
        if blended[share] > best.linked:
            best = Choice(blended[share], epochs, share, copy.deepcopy(tower.state_dict()))
    tower.load_state_dict(best.weights)
    found = {
        "entities": len(names),
        "pictures": len(learned),
        "apart": int(is_apart.sum()),
        "dev": len(dev.files),
        "before": round(linked[0], 4),
        "after": round(best.linked, 4),
        "epoch": best.epoch,
        "share": best.share,
        "by_epoch": [round(share, 4) for share in linked],
        "by_share": {str(share): round(value, 4) for share, value in blended.items()},
        "dev_before": round(dev_before, 4),
        "dev_after": round(dev_linked(_pooled(tower, bank, train.files)), 4),
    }
    with written_whole(out, ABOUT, "a tuned tower") as folder:
        save_tower(tower, base, folder, {"blocks": blocks, "seed": settings.train.seed, **found})
    return {**found, "out": str(out), "seconds": round(time.perf_counter() - started, 2)}


def _photos(settings: Settings) -> tuple[Photos, Photos, list[str]]:
    """Training pictures and ``dev`` ones of entities that are not held out, and the entities."""
    from kg.store.graph import KnowledgeGraph

    with KnowledgeGraph.open(settings.data.store, create=False) as graph:
        split = by_split(graph.pictures(), settings.data, settings.train.seed)
    holdout = Holdout(settings.questions, settings.train.seed)
    names = sorted(name for name in split["train"] if not holdout.entity(name))
    if len(names) < 2 or not any(split["dev"].get(name) for name in names):
        raise InputError(
            f"{settings.data.store} has too few pictures to tune a tower to: at least two entities in "
            f"{', '.join(settings.data.train_splits)}, one of them with four"
        )

    def photos(of: Mapping[str, Sequence[str]]) -> Photos:
        rows = [(file, number) for number, name in enumerate(names) for file in of.get(name, ())]
        return Photos([file for file, _ in rows], np.array([number for _, number in rows]))

    return photos(split["train"]), photos(split["dev"]), names


def apart(pooled: np.ndarray, entity: np.ndarray) -> np.ndarray:
    """Which pictures to judge by: of each entity with four or more a group that is unlike its others, (N,) bool.

    Of the tree of its pictures (average linkage of the cosine distances of their features) that branch is taken which
    has an eighth to a half of them and is the longest: alike within, far from the rest.

    Args:
        pooled: (N, D) features. entity: (N,) numbers.
    """
    from scipy.cluster.hierarchy import linkage

    chosen = np.zeros(len(entity), dtype=bool)
    for number in np.unique(entity):
        rows = np.flatnonzero(entity == number)
        if len(rows) < FEWEST:
            continue
        groups, heights = [[row] for row in rows], [0.0] * len(rows)
        longest, best = -1.0, rows[:0].tolist()
        for one, two, height, _ in linkage(pooled[rows], "average", "cosine"):
            for child in (int(one), int(two)):
                size = len(groups[child])
                if len(rows) / 8 <= size <= len(rows) / 2 and height - heights[child] > longest:
                    longest, best = height - heights[child], groups[child]
            groups.append(groups[int(one)] + groups[int(two)])
            heights.append(height)
        chosen[best] = True
    return chosen


def _blend(first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights between two, ``share`` of the second; whole numbers are the second's."""
    return {
        name: torch.lerp(first[name], value, share) if value.is_floating_point() else value
        for name, value in second.items()
    }


def _maps(bank: LowerBank, files: Sequence[str], views: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.stack([bank.get(file, view) for file, view in zip(files, views, strict=True)]))


@torch.no_grad()
def _pooled(tower: VisionTower, bank: LowerBank, files: Sequence[str]) -> Tensor:
    """(N, D) mean features of the pictures themselves."""
    was = tower.training
    tower.eval()
    parts = [files[start : start + READ] for start in range(0, len(files), READ)]
    found = torch.cat([tower.upper(_maps(bank, part, [0] * len(part))).mean((2, 3)) for part in parts])
    tower.train(was)
    return found


def _means(pooled: Tensor, entity: np.ndarray, entities: int) -> Tensor:
    """(N, D) features of pictures and the entities they show → (E, D) the mean over each entity's pictures."""
    own = torch.from_numpy(entity)
    counts = own.bincount(minlength=entities).clamp(min=1)
    return pooled.new_zeros(entities, pooled.shape[1]).index_add_(0, own, pooled) / counts[:, None]


def _linked(means: Tensor, pooled: Tensor, entity: np.ndarray) -> float:
    """Share of pictures (N, D) whose nearest of the means (E, D) is their own entity's."""
    nearest = (F.normalize(pooled, dim=-1) @ F.normalize(means, dim=-1).T).argmax(1).numpy()
    return float((nearest == entity).mean())


def _falling(steps: int) -> Any:
    """Up for a tenth of the steps, then down as a cosine."""
    first = max(1, steps // 10)
    return lambda step: (
        min(1.0, (step + 1) / first) * 0.5 * (1 + math.cos(math.pi * max(0, step - first) / max(1, steps - first)))
    )
