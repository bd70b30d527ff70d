"""Entities from tokens of their modalities by a Transformer, queries by a second one: MyGO.

Zhang et al., 2025 (arXiv:2404.09468), and the authors' code. An entity is a sequence of an [ENT] token, its structure
vector and the tokens of its modalities (codebook vectors of a picture's patches and of a text's words, not tuned):

    e = Transformer([ENT, drop(LN(s)) + p_s, drop(LN(P_m x_m1)) + p_m, …])[0]                  (section 3.2)
    (·, r', c) = Transformer([e_h + p_head, LN(r) + p_relation, [MASK] + p_tail])
    f(h, r, t) = ⟨query(c, r'), e_t⟩                  query of the base model, TuckER there        (section 3.3)

Missing tokens are masked from attention. Where we differ: the fine-grained contrastive loss between two dropped-out
views (weight 0.001 to 0.01 there) is left out, since it is an objective and not a model. As there, every step encodes
all entities: without a GPU that is for small graphs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kg.embeddings.fused import FusedModel, Seen


class TokenAttention(FusedModel):
    """MyGO. Heads are asked for by reciprocal relations.

    Args:
        heads: of attention; must divide the width of an entity.
        layers: of the entities' Transformer, and of the queries'.
        hidden: width of their feed-forward layers.
        token_dropouts: of structure, and of all other tokens.
        options: see ``FusedModel``.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        dimension: int,
        *,
        heads: int = 2,
        layers: tuple[int, int] = (1, 1),
        hidden: int = 1024,
        token_dropouts: tuple[float, float] = (0.6, 0.3),
        **options: Any,
    ) -> None:
        super().__init__(num_entities, num_relations, dimension, **options)
        self.scores_heads = False
        D, ways = self.width, 1 + len(self.names)
        assert self.relation_width == D, "entities and relations stand in one sequence: their widths must be equal"
        self.projections = nn.ParameterList(
            self.normal(int(width), D, std=int(width) ** -0.5) for _, width in self.shapes
        )
        self.norms = nn.ModuleList(nn.LayerNorm(D) for _ in range(ways))
        self.relation_norm = nn.LayerNorm(D)
        self.kinds = nn.Parameter(self.normal(1 + ways, D, std=D**-0.5))  # [ENT], p_s, p_m
        self.places = nn.Parameter(self.normal(3, D, std=D**-0.5))  # p_head, p_relation, [MASK] + p_tail
        first, second = token_dropouts
        self.token_dropouts = nn.ModuleList([nn.Dropout(first), *(nn.Dropout(second) for _ in self.names)])
        self.encoder = self._transformer(D, heads, hidden, layers[0])
        self.decoder = self._transformer(D, heads, hidden, layers[1])

    def _transformer(self, width: int, heads: int, hidden: int, layers: int) -> nn.TransformerEncoder:
        """Return a Transformer that starts from numbers drawn with the model's own seed."""
        layer = nn.TransformerEncoderLayer(width, heads, hidden, 0.1, batch_first=True, norm_first=False)
        made = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.dim() > 1:
                    parameter.copy_(self.normal(*parameter.shape, std=parameter.shape[1] ** -0.5))
            for name, parameter in made.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
        return made

    def fuse_query(self, seen: Seen, r: Tensor) -> Tensor:
        raise AssertionError("the query is made of the whole sequence: see tail_query")

    def fuse_key(self, seen: Seen) -> Tensor:
        """Return e, (…, D)."""
        tokens: list[Tensor] = []
        for place, (part, norm, dropout) in enumerate(zip(seen.parts, self.norms, self.token_dropouts)):
            x = part if place == 0 else part @ self.projections[place - 1]  # (…, T, D)
            tokens.append(dropout(norm(x)) + self.kinds[place + 1])
        shape = seen.parts[0].shape[:-2]
        sequence = torch.cat([self.kinds[:1].expand(*shape, 1, -1), *tokens], -2)  # (…, L, D)
        nothing = torch.zeros(*shape, 1, dtype=torch.bool, device=sequence.device)
        is_missing = torch.cat([nothing, *(~known for known in seen.known)], -1)
        flat, mask = sequence.reshape(-1, *sequence.shape[-2:]), is_missing.reshape(-1, is_missing.shape[-1])
        encoded: Tensor = self.encoder(flat, src_key_padding_mask=mask)[:, 0]
        return encoded.reshape(*shape, -1)

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        e, shape = self.fuse_key(self.spread(h)), r.shape
        sequence = torch.stack([e, self.fused_dropout(self.relation_norm(r)), torch.zeros_like(e)], -2) + self.places
        decoded: Tensor = self.decoder(sequence.reshape(-1, 3, shape[-1]))
        relation, context = decoded[:, 1].reshape(shape), decoded[:, 2].reshape(shape)
        return self.base.tail_query(context, relation)

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        raise AssertionError("heads are asked for by reciprocal relations")
