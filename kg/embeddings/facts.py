"""Facts as tokens: (h, r, t) → one vector, t an entity or a literal, for an encoder that attends to facts.

encoder = FactEncoder(entity_width=512, relation_width=512, width=256)
tokens = encoder(h, r, entities=t)                                        # (B, 256)
tokens = encoder(h, r, entities=t, literals={2: Literal("12.5", unit="g")})   # row 2's tail is a literal
encoder.of(model, heads, relations, tails)                                 # from an embedding model's own vectors
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kg.embeddings.literals import LiteralEncoder
from kg.embeddings.model import KGEModel
from kg.records import Literal


class FactEncoder(nn.Module):
    """One token a fact:

        x = LN(W_h ĥ + W_r r̂ + W_t t̂ + k)        token = x + W₂ gelu(W₁ x)

    ĥ, r̂, t̂ have length √width, whatever the embedding model's have; a literal's vector takes the place of W_t t̂, and
    k tells facts about entities from facts about values. The order of head and tail is kept, since their
    maps differ. Vectors that are given are constants unless they require gradients.

    Args:
        entity_width, relation_width: De and Dr of the vectors given.
        width: D of the tokens.
        hidden: width of the feed-forward layer, by default 2 D.
        seed: of the numbers at the start.
    """

    def __init__(
        self, entity_width: int, relation_width: int, width: int, *, hidden: int | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        hidden = hidden or 2 * width

        def normal(rows: int, columns: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns, generator=generator) * rows**-0.5)

        self.width = width
        self.head, self.tail = normal(entity_width, width), normal(entity_width, width)
        self.relation = normal(relation_width, width)
        self.kinds = nn.Parameter(torch.randn(2, width, generator=generator) * 0.1)  # entity, literal
        self.literals = LiteralEncoder(width, seed=seed + 1)
        self.norm = nn.LayerNorm(width)
        self.first, self.second = normal(width, hidden), normal(hidden, width)

    def forward(
        self,
        h: Tensor,
        r: Tensor,
        entities: Tensor | None = None,
        literals: Mapping[int, Literal] | None = None,
    ) -> Tensor:
        """Return a token for each fact, (B, D).

        Args:
            h, r: (B, De), (B, Dr).
            entities: (B, De) tails; rows whose tail is a literal are not read. None where all are literals.
            literals: row → literal.
        """
        literals = literals or {}
        assert entities is not None or len(literals) == len(h), "a tail is an entity or a literal"
        t = h.new_zeros(len(h), self.width) if entities is None else _scaled(entities) @ self.tail
        is_literal = torch.zeros(len(h), dtype=torch.long, device=h.device)
        if literals:
            rows = torch.tensor(sorted(literals), device=h.device)
            t = t.index_copy(0, rows, self.literals([literals[row] for row in sorted(literals)]).to(t))
            is_literal[rows] = 1
        x = self.norm(_scaled(h) @ self.head + _scaled(r) @ self.relation + t + self.kinds[is_literal])
        token: Tensor = x + nn.functional.gelu(x @ self.first) @ self.second
        return token

    def of(self, model: KGEModel, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """Return the tokens of facts between a model's entities, (B, D); arguments are (B,) int64."""
        return self(model.entity(heads), model.relation(relations), model.entity(tails))


def _scaled(vectors: Tensor) -> Tensor:
    """Return vectors of length √width, (…, W); a vector of 0 stays one."""
    return nn.functional.normalize(vectors, dim=-1) * vectors.shape[-1] ** 0.5
