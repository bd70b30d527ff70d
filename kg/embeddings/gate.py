"""A learned gate over what is known of an entity: structure, text, pictures, literals, whichever there are.

    e = Σ_m a_m v_m        a = softmax over known m of (u_m · v_m + b_m [+ c_r,m])
    v_0 = structure        v_m = W^(−½) P_m x̂_m, x̂_m the mean of the known vectors of modality m, of length 1

The gate of the given entity may see the relation (c_r, "relation-aware weights"); that of a candidate can't, or a
candidate would need a vector for each relation. With all but structure missing a = (1), so e is the structure vector
to the last bit and the model is its base. √W makes a step of Adagrad move a projection as far as a structure vector.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kg.embeddings.fused import FusedModel, Seen


class Gated(FusedModel):
    """Entities by a softmax gate over modalities, in any base model that scores by products.

    Args:
        relation_aware: the gate of the given entity sees the relation; needs reciprocal relations.
        options: see ``FusedModel``.
    """

    def __init__(
        self, num_entities: int, num_relations: int, dimension: int, *, relation_aware: bool = False, **options: Any
    ) -> None:
        super().__init__(num_entities, num_relations, dimension, **options)
        spread = float(self.entities.detach().std())
        ways = 1 + len(self.names)
        self.projections = nn.ParameterList(
            self.normal(int(width), self.width, std=spread * int(width) ** 0.5) for _, width in self.shapes
        )
        self.looks = nn.Parameter(torch.zeros(ways, self.width))  # u
        self.leanings = nn.Parameter(torch.zeros(ways))  # b
        self.relation_aware = relation_aware
        if relation_aware:
            self.of_relation = nn.Parameter(torch.zeros(len(self.relations), ways))  # c
            self.scores_heads = False

    def relation(self, numbers: Tensor) -> Tensor:
        """Return [the base model's | c_r]."""
        own = super().relation(numbers)
        return torch.cat([own, self.of_relation[numbers]], -1) if self.relation_aware else own

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        if self.relation_aware:
            return super().relation_query(h, t)  # which refuses: the score isn't linear in c_r
        return self.base.relation_query(self.fuse_key(self.spread(h)), self.fuse_key(self.spread(t)))

    def fuse_query(self, seen: Seen, r: Tensor) -> Tensor:
        return self._fuse(seen, r[..., self.relation_width :] if self.relation_aware else None)

    def fuse_key(self, seen: Seen) -> Tensor:
        return self._fuse(seen, None)

    def weights(self, numbers: Tensor, relations: Tensor | None = None) -> Tensor:
        """Return how much each modality counts, structure first, (B, 1 + M); relations (B,) are those asked for."""
        seen = self.spread(self.entity(numbers))
        of_relation = None
        if self.relation_aware and relations is not None:
            of_relation = self.of_relation[relations]
        return self._weigh(self._views(seen), seen, of_relation)

    def _views(self, seen: Seen) -> Tensor:
        """Return v, (…, 1 + M, D)."""
        views = [seen.parts[0][..., 0, :]]
        for part, known, projection in zip(seen.parts[1:], seen.known[1:], self.projections):
            total = (part * known[..., None]).sum(-2)  # (…, W); the mean has the same direction
            views.append(nn.functional.normalize(total, dim=-1) @ projection / len(projection) ** 0.5)
        return torch.stack(views, -2)

    def _weigh(self, views: Tensor, seen: Seen, of_relation: Tensor | None) -> Tensor:
        logits = (views * self.looks).sum(-1) + self.leanings  # (…, 1 + M)
        if of_relation is not None:
            logits = logits + of_relation
        has = torch.stack([known.any(-1) for known in seen.known], -1)
        return torch.softmax(logits.masked_fill(~has, -torch.inf), -1)

    def _fuse(self, seen: Seen, of_relation: Tensor | None) -> Tensor:
        views = self._views(seen)
        return (self._weigh(views, seen, of_relation)[..., None] * views).sum(-2)  # (…, D)
