"""Scores by small networks: ConvE, Conv-TransE and NTN."""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import Tensor, nn

from kg.embeddings.model import KGEModel
from kg.embeddings.product import ProductModel
from kg.errors import InputError

#: Numbers that NTN holds at a time while it scores all entities.
_BLOCK = 16 << 20


class Convolutional(ProductModel):
    """f(h, r, t) = hidden(vec(filters(h, r))) · t + b_t: a query by convolution, and a bias an entity.

    Args:
        dimension: d of all vectors.
        options: of ``KGEModel``; ``dropout`` is the filters' own.
    """

    scores_heads = False
    filters: nn.Module
    hidden: nn.Module

    def __init__(self, num_entities: int, num_relations: int, dimension: int, **options: Any) -> None:
        if not options.get("reciprocal"):
            raise InputError(f"{type(self).__name__} asks for heads by reciprocals: set model.reciprocal to true")
        options.setdefault("initial", (2 / dimension) ** 0.5)
        super().__init__(num_entities, num_relations, dimension, dimension, **options)
        self.biases = nn.Parameter(torch.zeros(num_entities))

    def bias(self) -> Tensor:
        return self.biases

    def score(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        query = self.tail_query(self.entity(heads), self.relation(relations))
        return (query * self.entity(tails)).sum(-1) + self.biases[tails]

    @abc.abstractmethod
    def lay_out(self, h: Tensor, r: Tensor) -> Tensor:
        """Return what is convolved, (…, d) twice → (B, channels, …)."""

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        query: Tensor = self.hidden(self.filters(self.lay_out(h, r)).flatten(1))
        return query.view(h.shape)

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        raise AssertionError("heads are asked for by reciprocal relations")

    def hidden_layer(self, size: int, dimension: int, dropout: float) -> nn.Module:
        """Return the layer from feature maps to a query."""
        return nn.Sequential(nn.Linear(size, dimension), nn.Dropout(dropout), nn.BatchNorm1d(dimension), nn.ReLU())


class ConvE(Convolutional):
    """f(h, r, t) = ReLU(vec(ReLU([h̄; r̄] ∗ ω)) W) · t + b_t (Dettmers et al., 2018, arXiv:1707.01476, equation 1).

    h̄ and r̄ are the vectors laid out as pictures, one above the other. Batch normalisation and dropouts stand as in the
    authors' code: of the picture (``dropout``), of feature maps, and of the query. Heads are asked for by reciprocals.

    Args:
        dimension: d of all vectors, divisible by ``height``.
        height: of the picture of one vector.
        channels, kernel: feature maps, and the side of a filter.
        feature_dropout, hidden_dropout: of whole feature maps, and of the query.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        dimension: int,
        height: int = 10,
        channels: int = 32,
        kernel: int = 3,
        feature_dropout: float = 0.2,
        hidden_dropout: float = 0.3,
        **options: Any,
    ) -> None:
        if dimension % height or 2 * height < kernel or dimension // height < kernel:
            raise InputError(
                f"model.height ({height}) must divide model.dimension ({dimension}) into a picture of at least "
                f"{kernel} × {kernel}"
            )
        dropout = options.pop("dropout", 0.0)
        super().__init__(num_entities, num_relations, dimension, **options)
        self.height, self.width = height, dimension // height
        size = channels * (2 * height - kernel + 1) * (self.width - kernel + 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.generator.initial_seed())
            self.filters = nn.Sequential(
                nn.BatchNorm2d(1),
                nn.Dropout(dropout),
                nn.Conv2d(1, channels, kernel),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.Dropout2d(feature_dropout),
            )
            self.hidden = self.hidden_layer(size, dimension, hidden_dropout)

    def lay_out(self, h: Tensor, r: Tensor) -> Tensor:
        shape = (-1, 1, self.height, self.width)
        return torch.cat([h.reshape(shape), r.reshape(shape)], 2)  # (B, 1, 2·height, width)


class ConvTransE(Convolutional):
    """f(h, r, t) = ReLU(vec(ReLU([h, r] ∗ ω)) W) · t + b_t, filters along the vectors.

    SACN's decoder (Shang et al., 2019, arXiv:1811.04441, equations 4 to 7): h and r are the two channels of a signal of
    length d, so that h_i and r_i meet, as in TransE. Batch normalisation and dropouts stand as in the authors' code.

    Args:
        dimension: d of all vectors.
        channels, kernel: feature maps, and the odd length of a filter.
        feature_dropout, hidden_dropout: of feature maps, and of the query.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        dimension: int,
        channels: int = 32,
        kernel: int = 3,
        feature_dropout: float = 0.2,
        hidden_dropout: float = 0.3,
        **options: Any,
    ) -> None:
        if kernel % 2 == 0:
            raise InputError(f"model.kernel must be odd, so that feature maps are as long as vectors (got {kernel})")
        dropout = options.pop("dropout", 0.0)
        super().__init__(num_entities, num_relations, dimension, **options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.generator.initial_seed())
            self.filters = nn.Sequential(
                nn.BatchNorm1d(2),
                nn.Dropout(dropout),
                nn.Conv1d(2, channels, kernel, padding=kernel // 2),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
                nn.Dropout(feature_dropout),
            )
            self.hidden = self.hidden_layer(channels * dimension, dimension, hidden_dropout)

    def lay_out(self, h: Tensor, r: Tensor) -> Tensor:
        return torch.stack([h.flatten(0, -2), r.flatten(0, -2)], 1)  # (B, 2, d)


class NTN(KGEModel):
    """f(h, r, t) = u_r · tanh(hᵀ W_r^[1:k] t + V_r [h; t] + b_r) (Socher et al., 2013, equation 1).

    Relations are stored as [W (k, d, d) | V of h (k, d) | V of t (k, d) | b (k) | u (k)].

    Args:
        dimension: d of entities.
        slices: k.
    """

    def __init__(self, num_entities: int, num_relations: int, dimension: int, slices: int = 4, **options: Any) -> None:
        self.slices = slices
        options.setdefault("initial", dimension**-0.5)
        super().__init__(
            num_entities, num_relations, dimension, slices * (dimension * dimension + 2 * dimension + 2), **options
        )
        with torch.no_grad():
            self.relations[:, -slices:] = 1.0  # u: all slices count at the start

    def parts(self, r: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return W (…, k, d, d), V of h and of t (…, k, d), b and u (…, k)."""
        k = self.slices
        d = self.entities.shape[1]
        w, of_h, of_t, b, u = r.split([k * d * d, k * d, k * d, k, k], -1)
        return w.unflatten(-1, (k, d, d)), of_h.unflatten(-1, (k, d)), of_t.unflatten(-1, (k, d)), b, u

    def interact(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        w, of_h, of_t, b, u = self.parts(r)
        inner = torch.einsum("...i,...kij,...j->...k", h, w, t)
        inner = inner + torch.einsum("...kd,...d->...k", of_h, h) + torch.einsum("...kd,...d->...k", of_t, t) + b
        return (u * torch.tanh(inner)).sum(-1)

    def against_tails(self, h: Tensor, r: Tensor, candidates: Tensor | None) -> Tensor:
        w, of_h, of_t, b, u = self.parts(r)
        slope = torch.einsum("bi,bkij->bkj", h, w) + of_t  # (B, k, d)
        return self._compare(slope, torch.einsum("bkd,bd->bk", of_h, h) + b, u, candidates)

    def against_heads(self, r: Tensor, t: Tensor, candidates: Tensor | None) -> Tensor:
        w, of_h, of_t, b, u = self.parts(r)
        slope = torch.einsum("bkij,bj->bki", w, t) + of_h
        return self._compare(slope, torch.einsum("bkd,bd->bk", of_t, t) + b, u, candidates)

    def _compare(self, slope: Tensor, constant: Tensor, u: Tensor, candidates: Tensor | None) -> Tensor:
        """Return u · tanh(slope e + constant) for candidates e, in blocks of queries."""
        if candidates is not None:
            e = self.entity(candidates)
            inner = torch.einsum("bkd,...ed->b...ke" if e.dim() == 2 else "bkd,bed->bke", slope, e)
            return (u[..., None] * torch.tanh(inner + constant[..., None])).sum(-2)
        block = max(1, _BLOCK // (self.slices * self.num_entities))
        parts = []
        for start in range(0, len(slope), block):
            part = slice(start, start + block)
            inner = slope[part] @ self.entities.T + constant[part, :, None]  # (b, k, E)
            parts.append((u[part, :, None] * torch.tanh(inner)).sum(1))
        return torch.cat(parts)
