"""LUKE: words and entities in one encoder, both of which it learns to fill in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.entity_attention import EntityAwareBlock
from kemm.fuse.heads import WordHead, word_loss
from kemm.fuse.inputs import WordInput
from kemm.systems.names import Either, Names
from kemm.systems.system import System, activation, refuse, with_losses
from kg.errors import InputError

_LAYER = "luke.encoder.layer.{i}."
_ATTENTION = f"{_LAYER}attention.self."


class EntityInput(nn.Module):
    """Entities with the places of their mentions: x_i = LN(W e_i + mean over m of p_m + s), m the mention's words.

    Args:
        entities: how many, the first of which is padding.
        inner: width of e; W is there where it is not D.
        width: D.
        positions: how many.
        sentences: kinds of s.
        eps: of the LayerNorm.
        dropout: at the end.
    """

    def __init__(
        self, entities: int, inner: int, width: int, positions: int, sentences: int, eps: float, dropout: float
    ) -> None:
        super().__init__()
        self.entity = nn.Embedding(entities, inner, padding_idx=0)
        self.project = nn.Linear(inner, width, bias=False) if inner != width else None
        self.position = nn.Embedding(positions, width)
        self.sentence = nn.Embedding(sentences, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = dropout

    def forward(self, entities: Tensor, mentions: Tensor, sentences: Tensor | None = None) -> Tensor:
        """(B, N) ids, (B, N, M) positions of words, −1 where a mention has fewer than M → (B, N, D)."""
        x = self.entity(entities)
        x = x if self.project is None else self.project(x)
        there = (mentions >= 0)[..., None]
        place = (self.position(mentions.clamp(min=0)) * there).sum(dim=-2) / there.sum(dim=-2).clamp(min=1)
        sentence = self.sentence.weight[0] if sentences is None else self.sentence(sentences)
        return functional.dropout(self.norm(x + place + sentence), self.dropout, self.training)


class LUKE(System):
    """Words and entities (Yamada et al., 2020, arXiv:2010.01057): L = L_mlm + L_mep, both cross entropies.

    Args:
        config: keys as in a LUKE checkpoint's ``config.json``.
    """

    NAMES: ClassVar[Names] = {
        "words.word": "luke.embeddings.word_embeddings",
        "words.position.table": "luke.embeddings.position_embeddings.weight",
        "words.sentence": "luke.embeddings.token_type_embeddings",
        "words.norm": "luke.embeddings.LayerNorm",
        "entities.entity": "luke.entity_embeddings.entity_embeddings",
        "entities.project": "luke.entity_embeddings.entity_embedding_dense",
        "entities.position": "luke.entity_embeddings.position_embeddings",
        "entities.sentence": "luke.entity_embeddings.token_type_embeddings",
        "entities.norm": "luke.entity_embeddings.LayerNorm",
        "blocks.{i}.attention.word_queries": (f"{_ATTENTION}query", f"{_ATTENTION}w2e_query"),
        "blocks.{i}.attention.entity_queries": (f"{_ATTENTION}e2w_query", f"{_ATTENTION}e2e_query"),
        "blocks.{i}.attention.key_value": (f"{_ATTENTION}key", f"{_ATTENTION}value"),
        "blocks.{i}.attention.out": f"{_LAYER}attention.output.dense",
        "blocks.{i}.attention_residual.norm": f"{_LAYER}attention.output.LayerNorm",
        "blocks.{i}.feed_forward.up": f"{_LAYER}intermediate.dense",
        "blocks.{i}.feed_forward.down": f"{_LAYER}output.dense",
        "blocks.{i}.feed_forward_residual.norm": f"{_LAYER}output.LayerNorm",
        "word_head.transform": "lm_head.dense",
        "word_head.norm": "lm_head.layer_norm",
        "word_head.words": "lm_head.decoder",
        "word_head.bias": Either("lm_head.bias", "lm_head.decoder.bias"),
        "entity_head.transform": "entity_predictions.transform.dense",
        "entity_head.norm": "entity_predictions.transform.LayerNorm",
        "entity_head.words": "luke.entity_embeddings.entity_embeddings",
        "entity_head.bias": "entity_predictions.bias",
    }
    IGNORED: ClassVar[tuple[str, ...]] = (
        "luke.pooler.*",
        "luke.embeddings.position_ids",
        "lm_head.decoder.bias",
        "entity_predictions.decoder.*",
    )

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        refuse(config, "LUKE", use_entity_aware_attention=True)
        width, eps, dropout = config["hidden_size"], config["layer_norm_eps"], config["hidden_dropout_prob"]
        sentences, padding = config["type_vocab_size"], config["pad_token_id"]
        # Positions of words count from behind the padding token's number; those of entities from 0
        self.words = WordInput(
            config["vocab_size"],
            width,
            config["max_position_embeddings"] - padding - 1,
            sentences,
            eps,
            first_position=padding + 1,
            dropout=dropout,
            padding=padding,
        )
        self.entities = EntityInput(
            config["entity_vocab_size"],
            config["entity_emb_size"],
            width,
            config["max_position_embeddings"],
            sentences,
            eps,
            dropout,
        )
        self.blocks = nn.ModuleList(
            EntityAwareBlock(
                width,
                config["num_attention_heads"],
                config["intermediate_size"],
                activation=activation(config),
                eps=eps,
                dropout=dropout,
                attention_dropout=config["attention_probs_dropout_prob"],
            )
            for _ in range(config["num_hidden_layers"])
        )
        # The reference does not tie its output words to its input words; entities are tied
        self.word_head = WordHead(nn.Embedding(config["vocab_size"], width), eps)
        self.entity_head = WordHead(self.entities.entity, eps, activation(config), width)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls({**DEFAULTS, **config})

    def encode(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        entities: Tensor | None = None,
        mentions: Tensor | None = None,
        entity_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Words (B, T) and entities (B, N) with their mentions (B, N, M) → (B, T, D) and (B, N, D).

        Args:
            mask, entity_mask: bool, true at what is real. Padding of words stands after them.
            mentions: positions of words, −1 where a mention has fewer than M; needed with entities.

        Raises:
            InputError: entities have no mentions.
        """
        x, count = self.words(tokens), tokens.shape[1]
        real = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.bool()
        if entities is not None:
            if mentions is None:
                raise InputError("LUKE was given entities but not where they are mentioned: give mentions")
            x = torch.cat([x, self.entities(entities, mentions)], dim=1)
            there = torch.ones_like(entities, dtype=torch.bool) if entity_mask is None else entity_mask.bool()
            real = torch.cat([real, there], dim=1)
        for block in self.blocks:
            x = block(x, count, masks.keys(real))
        return x[:, :count], x[:, count:]

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        entities: Tensor | None = None,
        mentions: Tensor | None = None,
        entity_mask: Tensor | None = None,
        labels: Tensor | None = None,
        entity_labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Encode and predict.

        Args:
            tokens, mask, entities, mentions, entity_mask: see `encode`.
            labels, entity_labels: (B, T) and (B, N), ``IGNORED`` where nothing is hidden.

        Returns:
            ``states`` (B, T, D), ``entity_states`` (B, N, D), ``words`` (B, T, V), ``entities`` (B, N, E), and, as far
            as labels are given, ``mlm``, ``mep`` and their sum ``loss``.
        """
        states, entity_states = self.encode(tokens, mask, entities, mentions, entity_mask)
        found = {
            "states": states,
            "entity_states": entity_states,
            "words": self.word_head(states),
            "entities": self.entity_head(entity_states),
        }
        losses = {}
        if labels is not None:
            losses["mlm"] = word_loss(found["words"], labels)
        if entity_labels is not None:
            losses["mep"] = word_loss(found["entities"], entity_labels)
        return with_losses(found, losses)


#: What a checkpoint's config.json may leave unsaid.
DEFAULTS = {
    "vocab_size": 50267,
    "entity_vocab_size": 500_000,
    "hidden_size": 768,
    "entity_emb_size": 256,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 1,
}
