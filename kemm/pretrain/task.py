"""One module that owns the model and its objectives, so that every head trains, saves and distributes with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from kemm.data.batch import Batch
from kemm.encoders.momentum import MomentumCopy
from kemm.fuse.encoded import Encoded
from kemm.fuse.model import KEMM
from kemm.objectives import OBJECTIVES
from kemm.objectives.hiding import FactHiding, PatchHiding, Plan, WordHiding
from kemm.objectives.losses.weighting import by_uncertainty, scheduled, weighted_sum
from kemm.objectives.objective import Context, Objective
from kemm.settings import Settings
from kemm.settings.objectives.base import Schedule
from kg.errors import InputError
from kg.registry import resolve


class PretrainTask(nn.Module):
    """Model and objectives; a forward returns every objective's loss.

    Args:
        settings: which objectives, how weighted, all of them a step or one.
        context: what heads are sized by.

    Raises:
        InputError: no objective is set.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        chosen = {name: getattr(settings.objectives, name) for name in OBJECTIVES}
        chosen = {name: part for name, part in chosen.items() if part is not None}
        if not any(part.weight for part in chosen.values()):
            raise InputError(f"no objective is set; choose some of {', '.join(OBJECTIVES)} under 'objectives'")
        self.model = KEMM(
            settings.model,
            context.vision_width,
            context.text_width,
            context.entity_vectors,
            context.towers,
            context.num_words,
        )
        self.objectives = nn.ModuleDict(
            {name: resolve(OBJECTIVES, name, "objective")(part, context) for name, part in chosen.items()}
        )
        self.weights: dict[str, float | Schedule] = {name: part.weight for name, part in chosen.items()}
        self.tasks, self.seed, self.lexicon = settings.train.tasks, settings.train.seed, context.lexicon
        self.plan = _plan(self.parts().values())
        wants_momentum = any(part.wants_momentum for part in self.parts().values())
        self.slow = MomentumCopy(self.model, settings.model.momentum) if wants_momentum else None
        is_learned = settings.train.weighting == "uncertainty"
        self.log_variance = nn.Parameter(torch.zeros(len(chosen))) if is_learned else None

    def parts(self) -> dict[str, Objective]:
        """The objectives by name."""
        return {name: cast(Objective, part) for name, part in self.objectives.items()}

    def weights_at(self, step: int) -> dict[str, float]:
        """The objectives of a step with their weights; of ``train.tasks: one`` a single one, drawn by weight."""
        now = {}
        for name, weight in self.weights.items():
            if isinstance(weight, Schedule):
                weight = scheduled(step, weight.start, weight.end, weight.steps, weight.warmup, weight.shape)
            if weight > 0:
                now[name] = weight
        if self.tasks == "all" or len(now) < 2:
            return now
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        drawn = int(torch.multinomial(torch.tensor(list(now.values())), 1, generator=generator))
        return {list(now)[drawn]: 1.0}

    def encode(self, batch: Batch, generator: torch.Generator | None = None) -> Encoded:
        """One step's encodings, none of them computed yet."""
        slow = cast(KEMM, self.slow.copy) if self.slow is not None else None
        return Encoded(self.model, batch, generator, self.plan, self.lexicon, slow)

    def forward(self, batch: Batch, generator: torch.Generator | None = None, step: int = 0) -> dict[str, Tensor]:
        """Return name → loss, unweighted; ``total`` is their weighted sum.

        An objective of weight zero is left out; one whose kind of data the batch lacks raises ``MissingModality``.
        """
        encoded, weights = self.encode(batch, generator), self.weights_at(step)
        losses = {name: self.objectives[name](encoded) for name in weights}
        losses["total"] = self.total(losses, weights)
        return losses

    def total(self, losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        """The sum that is trained on: by weights, and by learned uncertainty where that is set."""
        if self.log_variance is None:
            return weighted_sum(losses, weights)
        rows = [list(self.weights).index(name) for name in losses]
        values = torch.stack([weights[name] * loss.float() for name, loss in losses.items()])
        kinds = torch.tensor([self.parts()[name].is_regression for name in losses], device=values.device)
        return by_uncertainty(values, self.log_variance[rows], kinds)

    @torch.no_grad()
    def evaluate(self, batch: Batch, generator: torch.Generator) -> dict[str, dict[str, float]]:
        """Loss and metrics of each objective on a held-out batch; one that the batch has nothing for is left out."""
        was_training = self.training
        self.eval()
        found: dict[str, dict[str, float]] = {}
        encoded = self.encode(batch, generator)
        for name, part in self.parts().items():
            if is_met(part.needs, kinds_of(batch)):
                found[name] = {"loss": part(encoded).item(), **part.metrics(encoded)}
        self.train(was_training)
        return found

    def after_step(self) -> None:
        """Let slow copies follow and queues take in; called once after each step of the optimizer."""
        if self.slow is not None:
            self.slow.update(self.model)
        for part in self.parts().values():
            part.after_step()

    def check(self, kinds: Mapping[str, frozenset[str]]) -> None:
        """See that each objective that weighs something has data to train on.

        Args:
            kinds: source → what its rows have: modalities of the same thing, or "questions", "edges", …

        Raises:
            InputError: one has none; names it and what there is.
        """
        for name, part in self.parts().items():
            if self.weights[name] != 0 and not is_met(part.needs, kinds.values()):
                have = ", ".join(f"{source}: {' and '.join(sorted(kind))}" for source, kind in kinds.items()) or "none"
                raise InputError(
                    f"objectives.{name} needs {' and '.join(part.needs)}, which no source of this run has ({have}); "
                    "ask for more under 'train' (pairs, texts, pictures, media, questions), or drop the objective"
                )


def is_met(needs: tuple[str, ...], kinds: Iterable[frozenset[str]]) -> bool:
    """Whether one of the kinds has all that is needed."""
    return any(set(needs) <= kind for kind in kinds)


def kinds_of(batch: Batch) -> list[frozenset[str]]:
    """What a batch has."""
    found = []
    if batch.samples is not None:
        samples = batch.samples
        names = [*samples.parts, *samples.further, "label", "span"]
        names += ["knowledge"] if samples.facts is not None else []
        present = torch.stack([samples.present(name) for name in names], dim=1)

        def of(rows: torch.Tensor) -> list[frozenset[str]]:
            return [frozenset(name for name, is_there in zip(names, row, strict=True) if is_there) for row in rows]

        found += of(present.unique(dim=0))
        if samples.mentions is not None:
            found += [kind | {"mentions"} for kind in of(present[samples.mentions.row].unique(dim=0))]
        if samples.links is not None:
            found += [kind | {"links"} for kind in of(present[samples.links.rows].unique(dim=0))]
    named = {"questions": batch.questions, "edges": batch.edges}
    found += [frozenset({name}) for name, part in named.items() if part is not None]
    if batch.pictures is not None and batch.entities is not None:
        found.append(frozenset({"pictured entities"}))
    return found


def _plan(parts: Iterable[Objective]) -> Plan:
    """What the joint masked forward hides: the first objective's choice of words, and of each modality's patches."""
    words: WordHiding | None = None
    patches: dict[str, PatchHiding] = {}
    nodes, facts = 0.0, None
    for part in parts:
        if isinstance(part.hides, WordHiding):
            words = words or part.hides
        elif isinstance(part.hides, PatchHiding):
            patches.setdefault(part.hides.of, part.hides)
        elif isinstance(part.hides, FactHiding) and part.needs == ("questions",):
            nodes = nodes or part.hides.nodes
        elif isinstance(part.hides, FactHiding):
            facts = part.hides.joined(facts)
    return Plan(words, tuple(patches.values()), nodes, facts)
