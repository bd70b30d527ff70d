"""Distances after a translation or a rotation: TransE, RotatE, and TransH, TransR, TransD with projections."""

from __future__ import annotations

import abc
import math
from typing import Any, Literal

import torch
from torch import Tensor

from kg.embeddings.distances import Norm, distance, distances, distances_to_rows
from kg.embeddings.model import KGEModel


class DistanceModel(KGEModel):
    """The contract of models that score by the distance of a query to an entity's vector: f = −‖query − e‖."""

    norm: Norm = 1

    @abc.abstractmethod
    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        """Return where the tail should lie, (…, De), (…, Dr) → (…, De)."""

    @abc.abstractmethod
    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        """Return where the head should lie, (…, Dr), (…, De) → (…, De)."""

    def interact(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        return -distance(self.tail_query(h, r) - t, self.norm)

    def against_tails(self, h: Tensor, r: Tensor, candidates: Tensor | None) -> Tensor:
        return self._compare(self.tail_query(h, r), candidates)

    def against_heads(self, r: Tensor, t: Tensor, candidates: Tensor | None) -> Tensor:
        return self._compare(self.head_query(r, t), candidates)

    def _compare(self, query: Tensor, candidates: Tensor | None) -> Tensor:
        if candidates is None:
            return -distances(query, self.entities, self.norm)
        if candidates.dim() == 1:
            return -distances(query, self.entity(candidates), self.norm)
        return -distances_to_rows(query, self.entities, candidates, self.norm, self.sparse)


class TransE(DistanceModel):
    """f(h, r, t) = −‖h + r − t‖₁ or −‖h + r − t‖₂ (Bordes et al., 2013, section 2).

    Differences: vectors start normal with a standard deviation of 1/√d; entities are not normalised at each step.

    Args:
        dimension: d of all vectors.
        norm: 1 or 2.
    """

    def __init__(
        self, num_entities: int, num_relations: int, dimension: int, norm: Literal[1, 2] = 1, **options: Any
    ) -> None:
        options.setdefault("initial", dimension**-0.5)
        super().__init__(num_entities, num_relations, dimension, dimension, **options)
        self.norm = norm

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        return h + r

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        return t - r


class RotatE(DistanceModel):
    """f(h, r, t) = −Σ |hᵢ rᵢ − tᵢ| over complex numbers, |rᵢ| = 1 (Sun et al., 2019, arXiv:1902.10197, equation 5).

    Relations are stored as d angles; heads are found by turning back: |h r − t| = |h − r̄ t|. As in the authors' code
    the moduli are summed; ``norm=2`` takes the root of the sum of their squares, as PyKEEN does.

    Args:
        dimension: d of all vectors, in complex numbers.
        norm: 1 or 2.
    """

    def __init__(
        self, num_entities: int, num_relations: int, dimension: int, norm: Literal[1, 2] = 1, **options: Any
    ) -> None:
        options.setdefault("initial", dimension**-0.5)
        super().__init__(num_entities, num_relations, 2 * dimension, dimension, **options)
        self.norm = "modulus" if norm == 1 else 2
        with torch.no_grad():
            self.relations.copy_(self.uniform(*self.relations.shape, bound=math.pi))

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        return _turn(h, torch.cos(r), torch.sin(r))

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        return _turn(t, torch.cos(r), -torch.sin(r))


def _turn(z: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    a, b = z.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)


class ProjectionModel(KGEModel):
    """The contract of models that bring entities into the relation's space first: f = −‖P_r h + d_r − P_r t‖₂².

    Args:
        dimension: of entities.
        relation_dimension: K, by default the same.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        dimension: int,
        relation_dimension: int | None = None,
        **options: Any,
    ) -> None:
        self.width = relation_dimension or dimension
        options.setdefault("initial", dimension**-0.5)
        super().__init__(num_entities, num_relations, *self.widths(dimension, self.width), **options)
        self.start()

    @staticmethod
    @abc.abstractmethod
    def widths(dimension: int, width: int) -> tuple[int, int]:
        """Return how many numbers an entity and a relation are stored as, De and Dr; ``width`` is K."""

    @torch.no_grad()
    def start(self) -> None:
        """Set what does not start as normal numbers around 0; by default nothing."""

    @abc.abstractmethod
    def project(self, e: Tensor, r: Tensor) -> Tensor:
        """Return P_r e, (…, De), (…, Dr) → (…, K); broadcasts."""

    @abc.abstractmethod
    def translation(self, r: Tensor) -> Tensor:
        """Return d_r, (…, Dr) → (…, K)."""

    def interact(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        difference = self.project(h, r) + self.translation(r) - self.project(t, r)
        return -(difference * difference).sum(-1)

    def against_tails(self, h: Tensor, r: Tensor, candidates: Tensor | None) -> Tensor:
        return self._compare(self.project(h, r) + self.translation(r), r, candidates)

    def against_heads(self, r: Tensor, t: Tensor, candidates: Tensor | None) -> Tensor:
        return self._compare(self.project(t, r) - self.translation(r), r, candidates)

    def _compare(self, query: Tensor, r: Tensor, candidates: Tensor | None) -> Tensor:
        """Return −‖query − P_r e‖² for candidates; queries of one relation share the projected entities."""
        if candidates is not None:
            e = self.entity(candidates)  # (B, K, De) or (K, De)
            difference = query[:, None] - self.project(e, r[:, None])  # (B, K, ·)
            return -(difference * difference).sum(-1)
        distinct, which = torch.unique(r, dim=0, return_inverse=True)
        parts = torch.empty(len(query), self.num_entities, dtype=query.dtype, device=query.device)
        for n, relation in enumerate(distinct):
            rows = (which == n).nonzero()[:, 0]
            projected = self.project(self.entities, relation)  # (E, K)
            q = query[rows]
            square = (q * q).sum(-1, keepdim=True) - 2 * q @ projected.T + (projected * projected).sum(-1)
            parts = (
                parts.index_copy(0, rows, -square.clamp_min(0))
                if square.requires_grad
                else _put(parts, rows, -square.clamp_min(0))
            )
        return parts


def _put(into: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    into[rows] = values
    return into


class TransH(ProjectionModel):
    """f(h, r, t) = −‖h⊥ + d_r − t⊥‖₂², e⊥ = e − (w_r·e) w_r, ‖w_r‖ = 1 (Wang et al., 2014, section "TransH").

    Relations are stored as [w | d]; w is normalised where it is used. Difference: the soft constraint d ⊥ w is
    left out.

    Args:
        dimension: of all vectors.
    """

    @staticmethod
    def widths(dimension: int, width: int) -> tuple[int, int]:
        assert width == dimension, "a hyperplane lies in the entities' space"
        return dimension, 2 * dimension

    def project(self, e: Tensor, r: Tensor) -> Tensor:
        w = torch.nn.functional.normalize(r.chunk(2, -1)[0], dim=-1)
        return e - (w * e).sum(-1, keepdim=True) * w

    def translation(self, r: Tensor) -> Tensor:
        return r.chunk(2, -1)[1]


class TransR(ProjectionModel):
    """f(h, r, t) = −‖M_r h + r − M_r t‖₂² (Lin et al., 2015, equations 7 and 8).

    Relations are stored as [r | M], M as K × De numbers, starting near the identity. Difference: norms are not held
    ≤ 1.

    Args:
        dimension: De of entities.
        relation_dimension: K, by default De.
    """

    @staticmethod
    def widths(dimension: int, width: int) -> tuple[int, int]:
        return dimension, width * (1 + dimension)

    @torch.no_grad()
    def start(self) -> None:
        self.relations[:, self.width :] *= 0.1
        self.relations[:, self.width :] += torch.eye(self.width, self.entities.shape[1]).reshape(-1)

    def project(self, e: Tensor, r: Tensor) -> Tensor:
        matrix = r[..., self.width :].unflatten(-1, (self.width, -1))  # (…, K, De)
        if matrix.dim() == 2:
            return e @ matrix.T
        return torch.einsum("...kd,...d->...k", matrix, e)

    def translation(self, r: Tensor) -> Tensor:
        return r[..., : self.width]


class TransD(ProjectionModel):
    """f(h, r, t) = −‖h⊥ + r − t⊥‖₂², e⊥ = (r_p e_pᵀ + I) e (Ji et al., 2015, equations 11 to 13).

    Entities are stored as [e | e_p], relations as [r | r_p]; I is K × De with ones on its diagonal. Difference: norms
    are not held ≤ 1.

    Args:
        dimension: De of entities.
        relation_dimension: K, by default De.
    """

    @staticmethod
    def widths(dimension: int, width: int) -> tuple[int, int]:
        return 2 * dimension, 2 * width

    def project(self, e: Tensor, r: Tensor) -> Tensor:
        (vector, along), (_, across) = e.chunk(2, -1), r.chunk(2, -1)
        missing = self.width - vector.shape[-1]
        same = torch.nn.functional.pad(vector, (0, missing)) if missing >= 0 else vector[..., : self.width]
        return same + (along * vector).sum(-1, keepdim=True) * across

    def translation(self, r: Tensor) -> Tensor:
        return r.chunk(2, -1)[0]
