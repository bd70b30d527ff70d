"""A model whose scores are given: what is tested is what is made of them."""

from __future__ import annotations

import torch
from torch import Tensor

from kg.embeddings.model import KGEModel


class FixedScores(KGEModel):
    """f(h, r, t) is read from a table, (E, R, E)."""

    def __init__(self, table: Tensor) -> None:
        super().__init__(table.shape[0], table.shape[1], 1, 1)
        self.table = table

    def score(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        return self.table[heads, relations, tails]

    def score_tails(self, heads: Tensor, relations: Tensor, candidates: Tensor | None = None) -> Tensor:
        return self.table[heads, relations]

    def score_heads(self, relations: Tensor, tails: Tensor, candidates: Tensor | None = None) -> Tensor:
        return self.table[:, relations, tails].T

    def interact(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        raise AssertionError

    def against_tails(self, h: Tensor, r: Tensor, candidates: Tensor | None) -> Tensor:
        raise AssertionError

    def against_heads(self, r: Tensor, t: Tensor, candidates: Tensor | None) -> Tensor:
        raise AssertionError


def scores(num_entities: int, num_relations: int, levels: int, seed: int) -> Tensor:
    """Draw scores of so many levels: few give many ties."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(levels, (num_entities, num_relations, num_entities), generator=generator).float()
