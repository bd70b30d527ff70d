"""What every embedding model can do: score triples, and score a query against all entities on either side.

    model = ComplEx(num_entities, num_relations, dimension=256, reciprocal=True)
    model.score(heads, relations, tails)          # (B,)
    model.score_tails(heads, relations)           # (B, E): every entity as tail
    model.score_heads(relations, tails)           # (B, E): every entity as head
    model.score_tails(heads, relations, some)     # (B, K): entities ``some`` (B, K), or (K,) shared by the batch

A model is a function of the vectors of head, relation and tail; the tables of vectors are this class's. With
**reciprocal relations** (Lacroix et al., 2018, arXiv:1806.07297, section 4.1; Kazemi & Poole, 2018) there are 2R
relation vectors, and a query for heads (?, r, t) is asked as one for tails: (t, r + R, ?).
"""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import Tensor, nn

from kg.embeddings.gathered import rows_and_table


class KGEModel(nn.Module, abc.ABC):
    """The contract of embedding models.

    Args:
        num_entities: E.
        num_relations: R, without reciprocal ones.
        entity_width, relation_width: real numbers a vector has, De and Dr.
        reciprocal: 2R relations; heads are asked for as tails of the reciprocal one.
        dropout: probability with which numbers of the vectors that a query is made of are dropped in training.
        initial: standard deviation of the numbers at the start.
        seed: of the numbers at the start.
    """

    #: Whether a model without reciprocal relations can score heads.
    scores_heads = True

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        entity_width: int,
        relation_width: int,
        *,
        reciprocal: bool = False,
        dropout: float = 0.0,
        initial: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.num_entities, self.num_relations = num_entities, num_relations
        self.reciprocal, self.initial = reciprocal, initial
        self.generator = torch.Generator().manual_seed(seed)
        rows = 2 * num_relations if reciprocal else num_relations
        self.entities = nn.Parameter(self.normal(num_entities, entity_width, std=initial))
        self.relations = nn.Parameter(self.normal(rows, relation_width, std=initial))
        self.dropout = nn.Dropout(dropout)
        #: Gradients of looked-up rows are sparse: set by training that updates only rows it has touched.
        self.sparse = False

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def normal(self, *shape: int, std: float) -> Tensor:
        """Return normal numbers drawn with the model's own seed."""
        return torch.randn(*shape, generator=self.generator) * std

    def uniform(self, *shape: int, bound: float) -> Tensor:
        """Return uniform numbers in ± ``bound`` drawn with the model's own seed."""
        return (2 * torch.rand(*shape, generator=self.generator) - 1) * bound

    # -- vectors -------------------------------------------------------------------------------------------------------

    def entity(self, numbers: Tensor) -> Tensor:
        """Return the vectors of entities, (…, De)."""
        return nn.functional.embedding(numbers, self.entities, sparse=self.sparse)

    def table(self) -> Tensor:
        """Return the vectors of all entities, (E, De), as ``entity`` gives them."""
        return self.entities

    def entities_and_table(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``entity(numbers)`` and ``table()``, (B, De) and (E, De), for a loss that uses both."""
        if type(self).entity is KGEModel.entity and type(self).table is KGEModel.table and not self.sparse:
            return rows_and_table(self.entities, numbers)
        return self.entity(numbers), self.table()

    def relation(self, numbers: Tensor) -> Tensor:
        """Return the vectors of relations, (…, Dr)."""
        return nn.functional.embedding(numbers, self.relations, sparse=self.sparse)

    def turned(self, relations: Tensor) -> Tensor:
        """Return the numbers of the reciprocal relations."""
        return torch.where(
            relations < self.num_relations, relations + self.num_relations, relations - self.num_relations
        )

    # -- scores --------------------------------------------------------------------------------------------------------

    def score(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """Return the scores of triples, (B,); higher is likelier. All arguments are (B,) int64."""
        return self.interact(self.entity(heads), self.relation(relations), self.entity(tails))

    def score_tails(self, heads: Tensor, relations: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Return the scores of entities as tails: of all, (B, E), or of candidates (B, K) or (K,), (B, K)."""
        h, r = self.dropout(self.entity(heads)), self.dropout(self.relation(relations))
        return self.against_tails(h, r, candidates)

    def score_heads(self, relations: Tensor, tails: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Return the scores of entities as heads: of all, (B, E), or of candidates (B, K) or (K,), (B, K)."""
        if self.reciprocal:
            return self.score_tails(tails, self.turned(relations), candidates)
        assert self.scores_heads, f"{type(self).__name__} scores heads by reciprocal relations only"
        r, t = self.dropout(self.relation(relations)), self.dropout(self.entity(tails))
        return self.against_heads(r, t, candidates)

    @abc.abstractmethod
    def interact(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """Return the scores of triples given by their vectors, (…, De), (…, Dr), (…, De) → (…)."""

    @abc.abstractmethod
    def against_tails(self, h: Tensor, r: Tensor, candidates: Tensor | None) -> Tensor:
        """Return the scores of candidates (None: all entities) as tails of (B, De) and (B, Dr)."""

    @abc.abstractmethod
    def against_heads(self, r: Tensor, t: Tensor, candidates: Tensor | None) -> Tensor:
        """Return the scores of candidates (None: all entities) as heads of (B, Dr) and (B, De)."""

    # -- what training asks for ----------------------------------------------------------------------------------------

    def factors(self, h: Tensor, r: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        """Return the magnitudes that a regulariser keeps small, (B, ·) each; by default the vectors themselves."""
        return h, r, t

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Return what an optimiser takes: parameters, some perhaps with a learning rate of their own."""
        return [{"params": list(self.parameters())}]

    @torch.no_grad()
    def constrain(self) -> None:
        """Bring the parameters back to where the paper wants them after an update; by default they may be anywhere."""
