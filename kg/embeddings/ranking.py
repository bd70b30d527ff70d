"""Link prediction: the filtered rank of every triple's tail among all entities, and of its head.

    ranks = rank(model, triples, "test")
    figures(ranks)["both"]["mrr"]             # kg.embeddings.figures

For a triple (h, r, t) all entities are scored as tails of (h, r, ?); those that are known to be right (a triple of
``known``) are left out but for t itself (Bordes et al., 2013, the "filtered" setting), and likewise for heads. Where
candidates score the same as t, its rank is the mean of the best and the worst that it could have among them
("realistic", as in PyKEEN), since the place of a tie is no knowledge; both ends are kept. A NaN never wins.

Each distinct query is scored once, in blocks of bounded memory; what lies above the target is counted in one pass, and
the known answers are then taken off the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kg.embeddings.counting import count_each
from kg.embeddings.known import Known
from kg.embeddings.model import KGEModel
from kg.embeddings.triples import Array, Triples
from kg.errors import InputError

#: Scores that are held at a time, a number of float32; on a GPU ``_MORE`` times as many.
BLOCK = 4 << 20
_MORE = 16
SIDES = ("tails", "heads")


@dataclass(frozen=True)
class Ranks:
    """What was counted, N triples on two sides: row 0 for tails, row 1 for heads; (2, N) int64 each.

    Attributes:
        triples: (N, 3), what was ranked.
        greater: candidates that score higher than the target.
        equal: those that score the same, the target among them.
        candidates: those there were, the target among them.
        num_nan: targets whose score is NaN; they rank behind all candidates.
    """

    triples: Array
    greater: Array
    equal: Array
    candidates: Array
    num_nan: int = 0

    @property
    def optimistic(self) -> Array:
        """The best rank that a tie allows, from 1."""
        best: Array = self.greater + 1
        return best

    @property
    def pessimistic(self) -> Array:
        """The worst rank that a tie allows."""
        worst: Array = self.greater + self.equal
        return worst

    @property
    def realistic(self) -> Array:
        """The mean of both."""
        mean: Array = (self.optimistic + self.pessimistic) / 2
        return mean


@torch.no_grad()
def rank(
    model: KGEModel,
    triples: Triples,
    split: str = "test",
    *,
    known: Known | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Ranks:
    """Rank the triples of a split on both sides.

    Args:
        known: what is filtered; by default all triples of all splits.
        limit: rank only so many triples, drawn evenly over the split: for a look during training.
        progress: called with what is done and how much there is.

    Raises:
        InputError: there is no such split, it is empty, or the model is of another vocabulary.
    """
    if (model.num_entities, model.num_relations) != (triples.num_entities, triples.num_relations):
        raise InputError(
            f"the model knows {model.num_entities:,} entities and {model.num_relations:,} relations, the triples have "
            f"{triples.num_entities:,} and {triples.num_relations:,}: they don't belong together"
        )
    rows = sample(triples[split], limit)
    known = known or Known(triples.splits.values(), triples.num_entities)
    was_training = model.training
    model.eval()
    try:
        sides = [_tails(model, rows, known, progress), _heads(model, rows, known, progress)]
    finally:
        model.train(was_training)
    greater, equal, candidates, nan = (np.stack(columns) for columns in zip(*sides))
    return Ranks(rows, greater, equal, candidates, int(nan.sum()))


def sample(triples: Array, limit: int | None) -> Array:
    """Return so many triples at most, drawn evenly, (N, 3) int64."""
    rows = np.asarray(triples, dtype=np.int64)
    if limit is None or limit >= len(rows):
        return rows
    return rows[np.linspace(0, len(rows) - 1, limit).round().astype(np.int64)]


def _tails(model: KGEModel, rows: Array, known: Known, progress: Callable[[int, int], None] | None) -> Sequence[Array]:
    keys = known.tail_keys(rows[:, 0], rows[:, 1])
    begin, end = known.tails.find(keys)

    def score(relations: torch.Tensor, entities: torch.Tensor) -> torch.Tensor:
        return model.score_tails(entities, relations)

    watch = None if progress is None else lambda done: progress(done, 2 * len(rows))
    return _count(score, keys, known, rows[:, 2], (begin, end, known.tails.answers), watch, model.device)


def _heads(model: KGEModel, rows: Array, known: Known, progress: Callable[[int, int], None] | None) -> Sequence[Array]:
    keys = known.head_keys(rows[:, 1], rows[:, 2])
    begin, end = known.heads.find(keys)
    watch = None if progress is None else lambda done: progress(len(rows) + done, 2 * len(rows))
    return _count(model.score_heads, keys, known, rows[:, 0], (begin, end, known.heads.answers), watch, model.device)


def _count(
    score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    keys: Array,
    known: Known,
    targets: Array,
    answers: tuple[Array, Array, Array],
    progress: Callable[[int], None] | None,
    device: torch.device,
) -> Sequence[Array]:
    """Count for each target; ``score`` takes relations and entities of distinct queries, (Q,) each."""
    queries, which = np.unique(keys, return_inverse=True)  # those of one relation lie together
    order = np.argsort(which, kind="stable")
    first = np.append(np.searchsorted(which[order], np.arange(len(queries))), len(order))
    begin, end, all_answers = answers
    found = np.zeros((4, len(keys)), dtype=np.int64)
    relations = torch.from_numpy(queries // known.num_entities).to(device)
    entities = torch.from_numpy(queries % known.num_entities).to(device)
    block = max(1, BLOCK * (1 if device.type == "cpu" else _MORE) // known.num_entities)
    for start in range(0, len(queries), block):
        stop = min(start + block, len(queries))
        scores = score(relations[start:stop], entities[start:stop]).float()  # (Q, E)
        places = order[first[start] : first[stop]]
        bounds = begin[places], end[places]
        found[:, places] = count_each(scores, which[places] - start, targets[places], *bounds, all_answers)
        if progress is not None:
            progress(int(first[stop]))
    return list(found)
