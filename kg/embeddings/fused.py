"""What models of entities with several modalities have in common: the modalities, which are missing, and the products.

An entity's "vector" is here everything that is known of it, side by side,

    [ structure (D) | modality 1 (T₁·W₁) | … | modality M (T_M·W_M) | known (1 + T₁ + … + T_M) ]

and the model makes one vector of it on each side of a product: ``fuse_query`` for the entity that is given, which may
look at the relation, and ``fuse_key`` for every entity that may be the answer, which must not. So ranks, objectives and
runs need know nothing of modalities. What is missing is masked, not zero: it has no weight. An entity of which nothing
is known at all keeps its structure vector.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kg.embeddings import EMBEDDING_MODELS
from kg.embeddings.modalities import Modality
from kg.embeddings.product import ProductModel
from kg.embeddings.triples import Array
from kg.registry import resolve


class Seen(NamedTuple):
    """What is known of some entities: ``parts[0]`` is structure, (…, 1, D); others are modalities, (…, T, W)."""

    parts: list[Tensor]
    known: list[Tensor]  # (…, T) bool each


class FusedModel(ProductModel):
    """The contract of models with several modalities.

    Args:
        dimension: of the base model.
        modalities: what is known beside structure.
        base: the model of structure, of ``EMBEDDING_MODELS``, one that scores by products.
        base_options: its other arguments.
        in_training: (E,) bool, False for entities of which training says nothing: their structure counts as missing
            where they have something else. By default all are seen.
        modality_dropout: probability with which structure, and each token of a modality, is hidden in training, never
            all of them: so that what is left learns to stand alone.
        dropout: of the numbers of fused vectors and of relations that queries are made of.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        dimension: int,
        *,
        modalities: Sequence[Modality],
        base: str = "complex",
        base_options: dict[str, Any] | None = None,
        in_training: Array | None = None,
        modality_dropout: float = 0.0,
        reciprocal: bool = True,
        dropout: float = 0.0,
        seed: int = 0,
        **options: Any,
    ) -> None:
        make = resolve(EMBEDDING_MODELS, base, "embedding model")
        given = {"reciprocal": reciprocal, "seed": seed, **options, **(base_options or {})}
        inner: ProductModel = make(num_entities, num_relations, dimension, **given)
        assert isinstance(inner, ProductModel), f"{base} doesn't score by products"
        width, relation_width = inner.entities.shape[1], inner.relations.shape[1]
        super().__init__(num_entities, num_relations, 0, 0, reciprocal=reciprocal, seed=seed)
        # The base gives the numbers it starts from and its interaction; the tables are this model's.
        self.entities, self.relations = inner.entities, inner.relations
        self.generator = inner.generator
        del inner.entities, inner.relations
        self.base, self.width, self.relation_width = inner, width, relation_width
        self.scores_heads = inner.scores_heads
        self.fused_dropout = nn.Dropout(dropout)
        self.modality_dropout = modality_dropout
        self.names = [modality.name for modality in modalities]
        self.shapes = [modality.vectors.shape[1:] for modality in modalities]  # (T, W) each
        has_structure = np.ones(num_entities, dtype=bool) if in_training is None else in_training
        columns = [has_structure[:, None], *(modality.known for modality in modalities)]
        self.features: Tensor
        self.known: Tensor
        packed = [np.ascontiguousarray(modality.vectors).reshape(num_entities, -1) for modality in modalities]
        packed = packed or [np.zeros((num_entities, 0), dtype=np.float32)]
        self.register_buffer("features", torch.from_numpy(np.concatenate(packed, axis=1)), persistent=False)
        self.register_buffer("known", torch.from_numpy(np.concatenate(columns, axis=1)), persistent=False)
        self._keys: tuple[tuple[int, ...], Tensor] | None = None

    # -- what is known of an entity ------------------------------------------------------------------------------------

    def entity(self, numbers: Tensor) -> Tensor:
        """Return all that is known of entities, side by side, (…, D + ΣTW + 1 + ΣT)."""
        return self._pack(super().entity(numbers), self.features[numbers], self.known[numbers])

    def table(self) -> Tensor:
        return self._pack(self.entities, self.features, self.known)

    def _pack(self, structure: Tensor, features: Tensor, known: Tensor) -> Tensor:
        if self.training and self.modality_dropout:
            kept = known & (torch.rand(known.shape, device=known.device) >= self.modality_dropout)
            known = torch.where(kept.any(-1, keepdim=True), kept, known)  # never all of them
        return torch.cat([structure, features, known.to(structure.dtype)], -1)

    def spread(self, packed: Tensor) -> Seen:
        """Return the parts of what ``entity`` gives, and which are known."""
        sizes = [self.width, *(num * width for num, width in self.shapes)]
        *flat, known = packed.split([*sizes, packed.shape[-1] - sum(sizes)], -1)
        parts = [
            part.unflatten(-1, (int(num), int(width)))
            for part, (num, width) in zip(flat, [(1, self.width), *self.shapes])
        ]
        has = known > 0
        nothing = ~has.any(-1, keepdim=True)
        has = torch.cat([has[..., :1] | nothing, has[..., 1:]], -1)
        return Seen(parts, list(has.split([1, *(num for num, _ in self.shapes)], -1)))

    # -- one vector of it ----------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def fuse_query(self, seen: Seen, r: Tensor) -> Tensor:
        """Return the vectors of given entities, asked for relations r (…, Dr)."""

    @abc.abstractmethod
    def fuse_key(self, seen: Seen) -> Tensor:
        """Return the vectors of entities that may be the answer."""

    def relation_part(self, r: Tensor) -> Tensor:
        """Return what of a relation's vector is the base model's."""
        return r[..., : self.relation_width]

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        fused, own = self.fused_dropout(self.fuse_query(self.spread(h), r)), self.fused_dropout(self.relation_part(r))
        return self.base.tail_query(fused, own)

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        fused, own = self.fused_dropout(self.fuse_query(self.spread(t), r)), self.fused_dropout(self.relation_part(r))
        return self.base.head_query(own, fused)

    def tail_keys(self, e: Tensor) -> Tensor:
        return self.base.tail_keys(self.fuse_key(self.spread(e)))

    def head_keys(self, e: Tensor) -> Tensor:
        return self.base.head_keys(self.fuse_key(self.spread(e)))

    def factors(self, h: Tensor, r: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        """Return the base model's factors of the fused vectors."""
        return self.base.factors(self.fuse_key(self.spread(h)), self.relation_part(r), self.fuse_key(self.spread(t)))

    # -- keys of all entities, made once while nothing changes --------------------------------------------------------

    def against_tails(self, h: Tensor, r: Tensor, candidates: Tensor | None) -> Tensor:
        return self._multiply(self.tail_query(h, r), self._all_keys("tail"), candidates)

    def against_heads(self, r: Tensor, t: Tensor, candidates: Tensor | None) -> Tensor:
        return self._multiply(self.head_query(r, t), self._all_keys("head"), candidates)

    def _all_keys(self, side: str) -> Tensor:
        keys = self.tail_keys if side == "tail" else self.head_keys
        if self.training or torch.is_grad_enabled():
            return keys(self.table())
        version = (side == "tail", *(held._version for held in (*self.parameters(), *self.buffers())))
        if self._keys is None or self._keys[0] != version:
            rows = 4096  # at a time, so that what a model makes on the way stays small
            self._keys = version, torch.cat([keys(part) for part in self.table().split(rows)])
        return self._keys[1]
