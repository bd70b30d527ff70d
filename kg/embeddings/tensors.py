"""Products through a matrix or a tensor: RESCAL, TuckER and HolE."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kg.embeddings.product import ProductModel


class RESCAL(ProductModel):
    """f(h, r, t) = hᵀ W_r t (Nickel et al., 2011, equation 3).

    Args:
        dimension: d of entities; a relation has a d × d matrix.
    """

    def __init__(self, num_entities: int, num_relations: int, dimension: int, **options: Any) -> None:
        options.setdefault("initial", dimension**-0.5)
        super().__init__(num_entities, num_relations, dimension, dimension * dimension, **options)

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        return (h[..., None, :] @ _square(r))[..., 0, :]

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        return (_square(r) @ t[..., :, None])[..., 0]

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        return (h[..., :, None] * t[..., None, :]).flatten(-2)


def _square(r: Tensor) -> Tensor:
    width = round(r.shape[-1] ** 0.5)
    return r.unflatten(-1, (width, width))


class TuckER(ProductModel):
    """f(h, r, t) = W ×₁ h ×₂ r ×₃ t = Σ_ijk W_ijk h_i r_j t_k (Balažević et al., 2019, arXiv:1901.09590, equation 3).

    With batch normalisation and dropout where the authors' code has them: on the head (``dropout``), on W ×₂ r, and on
    the query; such a model asks for heads by reciprocal relations.

    Args:
        dimension: d of entities.
        relation_dimension: of relations, by default d.
        batch_norm: normalise the head and the query.
        hidden_dropouts: of W ×₂ r, and of the query.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        dimension: int,
        relation_dimension: int | None = None,
        batch_norm: bool = False,
        hidden_dropouts: tuple[float, float] = (0.0, 0.0),
        **options: Any,
    ) -> None:
        width = relation_dimension or dimension
        options.setdefault("initial", dimension**-0.5)
        super().__init__(num_entities, num_relations, dimension, width, **options)
        self.core = nn.Parameter(self.uniform(dimension, width, dimension, bound=1.0))  # (De, Dr, De)
        self.head_norm = nn.BatchNorm1d(dimension) if batch_norm else nn.Identity()
        self.query_norm = nn.BatchNorm1d(dimension) if batch_norm else nn.Identity()
        self.matrix_dropout, self.query_dropout = (nn.Dropout(p) for p in hidden_dropouts)
        self.scores_heads = not batch_norm

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        matrix = self.matrix_dropout(torch.einsum("ijk,...j->...ik", self.core, r))  # (…, De, De)
        query = (self.head_norm(h)[..., None, :] @ matrix)[..., 0, :]
        dropped: Tensor = self.query_dropout(self.query_norm(query))
        return dropped

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        matrix = torch.einsum("ijk,...j->...ik", self.core, r)
        return (matrix @ t[..., :, None])[..., 0]

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        return torch.einsum("ijk,...i,...k->...j", self.core, h, t)


class HolE(ProductModel):
    """f(h, r, t) = r · (h ⋆ t), [h ⋆ t]_k = Σ_i h_i t_(k+i mod d) (Nickel et al., 2016, arXiv:1510.04935, equation 10).

    The queries are a convolution and a correlation, by the fast Fourier transform:
    query_j = Σ_i h_i r_(j−i), query'_i = Σ_k r_k t_(k+i).

    Args:
        dimension: d of all vectors.
    """

    def __init__(self, num_entities: int, num_relations: int, dimension: int, **options: Any) -> None:
        options.setdefault("initial", dimension**-0.5)
        super().__init__(num_entities, num_relations, dimension, dimension, **options)

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(h) * torch.fft.rfft(r), n=h.shape[-1])

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(r).conj() * torch.fft.rfft(t), n=t.shape[-1])

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(h).conj() * torch.fft.rfft(t), n=h.shape[-1])
