"""What the picture benchmarks train on a frozen tower's features: a linear head, and kemm's own picture linker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np


def linear_head(features: Any, targets: Any, num_classes: int, decay: float, seed: int = 0) -> Any:
    """Multinomial logistic regression on standardised features, L-BFGS; returns features (B, D) → logits (B, E).

    Args:
        decay: of the squared weights, a mean over the examples.
    """
    import torch

    torch.manual_seed(seed)
    mean, scale = features.mean(0), features.std(0) + 1e-6
    x = torch.from_numpy(((features - mean) / scale).astype(np.float32))
    y = torch.from_numpy(targets)
    head = torch.nn.Linear(x.shape[1], num_classes)
    torch.nn.init.zeros_(head.weight)
    solver = torch.optim.LBFGS(head.parameters(), max_iter=150, line_search_fn="strong_wolfe")

    def step() -> Any:
        solver.zero_grad()
        loss = torch.nn.functional.cross_entropy(head(x), y) + decay * head.weight.square().sum()
        loss.backward()
        return loss

    solver.step(step)
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    return lambda asked: (asked - mean) / scale @ weight.T + bias


def entity_image_linker(
    features: Any,
    targets: Any,
    known: Any,
    width: int = 256,
    steps: int = 400,
    batch: int = 128,
    rate: float = 1.5e-3,
    seed: int = 0,
) -> Any:
    """The projection of kemm's objective ``entity_image``, trained alone; returns features (B, D) → logits (B, E).

    Pictures only: no text, no neighbours, no augmented views, no other objective beside it.

    Args:
        features, targets: of n pictures to train on, and the entity that each shows, 0 … E − 1.
        known: (E, D) the mean features of each entity's pictures.
        rate: the highest learning rate; a cosine down from it.
    """
    import torch

    from kemm.data.batch import Batch, PicturedEntities, Pictures
    from kemm.data.lexicon import Lexicon
    from kemm.fuse.encoded import Encoded
    from kemm.fuse.knowledge import EntityEncoder
    from kemm.objectives.entity_contrast import EntityImage
    from kemm.objectives.objective import Context
    from kemm.settings.objectives.contrastive import EntityImage as Settings

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    text = 8  # the width of texts, of which there are none
    model: Any = SimpleNamespace(entity=EntityEncoder(text, features.shape[1], width))
    nothing_said = Lexicon(None, torch.zeros(1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool))
    context = Context(width, features.shape[1], text, {}, {}, text, nothing_said)
    objective = EntityImage(Settings(), context)
    weights = [*model.entity.parameters(), *objective.parameters()]
    solver = torch.optim.AdamW(weights, lr=rate, weight_decay=0.05)
    plan = torch.optim.lr_scheduler.OneCycleLR(solver, rate, total_steps=steps, pct_start=0.1)
    x, y = torch.from_numpy(features), torch.from_numpy(targets)
    entities = torch.from_numpy(known.astype(np.float32))
    nothing = torch.zeros(len(known), text)
    shown = PicturedEntities(nothing, entities, nothing, torch.zeros(len(known), dtype=torch.bool))
    count = torch.bincount(y, minlength=len(known)).float()
    total = torch.zeros_like(entities).index_add_(0, y, x)
    for _ in range(steps):
        chosen = torch.from_numpy(rng.choice(len(x), min(batch, len(x)), replace=False))
        own = y[chosen]
        left = (count[own] - 1).clamp(min=0)[:, None]
        others = torch.where(left > 0, (total[own] - x[chosen]) / left.clamp(min=1), torch.zeros(()))
        encoded = Encoded(model, Batch(pictures=Pictures(x[chosen], others, own), entities=shown))
        loss = objective(encoded)
        solver.zero_grad()
        loss.backward()
        solver.step()
        plan.step()
    objective.eval()

    @torch.inference_mode()
    def logits(asked: Any) -> Any:
        pictures = model.entity(pictures=torch.from_numpy(asked.astype(np.float32)))
        return objective.logits(pictures, model.entity(pictures=entities)).numpy()

    return logits
