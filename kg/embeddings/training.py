"""Fit an embedding model: epochs over shuffled triples, a look at the validation split, checkpoints, going on.

    found = fit(model, triples, objective, optimizer, epochs=30, batch=1000, folder=Path("runs/kg/fb15k-237"))

The order of an epoch, its draws and its dropout depend on the seed, the epoch and the step alone, so training that was
interrupted and goes on ends where it would have ended, on the same device. Batches and negatives are drawn on the
processor: they are the same on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kg import devices
from kg.embeddings import checkpoint, interrupts
from kg.embeddings.figures import summarise
from kg.embeddings.known import Known
from kg.embeddings.model import KGEModel
from kg.embeddings.objectives import Objective
from kg.embeddings.pace import Pace
from kg.embeddings.ranking import rank
from kg.embeddings.triples import Triples
from kg.errors import InputError


@dataclass
class History:
    """What happened: the loss of each epoch, validation figures with their epoch, and where training stands."""

    losses: list[float] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)
    epoch: int = 0
    step: int = 0
    running: float = 0.0

    @property
    def best(self) -> dict[str, float]:
        """The validation with the highest MRR; empty before the first."""
        return max(self.validations, key=lambda found: found["mrr"], default={})

    @property
    def since_best(self) -> int:
        """Validations since then."""
        return len(self.validations) - 1 - self.validations.index(self.best) if self.validations else 0


def finite(loss: torch.Tensor, history: History) -> float:
    """Return the loss of a step.

    Raises:
        InputError: it is NaN or infinite, and so is what training would leave from here on.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise InputError(
            f"the loss is {value} in epoch {history.epoch + 1}, step {history.step + 1}: lower training.learning_rate "
            "(the last checkpoint is from before)"
        )
    return value


def fit(
    model: KGEModel,
    triples: Triples,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    batch: int,
    folder: Path,
    seed: int = 0,
    decay: float = 1.0,
    every: int = 5,
    limit: int | None = None,
    patience: int = 0,
    resume: bool = True,
    pace: Pace = Pace(),  # noqa: B008 - by default it has no clock, so no state
    mixed_precision: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> History:
    """Train where the model is, keep the best model in ``folder/best`` and load it at the end.

    Args:
        epochs, batch: how often all rows are gone through, rows a step.
        decay: the learning rate's factor an epoch.
        every: epochs between looks at the validation split; without one, the last model is the best.
        limit: triples of it that are ranked.
        patience: looks without a better MRR after which training stops; 0: never.
        resume: go on from ``folder/last``.
        pace: when to write checkpoints within an epoch, and when to stop. A run that stops for it gives back what
            happened so far and leaves the model as it stands.
        mixed_precision: compute losses under bfloat16 autocast; ranks are of float32 all the same.
        note: called with a line on each epoch.

    Raises:
        InputError: the checkpoint there is of another vocabulary or model (see ``kg.embeddings.checkpoint``), or the
            loss is no longer a number.
        KeyboardInterrupt: after the step in hand is done and a checkpoint is written.
    """
    fingerprint, last = triples.fingerprint(), folder / "last"
    history = History()
    rows, batch = objective.rows(), objective.rows_a_step(batch)
    if resume and (about := checkpoint.read_about(last)) is not None:
        checkpoint.load_model(last, model, fingerprint)
        checkpoint.load_optimizer(last, optimizer)
        history = History(**about["history"])
        note(f"going on at epoch {history.epoch + 1}, step {history.step}")
    device = model.device
    has_valid = "valid" in triples.splits and len(triples.splits["valid"]) > 0
    known = Known(triples.splits.values(), triples.num_entities)
    rates = [group["lr"] for group in optimizer.param_groups]  # checkpoints hold none: they are what was asked for

    def keep(target: Path, with_optimizer: bool) -> None:
        about: dict[str, Any] = {"fingerprint": fingerprint, "history": vars(history)}
        checkpoint.save(target, model, optimizer if with_optimizer else None, about)
        pace.written()

    with interrupts.held() as interrupt, devices.repeatable(device):
        while history.epoch < epochs and not (patience and history.since_best >= patience):
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * decay**history.epoch
            order = np.random.default_rng([seed, history.epoch]).permutation(len(rows))
            model.train()
            while history.step * batch < len(rows):
                chosen = order[history.step * batch : (history.step + 1) * batch]
                torch.manual_seed(hash((seed, history.epoch, history.step)) % 2**62)
                draws = np.random.default_rng([seed, history.epoch, history.step])
                with torch.autocast(device.type, torch.bfloat16, enabled=mixed_precision):
                    loss = objective(torch.from_numpy(rows[chosen]), draws)
                lost = finite(loss, history)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                model.constrain()
                history.running += lost * len(chosen)
                history.step += 1
                is_over = pace.is_over()
                if interrupt.is_asked or is_over or pace.is_due():
                    keep(last, True)
                if interrupt.is_asked:
                    raise KeyboardInterrupt
                if is_over:
                    return history
            history.losses.append(history.running / len(rows))
            history.epoch, history.step, history.running = history.epoch + 1, 0, 0.0
            line = f"epoch {history.epoch}: loss {history.losses[-1]:.4f}"
            if has_valid and (history.epoch % every == 0 or history.epoch == epochs):
                ranks = rank(model, triples, "valid", known=known, limit=limit)
                found = {"epoch": float(history.epoch), **summarise(ranks.realistic, ranks.candidates)}
                history.validations.append(found)
                line += f", validation MRR {found['mrr']:.4f}, hits@10 {found['hits@10']:.4f}"
                if history.best is found:
                    keep(folder / "best", False)
            keep(last, True)
            note(line)
    if not has_valid:
        keep(folder / "best", False)
    checkpoint.load_model(folder / "best", model, fingerprint)
    return history
