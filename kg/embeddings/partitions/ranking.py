"""Filtered ranks of a checkpoint whose entities don't fit in memory: the same counts, summed over blocks of entities.

First each target is scored in its own block; then all blocks pass by, and in each it is counted who scores higher, and
the same. A target's column is put behind its block's, so that the counting of ``kg.embeddings.counting`` serves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from kg.embeddings.counting import count
from kg.embeddings.known import Known
from kg.embeddings.model import KGEModel
from kg.embeddings.partitions.export import Checkpoint
from kg.embeddings.ranking import Ranks, sample
from kg.embeddings.triples import Array, Triples

#: Scores that are held at a time, a number of float32; there are two copies. Few, where memory is what is short.
BLOCK = 1 << 19


@torch.no_grad()
def rank(
    model: KGEModel,
    folder: Path,
    triples: Triples,
    split: str = "test",
    *,
    known: Known | None = None,
    limit: int | None = None,
) -> Ranks:
    """Rank the triples of a split on both sides, as ``kg.embeddings.ranking.rank`` does.

    Args:
        model: with all parameters but the entities'; its table of entities, of any length, is filled with blocks.
        folder: the checkpoint.

    Raises:
        InputError: there is no such split, it is empty, or the checkpoint can't be read.
    """
    table = Checkpoint(folder)
    rows = sample(triples[split], limit)
    known = known or Known(triples.splits.values(), triples.num_entities)
    was_training = model.training
    model.eval()
    try:
        sides = [_side(model, table, rows, known, side) for side in (0, 1)]
    finally:
        model.train(was_training)
    greater, equal, candidates, nan = (np.stack(columns) for columns in zip(*sides))
    return Ranks(rows, greater, equal, candidates, int(nan.sum()))


def _side(model: KGEModel, table: Checkpoint, rows: Array, known: Known, side: int) -> Array:
    """Return greater, equal, candidates and NaN of each triple, (4, N), for its tail (side 0) or its head (1)."""
    heads, relations, tails = rows.T
    given, targets = (heads, tails) if side == 0 else (tails, heads)
    answers = known.tails if side == 0 else known.heads
    begin, end = answers.find(known.tail_keys(heads, relations) if side == 0 else known.head_keys(relations, tails))
    found = np.zeros((4, len(rows)), dtype=np.int64)
    found[1:3] = 1  # the target itself
    together = max(256, model.num_entities // 4)  # queries whose vectors are held: a share of what the table takes
    for start in range(0, len(rows), together):
        part = slice(start, start + together)
        score = _scorer(model, table, given[part], relations[part], side)
        found[:, part] += _count(
            model.entities.detach().numpy(), table, score, targets[part], begin[part], end[part], answers.answers
        )
    return found


def _scorer(
    model: KGEModel, table: Checkpoint, given: Array, relations: Array, side: int
) -> Callable[[Array], torch.Tensor]:
    """Return what scores some of these queries against all rows in memory, (Q,) → (Q, size)."""
    vectors, asked = torch.from_numpy(table.rows(given)), torch.from_numpy(relations)
    is_turned = side == 1 and model.reciprocal
    r = model.relation(model.turned(asked) if is_turned else asked)

    def score(places: Array) -> torch.Tensor:
        e, of = vectors[places], r[places]
        return model.against_heads(of, e, None) if side == 1 and not is_turned else model.against_tails(e, of, None)

    return score


def _count(
    held: Array,
    table: Checkpoint,
    score: Callable[[Array], torch.Tensor],
    targets: Array,
    begin: Array,
    end: Array,
    answers: Array,
) -> Array:
    size, num_queries = len(held), max(1, BLOCK // len(held))
    of_target = np.empty(len(targets), dtype=np.float32)
    blocks = range(0, table.num_entities, size)
    for low in blocks:
        own = np.flatnonzero((targets >= low) & (targets < low + size))
        if not len(own):
            continue
        table.block(low, held[: min(size, table.num_entities - low)])
        for part in np.array_split(own, -(-len(own) // num_queries)):
            of_target[part] = score(part).numpy()[np.arange(len(part)), targets[part] - low]
    found = np.zeros((4, len(targets)), dtype=np.int64)
    for low in blocks:
        num = min(size, table.num_entities - low)
        table.block(low, held[:num])
        for start in range(0, len(targets), num_queries):
            places = np.arange(start, min(start + num_queries, len(targets)))
            scores = np.empty((len(places), num + 1), dtype=np.float32)
            scores[:, :num] = score(places).numpy()[:, :num]
            scores[:, num] = of_target[places]
            first, local = _within(answers, begin[places], end[places], targets[places], low, low + num)
            part = np.zeros((4, len(places)), dtype=np.int64)
            last = np.full(len(places), num)
            count(scores, np.arange(len(places)), last, first[:-1], first[1:], local, *part)
            part[1:3] -= 1  # the column behind the block is nobody's
            found[:, places] += part
    found[3] = np.isnan(of_target)
    return found


def _within(answers: Array, begin: Array, end: Array, targets: Array, low: int, high: int) -> tuple[Array, Array]:
    """Return each query's known answers, its target among them, that lie in a block: where they begin, and which."""
    counts = end - begin
    which = np.repeat(np.arange(len(begin)), counts)
    flat = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(begin, counts)
    every = np.concatenate([answers[flat], targets])
    whose = np.concatenate([which, np.arange(len(targets))])
    pairs = np.unique(np.stack([whose, every])[:, (every >= low) & (every < high)], axis=1)  # the target may be known
    first = np.searchsorted(pairs[0], np.arange(len(begin) + 1))
    return first, pairs[1] - low
