"""Picture ↔ entity retrieval in the contrastive space, on entities that training has not seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from kemm.data.samples import Samples
from kemm.fuse.readings import Readings
from kemm.objectives.contrastive import Contrastive
from kemm.predict.reader import Reader


@torch.inference_mode()
def zero_shot(reader: Reader, caption: str) -> dict[str, dict[str, float]]:
    """Recall@1 of picture → name and name → picture by ``itc``, on test pictures of held-out entities.

    Nothing but the name and the picture is used: no facts, no picture of the entity in the index. Candidates are the
    held-out entities; beside it stands recall among all pictured entities, and what chance would give.

    Args:
        caption: what an entity's name is put into, such as ``a picture of {x}``.

    Returns:
        label → ``value``, ``n``, ``chance``; empty where the run has no ``itc`` or nothing is held out.
    """
    world = reader.world
    shown = {e: files for e, files in world.pictures()["test"].items() if files}
    held_out = sorted(entity for entity in shown if world.holdout.entity(entity))
    if "itc" not in reader.task.objectives or len(held_out) < 2:
        return {}
    everyone = held_out + sorted(shown.keys() - set(held_out))
    itc = reader.task.objectives["itc"]
    assert isinstance(itc, Contrastive)
    if set(itc.needs) != {"vision", "language"}:
        return {}
    written = world.parts.texts([caption.replace("{x}", world.label(entity)) for entity in everyone])
    pictures = world.parts.pictures([world.parts.picture(shown[entity][0]) for entity in held_out])
    texts, images = (
        itc.embed(name, Readings(reader.task.model, Samples({name: part}, part.present.long()), Counter()).pooled(name))
        for name, part in (("language", written), ("vision", pictures))
    )
    similarity = (images @ texts.T).numpy()  # (held out, everyone); the held out come first
    n, among = len(held_out), similarity[:, : len(held_out)]
    target = np.arange(n)
    figures = {
        "picture → name, among held-out entities": (among.argmax(1) == target, n),
        "name → picture, among held-out entities": (among.argmax(0) == target, n),
        "picture → name, among all pictured entities": (similarity.argmax(1) == target, len(everyone)),
    }
    return {
        name: {"value": round(float(right.mean()), 4), "n": n, "chance": round(1 / candidates, 4)}
        for name, (right, candidates) in figures.items()
    }
