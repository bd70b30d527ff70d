"""Products of three vectors: DistMult, ComplEx, CP and SimplE.

A complex vector of dimension d is stored as 2d real numbers, the real parts before the imaginary ones. ``∘`` multiplies
number by number, ``⟨a, b, c⟩ = Σ aᵢ bᵢ cᵢ``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kg.embeddings.product import ProductModel


class DistMult(ProductModel):
    """f(h, r, t) = ⟨h, r, t⟩ (Yang et al., 2015, arXiv:1412.6575, equation 2 with a diagonal matrix).

    Symmetric in h and t. Difference: vectors are not normalised.

    Args:
        dimension: d of all vectors.
    """

    def __init__(self, num_entities: int, num_relations: int, dimension: int, **options: Any) -> None:
        super().__init__(num_entities, num_relations, dimension, dimension, **options)

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        return h * r

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        return r * t

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        return h * t


class ComplEx(ProductModel):
    """f(h, r, t) = Re ⟨h, r, t̄⟩ (Trouillon et al., 2016, arXiv:1606.06357, equation 9).

        query(h, r) = h ∘ r              f = Re query · Re t + Im query · Im t
        query'(r, t) = r̄ ∘ t             f = Re query' · Re h + Im query' · Im h

    Args:
        dimension: d of all vectors, in complex numbers.
    """

    def __init__(self, num_entities: int, num_relations: int, dimension: int, **options: Any) -> None:
        super().__init__(num_entities, num_relations, 2 * dimension, 2 * dimension, **options)

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        (a, b), (c, d) = h.chunk(2, -1), r.chunk(2, -1)
        return torch.cat([a * c - b * d, a * d + b * c], -1)

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        (c, d), (a, b) = r.chunk(2, -1), t.chunk(2, -1)
        return torch.cat([c * a + d * b, c * b - d * a], -1)

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        """Return what relations are multiplied with: f = query'' · r, query'' = conj(h) ∘ t."""
        (a, b), (c, d) = h.chunk(2, -1), t.chunk(2, -1)
        return torch.cat([a * c + b * d, a * d - b * c], -1)

    def factors(self, h: Tensor, r: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        """Return the moduli of the complex numbers, as N3 wants them (Lacroix et al., 2018, section 4.2)."""
        return modulus(h), modulus(r), modulus(t)


class CP(ProductModel):
    """f(h, r, t) = ⟨h⁽¹⁾, r, t⁽²⁾⟩ (Hitchcock, 1927; for knowledge graphs Lacroix et al., 2018, arXiv:1806.07297).

    An entity has one vector as head and another as tail; without reciprocal relations the two hardly meet.

    Args:
        dimension: d of each of the vectors.
    """

    def __init__(self, num_entities: int, num_relations: int, dimension: int, **options: Any) -> None:
        super().__init__(num_entities, num_relations, 2 * dimension, dimension, **options)

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        return self.head_keys(h) * r

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        return r * self.tail_keys(t)

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        return self.head_keys(h) * self.tail_keys(t)

    def head_keys(self, e: Tensor) -> Tensor:
        return e.chunk(2, -1)[0]

    def tail_keys(self, e: Tensor) -> Tensor:
        return e.chunk(2, -1)[1]

    def factors(self, h: Tensor, r: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        return self.head_keys(h), r, self.tail_keys(t)


class SimplE(ProductModel):
    """f(h, r, t) = ½ (⟨h⁽¹⁾, r⁽¹⁾, t⁽²⁾⟩ + ⟨t⁽¹⁾, r⁽²⁾, h⁽²⁾⟩) (Kazemi & Poole, 2018, arXiv:1802.04868, section 4).

    Vectors are stored as [(1) | (2)]; r⁽²⁾ is the inverse relation's.

    Args:
        dimension: d of each of the vectors.
    """

    def __init__(self, num_entities: int, num_relations: int, dimension: int, **options: Any) -> None:
        super().__init__(num_entities, num_relations, 2 * dimension, 2 * dimension, **options)

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        (h1, h2), (r1, r2) = h.chunk(2, -1), r.chunk(2, -1)
        return torch.cat([r2 * h2, h1 * r1], -1) / 2  # against [t⁽¹⁾ | t⁽²⁾]

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        (r1, r2), (t1, t2) = r.chunk(2, -1), t.chunk(2, -1)
        return torch.cat([r1 * t2, t1 * r2], -1) / 2  # against [h⁽¹⁾ | h⁽²⁾]

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        (h1, h2), (t1, t2) = h.chunk(2, -1), t.chunk(2, -1)
        return torch.cat([h1 * t2, t1 * h2], -1) / 2


def modulus(z: Tensor) -> Tensor:
    """Return the moduli of complex vectors, (…, 2d) → (…, d); the derivative at 0 is 0."""
    a, b = z.chunk(2, -1)
    return torch.sqrt(a * a + b * b + torch.finfo(z.dtype).tiny)
