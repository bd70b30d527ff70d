"""Small models of several modalities, drawn with a seed: what is tested is what they owe."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kg.embeddings import FUSION_MODELS
from kg.embeddings.fused import FusedModel
from kg.embeddings.modalities import Modality
from kg.registry import resolve

E, R = 7, 3
OPTIONS: dict[str, dict[str, Any]] = {
    "mygo": {"base": "distmult", "dimension": 8, "hidden": 16},
    "momok": {"base": "tucker", "dimension": 4, "base_options": {"batch_norm": True}},
}
TEXT_UNKNOWN, PICTURE_UNKNOWN = [2, 5], [0, 2]


def modalities(*, nobody: bool = False) -> list[Modality]:
    """Texts of width 5, and pictures of three tokens of width 4; entity 2 has neither, ``nobody``: no entity has."""
    random = np.random.default_rng(0)
    found = []
    for name, tokens, width, unknown in (("text", 1, 5, TEXT_UNKNOWN), ("picture", 3, 4, PICTURE_UNKNOWN)):
        known = np.ones((E, tokens), dtype=bool)
        known[slice(None) if nobody else unknown] = False
        if tokens > 1 and not nobody:
            known[3, 1:] = False
        vectors = random.normal(size=(E, tokens, width)).astype(np.float32) * known[..., None]
        found.append(Modality(name, vectors, known))
    return found


def build(name: str, given: list[Modality] | None = None, **more: Any) -> FusedModel:
    options = {"dimension": 6, "initial": 0.7, "seed": 3, **OPTIONS.get(name, {}), **more}
    make = resolve(FUSION_MODELS, name, "model of several modalities")
    model: FusedModel = make(E, R, modalities=modalities() if given is None else given, **options)
    with torch.no_grad():
        for label, parameter in model.named_parameters():
            if not parameter.abs().max() > 0:  # what starts at 0 would hide what it does
                torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(len(label)))
    return model.eval()


def queries() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.tensor([0, 1, 2, 6, 3]), torch.tensor([0, 1, 2, 1, 0]), torch.tensor([4, 1, 5, 0, 6])
