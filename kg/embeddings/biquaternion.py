"""Modalities as the four parts of a biquaternion: M-Hyper.

Liu et al., 2026 (arXiv:2509.23714). Structure, two modalities and a fused one are the coefficients of 1, i, j and k,
complex numbers each (a biquaternion), and the Hamilton product with the relation's lets every pair of them meet:

    q_e = x_1 + x_2 i + x_3 j + x_f k        x_f = Σ_m a_m x_m, a = softmax over known m of (u_m · x_m + c_r,m)
    f(h, r, t) = Re ⟨q_h ⊗ q_r / |q_r|, q̄_t⟩        (the product as in BiQUE, Guo & Kok, 2021, arXiv:2109.14401)

What is read from the paper is its abstract and summaries: four bases, three independent modalities and one fused, the
weights of the fused one by relation, the Hamilton product. Ours are the details of the fused weights and the plain
projections; left out are its factorisation of entities (FERF) and the noise that it trains against. A missing modality
has weight 0 in x_f, and its own part is structure's times a learned number; with all but structure missing every part
is thus structure's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kg.embeddings.fused import FusedModel, Seen
from kg.embeddings.modalities import Modality
from kg.errors import InputError


class Biquaternion(FusedModel):
    """M-Hyper. Structure has D = 2d real numbers, a relation 8d: four complex vectors. Needs reciprocal relations.

    Args:
        dimension: d, complex numbers in each of the four parts.
        modalities: two of them.
        options: see ``FusedModel``; the base model is ComplEx, whose interaction isn't used.

    Raises:
        InputError: there are not two modalities.
    """

    def __init__(
        self, num_entities: int, num_relations: int, dimension: int, *, modalities: list[Modality], **options: Any
    ) -> None:
        if len(modalities) != 2:
            raise InputError(f"a biquaternion holds structure and 2 modalities, not {len(modalities)}")
        super().__init__(
            num_entities, num_relations, dimension, modalities=modalities, **{**options, "base": "complex"}
        )
        self.scores_heads = False
        spread = float(self.entities.detach().std())
        self.projections = nn.ParameterList(
            self.normal(int(width), self.width, std=spread * int(width) ** 0.5) for _, width in self.shapes
        )
        self.stand_ins = nn.Parameter(torch.ones(2, self.width))
        self.looks = nn.Parameter(torch.zeros(3, self.width))  # u
        rows = len(self.relations)
        self.of_relation = nn.Parameter(torch.zeros(rows, 3))  # c
        more = self.normal(rows, 3 * self.relation_width, std=float(self.relations.detach().std()))
        self.other_parts = nn.Parameter(more)  # of i, j and k; the table itself is of 1

    def relation(self, numbers: Tensor) -> Tensor:
        """Return [four parts, real numbers before imaginary in each | c_r], (…, 8d + 3)."""
        return torch.cat([super().relation(numbers), self.other_parts[numbers], self.of_relation[numbers]], -1)

    def relation_part(self, r: Tensor) -> Tensor:
        return r[..., :-3]

    def factors(self, h: Tensor, r: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        """Return the moduli of all complex numbers."""
        parts = self.fuse_key(self.spread(h)), self.relation_part(r), self.fuse_key(self.spread(t))
        return tuple(torch.cat([self.base.factors(x, x, x)[0] for x in part.chunk(4, -1)], -1) for part in parts)

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        q = self.fused_dropout(self.fuse_query(self.spread(h), r))
        return hamilton(q, unit(self.fused_dropout(self.relation_part(r))))

    def tail_keys(self, e: Tensor) -> Tensor:
        return self.fuse_key(self.spread(e))

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        raise AssertionError("heads are asked for by reciprocal relations")

    def fuse_query(self, seen: Seen, r: Tensor) -> Tensor:
        return self._parts(seen, r[..., -3:])

    def fuse_key(self, seen: Seen) -> Tensor:
        """Return the four parts, (…, 8d)."""
        return self._parts(seen, None)

    def _parts(self, seen: Seen, of_relation: Tensor | None) -> Tensor:
        structure = torch.where(seen.known[0], seen.parts[0][..., 0, :], 0.0)
        views, has = [structure], [seen.known[0]]
        for n, (part, known, projection) in enumerate(zip(seen.parts[1:], seen.known[1:], self.projections)):
            x = nn.functional.normalize((part * known[..., None]).sum(-2), dim=-1)
            has.append(known.any(-1, keepdim=True))
            own = x @ projection / len(projection) ** 0.5
            views.append(torch.where(has[-1], own, structure * self.stand_ins[n]))
        stacked = torch.stack(views, -2)  # (…, 3, D)
        logits = (stacked * self.looks).sum(-1)
        logits = logits if of_relation is None else logits + of_relation
        weights = torch.softmax(logits.masked_fill(~torch.cat(has, -1), -torch.inf), -1)
        return torch.cat([*views, (weights[..., None] * stacked).sum(-2)], -1)


def hamilton(p: Tensor, q: Tensor) -> Tensor:
    """Return p ⊗ q of biquaternions, (…, 8d) each: parts of 1, i, j, k, real numbers before imaginary in each."""
    (a, b, c, d), (e, f, g, h) = p.chunk(4, -1), q.chunk(4, -1)
    x = times
    return torch.cat(
        [
            x(a, e) - x(b, f) - x(c, g) - x(d, h),
            x(a, f) + x(b, e) + x(c, h) - x(d, g),
            x(a, g) - x(b, h) + x(c, e) + x(d, f),
            x(a, h) + x(b, g) - x(c, f) + x(d, e),
        ],
        -1,
    )


def times(p: Tensor, q: Tensor) -> Tensor:
    """Return the products of complex numbers, (…, 2d) each."""
    (a, b), (c, d) = p.chunk(2, -1), q.chunk(2, -1)
    return torch.cat([a * c - b * d, a * d + b * c], -1)


def unit(q: Tensor) -> Tensor:
    """Return biquaternions whose coefficients' moduli have squares that sum to 1, (…, 8d)."""
    length = q.unflatten(-1, (8, -1)).square().sum(-2, keepdim=True)  # (…, 1, d)
    return (q.unflatten(-1, (8, -1)) / torch.sqrt(length + torch.finfo(q.dtype).tiny)).flatten(-2)
