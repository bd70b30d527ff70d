"""Fit a model part by part: epochs over pairs of parts, a look at the validation split, going on after a kill.

An epoch trains on the triples between the two parts in memory, both ways, and on those within a part when it is first
held; negatives are drawn from the two. Order, draws and dropout depend on the seed, the epoch, the pair and the step
alone, so training that was killed and goes on ends where it would have ended.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from kg.embeddings import interrupts
from kg.embeddings.figures import summarise
from kg.embeddings.known import Known
from kg.embeddings.negatives import NegativeSampling
from kg.embeddings.objectives import with_reciprocals
from kg.embeddings.optimizers import RowOptimizer
from kg.embeddings.pace import Pace
from kg.embeddings.partitions.buckets import Buckets
from kg.embeddings.partitions.export import export
from kg.embeddings.partitions.plan import Plan
from kg.embeddings.partitions.ranking import rank
from kg.embeddings.partitions.tables import Tables
from kg.embeddings.training import History, finite
from kg.embeddings.triples import Array, Triples


def fit(
    plan: Plan,
    triples: Triples,
    objective: NegativeSampling,
    optimizer: RowOptimizer,
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
    note: Callable[[str], None] = lambda text: None,
) -> History:
    """Train, and leave the best model in ``folder/best``, a checkpoint like any other.

    Args:
        plan: of more than one part.
        objective, optimizer: of a model of 2·``plan.size`` entities; the optimiser takes sparse gradients.
        epochs, batch, seed, decay, every, limit, patience, resume, pace, note: as in ``kg.embeddings.training.fit``.

    Raises:
        InputError: what is in ``folder/parts`` is of another vocabulary or plan, or damaged; the loss is no longer a
            number.
        KeyboardInterrupt: after the step in hand is done and the state is kept.
    """
    model, work = objective.model, folder / "parts"
    assert model.sparse
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    fingerprint = triples.fingerprint()
    tables = Tables(work, replace(plan, deal=1), model, optimizer, fingerprint, seed)
    buckets = Buckets(work, triples["train"], tables.plan)
    history, pair_number = History(), 0
    if tables.about:
        history, pair_number = History(**tables.about["history"]), tables.about["pair"]
        note(f"going on at epoch {history.epoch + 1}, pair {pair_number + 1}, step {history.step}")
    note(
        f"{plan.num_parts} parts of {plan.size:,} entities; two of them and all else take "
        f"{tables.num_bytes / 1e6:.1f} MB in memory"
    )
    has_valid = "valid" in triples.splits and len(triples.splits["valid"]) > 0
    known = Known(triples.splits.values(), triples.num_entities) if has_valid else None
    rates = [group["lr"] for group in optimizer.param_groups]

    def keep() -> None:
        tables.keep({"history": vars(history), "pair": pair_number})
        pace.written()

    with interrupts.held() as interrupt:
        while history.epoch < epochs and not (patience and history.since_best >= patience):
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * decay**history.epoch
            if tables.plan.deal != history.epoch + 1:
                tables.deal(history.epoch + 1)
                buckets = Buckets(work, triples["train"], tables.plan)
            pairs = plan.pairs(np.random.default_rng([seed, history.epoch]))
            model.train()
            while pair_number < len(pairs):
                pair, met = pairs[pair_number], {part for pair in pairs[:pair_number] for part in pair}
                tables.hold(pair)
                objective.among = tables.in_memory(pair)
                rows = tables.local(_rows(buckets, pair, [part for part in pair if part not in met]))
                if model.reciprocal:
                    rows = with_reciprocals(rows, model.num_relations)
                order = np.random.default_rng([seed, history.epoch, pair_number]).permutation(len(rows))
                while history.step * batch < len(rows):
                    place = seed, history.epoch, pair_number, history.step
                    torch.manual_seed(hash(place) % 2**62)
                    chosen = order[history.step * batch : (history.step + 1) * batch]
                    loss = objective(torch.from_numpy(rows[chosen]), np.random.default_rng(place))
                    lost = finite(loss, history)
                    optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    model.constrain()
                    history.running += lost * len(chosen)
                    history.step += 1
                    is_over = pace.is_over()
                    if interrupt.is_asked or is_over or pace.is_due():
                        keep()
                    if interrupt.is_asked:
                        raise KeyboardInterrupt
                    if is_over:
                        return history
                pair_number, history.step = pair_number + 1, 0
                if pair_number % plan.num_parts == 0:  # writes two parts where P were written on the way
                    keep()
            # A kill from here on leaves an epoch whose pairs are all done: it is looked at again.
            keep()
            num_rows = len(triples["train"]) * (2 if model.reciprocal else 1)
            history.losses.append(history.running / num_rows)
            history.epoch, history.running, pair_number = history.epoch + 1, 0.0, 0
            line = f"epoch {history.epoch}: loss {history.losses[-1]:.4f}"
            is_last = history.epoch == epochs
            if (has_valid and history.epoch % every == 0) or is_last:
                export(tables, folder / "now", {"fingerprint": fingerprint, "history": vars(history)})
                is_best = not has_valid
                if has_valid:
                    tables.forget()
                    ranks = rank(model, folder / "now", triples, "valid", known=known, limit=limit)
                    found = {"epoch": float(history.epoch), **summarise(ranks.realistic, ranks.candidates)}
                    history.validations.append(found)
                    line += f", validation MRR {found['mrr']:.4f}, hits@10 {found['hits@10']:.4f}"
                    is_best = history.best is found
                if is_best:
                    _replace(folder / "best", folder / "now")
                shutil.rmtree(folder / "now", ignore_errors=True)
            keep()
            note(line)
    return history


def _rows(buckets: Buckets, pair: tuple[int, int], within: list[int]) -> Array:
    """Return the triples between two parts, and those within some, (M, 3)."""
    one, two = pair
    asked = [(one, two), (two, one), *((part, part) for part in within)]
    return np.concatenate([buckets.between(*heads_and_tails) for heads_and_tails in asked])


def _replace(folder: Path, new: Path) -> None:
    """Put a checkpoint in another's place."""
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
