"""NBFNet as an embedding model: it ranks like the others, but knows entities by the paths between them alone.

    model = PathModel(E, R, 32, train)
    elsewhere, triples = carried_over(model, trained_on, other)   # the same weights on a graph of other entities
    rank(elsewhere, triples, "test")

A query (h, r, ?) is one pass over the whole graph that scores all entities, so it costs as much for one candidate as
for all. Heads are asked for by reciprocal relations.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kg.embeddings.model import KGEModel
from kg.embeddings.negatives import NegativeSampling
from kg.embeddings.triples import Array, Triples
from kg.errors import InputError
from kg.gnn.nbfnet import Aggregate, NBFNet
from kg.gnn.plan import EdgePlan

#: Numbers of a layer's node vectors that ranking holds at a time; a layer holds a few such tensors. On a GPU ``_MORE``
#: times as many.
_BLOCK = 8 << 20
_MORE = 8
#: Draws after which a negative that is true after all is let pass.
_DRAWS = 8


class PathModel(KGEModel):
    """f(h, r, t) of ``NBFNet`` over the training triples in both directions.

    Args:
        dimension: D of the vectors that a query puts on nodes.
        train: (M, 3), the triples that paths are made of.
        layers: T, the longest path.
        aggregate, dependent: as of ``NBFNet``.
        remove_one_hop: training leaves out every edge between the ends of a triple, not only that triple.
        options: of ``KGEModel``; always reciprocal. ``dropout`` and ``initial`` have no meaning here.
    """

    reads_graph = True

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        dimension: int,
        train: Array,
        layers: int = 6,
        aggregate: Aggregate = "sum",
        dependent: bool = True,
        remove_one_hop: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(num_entities, num_relations, 0, 0, reciprocal=True, seed=options.get("seed", 0))
        del self.entities, self.relations  # there are no tables
        self.width, self.remove_one_hop = dimension, remove_one_hop
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.generator.initial_seed())
            self.net = NBFNet(dimension, 2 * num_relations, layers, aggregate, dependent)
        self._take(train)

    def _take(self, train: Array) -> None:
        self.plan = EdgePlan.both_ways(train, self.num_entities, self.num_relations)
        keys = self._keys(self.plan.source.numpy(), self.plan.relation.numpy(), self.plan.target.numpy())
        self._order = np.argsort(keys, kind="stable")
        self._ordered = keys[self._order]

    def _keys(self, heads: Array, relations: Array, tails: Array) -> Array:
        """One number an edge, by which those that are to be left out are found."""
        between: Array = heads * self.num_entities + tails
        return between if self.remove_one_hop else between * 2 * self.num_relations + relations

    def on(self, train: Array, num_entities: int) -> PathModel:
        """Return the same weights on another graph of the same relations, (M, 3) of its own entities."""
        other = copy.copy(self)
        other.num_entities = num_entities
        other._take(train)
        return other

    def without(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """Return 0 for the edges that give triples away, in both directions, and 1 for the others, (2M,).

        Where the arguments are: the edges are looked up on the processor.
        """
        turned = self.turned(relations)
        kept = torch.ones(len(self._order))
        for ends in ((heads, relations, tails), (tails, turned, heads)):
            keys = self._keys(*(column.cpu().numpy() for column in ends))
            first, last = (np.searchsorted(self._ordered, keys, side=side) for side in ("left", "right"))
            counts = last - first
            places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
            kept[torch.from_numpy(self._order[places])] = 0
        return kept.to(heads.device)

    # -- scores --------------------------------------------------------------------------------------------------------

    def score(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        return self.score_tails(heads, relations, tails[:, None])[:, 0]

    def score_tails(
        self, heads: Tensor, relations: Tensor, candidates: Tensor | None = None, kept: Tensor | None = None
    ) -> Tensor:
        """Return the scores of entities as tails: of all, (B, E), or of candidates (B, K) or (K,), (B, K).

        Args:
            kept: the edges that paths may take, as ``without`` gives them; by default all.
        """
        plan, numbers = self.plan.on(heads.device), _BLOCK * (1 if heads.device.type == "cpu" else _MORE)
        block = max(1, numbers // (self.num_entities * self.width)) if not torch.is_grad_enabled() else len(heads)
        parts = [
            self.net(heads[start : start + block], relations[start : start + block], plan, kept)
            for start in range(0, len(heads), max(block, 1))
        ]
        scores = torch.cat(parts) if parts else torch.zeros(0, self.num_entities, device=heads.device)
        if candidates is None:
            return scores
        return scores.gather(1, candidates) if candidates.dim() == 2 else scores[:, candidates]

    def interact(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        raise InputError("NBFNet has no vectors of entities: ask for scores by their numbers")

    def against_tails(self, h: Tensor, r: Tensor, candidates: Tensor | None) -> Tensor:
        return self.interact(h, r, h)

    def against_heads(self, r: Tensor, t: Tensor, candidates: Tensor | None) -> Tensor:
        return self.interact(t, r, t)


class PathNegatives(NegativeSampling):
    """Right triples against drawn ones, each right one asked for on a graph without it (Zhu et al., 2021).

    The losses of ``NegativeSampling``, both directions as tails; no negative is a known answer of its query, as far as
    a few draws can help it. The edges of all triples of a batch, and their inverses, are left out together.

    Args:
        model: the one that is trained.
        train: (M, 3).
        options: of ``NegativeSampling``; a regulariser of vectors is refused.
    """

    model: PathModel

    def __init__(
        self, model: PathModel, train: Array, *, weight: float = 0.0, shared: bool = False, **options: Any
    ) -> None:
        if shared:
            raise InputError("NBFNet draws negatives for each triple: set training.objective.shared to false")
        if weight:
            raise InputError("NBFNet has no vectors to keep small: set training.weight to 0")
        super().__init__(model, train, **options)
        self._known = np.unique(self._numbers(self._rows[:, :2], self._rows[:, 2]))

    def _numbers(self, queries: Array, answers: Array) -> Array:
        numbers: Array = (queries[:, 1] * self.model.num_entities + queries[:, 0]) * self.model.num_entities + answers
        return numbers

    def drawn(self, queries: Array, generator: np.random.Generator) -> Array:
        """Return entities that are no known answers of queries (B, 2), (B, K)."""
        size = self.model.num_entities
        found = generator.integers(0, size, (len(queries), self.count))
        places = np.stack(np.divmod(np.arange(found.size), self.count))  # (2, B·K)
        for _ in range(_DRAWS):
            numbers = self._numbers(queries[places[0]], found[places[0], places[1]])
            at = np.minimum(np.searchsorted(self._known, numbers), len(self._known) - 1)
            places = places[:, self._known[at] == numbers]
            if not places.size:
                break
            found[places[0], places[1]] = generator.integers(0, size, places.shape[1])
        return found

    def __call__(self, rows: Tensor, generator: np.random.Generator) -> Tensor:
        drawn = torch.from_numpy(self.drawn(rows[:, :2].numpy(), generator))
        heads, relations, tails = (column.contiguous() for column in rows.T)
        kept, candidates = self.model.without(heads, relations, tails), torch.cat([tails[:, None], drawn], 1)
        there = (tensor.to(self.model.device) for tensor in (heads, relations, candidates, kept))
        scores = self.model.score_tails(*there)
        return self.compare(scores[:, 0], scores[:, 1:])


def carried_over(model: PathModel, trained_on: Triples, other: Triples) -> tuple[PathModel, Triples]:
    """Return a model on the training triples of a graph of other entities, and those with the model's relations.

    Raises:
        InputError: the other graph has a relation that the model was not trained on.
    """
    number = {name: n for n, name in enumerate(trained_on.relations)}
    strangers = [name for name in other.relations if name not in number]
    if strangers:
        raise InputError(
            f"{len(strangers)} relations of the other graph are not in training, such as '{strangers[0]}': "
            "leave their triples out, no path through them means anything to the model"
        )
    renumbered = np.array([number[name] for name in other.relations], dtype=np.int32)
    splits = {
        split: np.stack([rows[:, 0], renumbered[rows[:, 1]], rows[:, 2]], axis=1)
        for split, rows in other.splits.items()
    }
    triples = Triples(other.entities, trained_on.relations, splits, other.report)
    return model.on(triples["train"], triples.num_entities), triples
