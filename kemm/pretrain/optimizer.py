"""AdamW with a warm-up and a cosine; norms, biases and single numbers are not decayed."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from kemm.encoders.encoder import layer_groups
from kemm.settings import TrainSettings


def build_optimizer(task: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, 2019, arXiv:1711.05101).

    The link predictor's embedding matrices are shallow and see other data than the rest: they learn at their own rate.
    Tuned towers learn more slowly, their lower blocks the more so; learned weights of losses are not decayed.
    """
    groups: dict[str, list[nn.Parameter]] = {"decayed": [], "plain": [], "shallow": []}
    for name, parameter in task.named_parameters():
        if not parameter.requires_grad or ".tower." in name:
            continue
        if name.startswith("objectives.link_prediction."):
            groups["shallow"].append(parameter)
        else:
            groups["decayed" if parameter.dim() > 1 else "plain"].append(parameter)
    shallow = getattr(getattr(getattr(task, "objectives", {}), "link_prediction", None), "settings", None)
    ratio = shallow.learning_rate / settings.learning_rate if shallow is not None else 1.0
    made = [
        {"params": groups["decayed"], "weight_decay": settings.weight_decay, "scale": 1.0},
        {"params": groups["plain"], "weight_decay": 0.0, "scale": 1.0},
        {"params": groups["shallow"], "weight_decay": 0.0, "scale": ratio},
        *_towers(task, settings),
    ]
    return torch.optim.AdamW([group for group in made if group["params"]], lr=settings.learning_rate, betas=(0.9, 0.98))


def _towers(task: nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    """Groups of the model's tuned towers, slower by depth."""
    model: Any = getattr(task, "model", None)
    groups = []
    for name, entrance in getattr(model, "inputs", {}).items():
        if entrance.tower is not None:
            chosen = getattr(model.settings.towers, name)
            for group in layer_groups(entrance.tower, chosen.decay, settings.weight_decay):
                groups.append({**group, "scale": group["scale"] * chosen.rate})
    return groups


def learning_rate(step: int, settings: TrainSettings) -> float:
    """η · min(1, (t + 1) / warm-up), then a cosine from η down to a hundredth of it."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
