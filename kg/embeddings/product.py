"""Models whose score is a product of a query with an entity's key: all entities are scored by one matrix product.

f(h, r, t) = ⟨query(h, r), key(t)⟩ + bias(t)        and, for heads,  ⟨query'(r, t), key'(h)⟩
"""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from kg.embeddings.gathered import product_of_rows
from kg.embeddings.model import KGEModel
from kg.errors import InputError


class ProductModel(KGEModel):
    """The contract of models that score by products. ``Q`` is the width of queries and keys, De unless said."""

    @abc.abstractmethod
    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        """Return what tails are multiplied with, (…, De), (…, Dr) → (…, Q)."""

    @abc.abstractmethod
    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        """Return what heads are multiplied with, (…, Dr), (…, De) → (…, Q)."""

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        """Return what relations are multiplied with, (…, De) twice → (…, Dr), where the score is linear in them."""
        raise InputError(f"{type(self).__name__} can't be asked for relations: set training.relation_prediction to 0")

    def tail_keys(self, e: Tensor) -> Tensor:
        """Return the keys of entities as tails, (…, De) → (…, Q)."""
        return e

    def head_keys(self, e: Tensor) -> Tensor:
        """Return the keys of entities as heads, (…, De) → (…, Q)."""
        return e

    def bias(self) -> Tensor | None:
        """Return what is added to the scores of entities, (E,), or None."""
        return None

    def interact(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        assert self.bias() is None, "a model with biases knows which entity it scores: it overrides ``score``"
        return (self.tail_query(h, r) * self.tail_keys(t)).sum(-1)

    def against_tails(self, h: Tensor, r: Tensor, candidates: Tensor | None) -> Tensor:
        return self._multiply(self.tail_query(h, r), self.tail_keys(self.table()), candidates)

    def against_heads(self, r: Tensor, t: Tensor, candidates: Tensor | None) -> Tensor:
        return self._multiply(self.head_query(r, t), self.head_keys(self.table()), candidates)

    def _multiply(self, query: Tensor, keys: Tensor, candidates: Tensor | None) -> Tensor:
        bias = self.bias()
        if candidates is None:
            return query @ keys.T if bias is None else torch.addmm(bias, query, keys.T)  # (B, E)
        if candidates.dim() == 1:
            scores = query @ torch.nn.functional.embedding(candidates, keys, sparse=self.sparse and keys.is_leaf).T
        else:
            scores = product_of_rows(query, keys, candidates, sparse=self.sparse and keys.is_leaf)  # (B, K)
        return scores if bias is None else scores + bias[candidates]
