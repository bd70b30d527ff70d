"""VisualBERT: regions of a picture as further words of BERT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.heads import IGNORED, FirstTokenPooler, WordHead, word_loss
from kemm.systems.bert import TextEncoder, encoder_names, word_head_names
from kemm.systems.names import Names
from kemm.systems.system import System, activation, refuse, with_losses
from kg.errors import InputError

#: What a checkpoint's config.json may leave unsaid.
DEFAULTS = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "visual_embedding_dim": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 1,
}


class VisualBERT(System):
    """VisualBERT with both of its heads (Li et al., 2019, arXiv:1908.03557).

        r_j = LN(W f_j + p_j + s),   p_j = q_0 + mean of the positions of the words that the region j shows

    f are a detector's features. L = L_mlm + L_match, the match being whether the sentence is of the picture.
    """

    NAMES: ClassVar[Names] = {
        **encoder_names("text.", "visual_bert."),
        "region": "visual_bert.embeddings.visual_projection",
        "region_position": "visual_bert.embeddings.visual_position_embeddings.weight",
        "region_sentence": "visual_bert.embeddings.visual_token_type_embeddings.weight",
        "pooler.project": "visual_bert.pooler.dense",
        **word_head_names("words.", "cls.predictions.", "visual_bert.embeddings.word_embeddings"),
        "matches": "cls.seq_relationship",
    }
    IGNORED: ClassVar[tuple[str, ...]] = ("cls.predictions.decoder.*", "visual_bert.embeddings.position_ids")

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        refuse(config, "VisualBERT", tie_word_embeddings=True, bypass_transformer=False)
        width = config["hidden_size"]
        self.text = TextEncoder(config)
        self.region = nn.Linear(config["visual_embedding_dim"], width)
        self.region_position = nn.Parameter(torch.randn(config["max_position_embeddings"], width) * 0.02)
        self.region_sentence = nn.Parameter(torch.randn(config["type_vocab_size"], width) * 0.02)
        self.pooler = FirstTokenPooler(width)
        self.words = WordHead(self.text.input.word, config["layer_norm_eps"], activation(config))
        self.matches = nn.Linear(width, 2)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls({**DEFAULTS, **config})

    def forward(
        self,
        regions: Tensor,
        tokens: Tensor,
        mask: Tensor | None = None,
        region_mask: Tensor | None = None,
        sentences: Tensor | None = None,
        shown: Tensor | None = None,
        labels: Tensor | None = None,
        matches: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Fuse, and predict.

        Args:
            regions: (B, R, F) features.
            tokens: (B, T) ids.
            mask, region_mask: (B, T) and (B, R) bool, true at what is real.
            sentences: (B, T), which of two.
            shown: (B, R, A), the places in the text that a region shows, −1 for none.
            labels: (B, T), the words at masked places, ``IGNORED`` elsewhere.
            matches: (B,), 0 or 1.

        Returns:
            ``states`` (B, T + R, D), ``pooled`` (B, D), ``words`` (B, T + R, V), ``matches`` (B, 2), and, as far as
            labels are given, ``mlm``, ``itm`` and their sum ``loss``.

        Raises:
            InputError: the features are of another width.
        """
        if regions.shape[-1] != self.region.in_features:
            raise InputError(
                f"a region has {regions.shape[-1]} features, the model wants {self.region.in_features}: use the "
                "detector that it was trained with"
            )
        x = torch.cat([self.text.input(tokens, sentences), self._enter(regions, shown)], dim=1)
        real = [
            torch.ones(part.shape[:2], dtype=torch.bool, device=x.device) if known is None else known.bool()
            for part, known in ((tokens, mask), (regions, region_mask))
        ]
        states = self.text.transformer(x, mask=masks.keys(torch.cat(real, dim=1)))
        pooled = self.pooler(states)
        found = {"states": states, "pooled": pooled, "words": self.words(states), "matches": self.matches(pooled)}
        losses = {}
        if labels is not None:
            losses["mlm"] = word_loss(found["words"][:, : tokens.shape[1]], labels)
        if matches is not None:
            losses["itm"] = functional.cross_entropy(found["matches"], matches, ignore_index=IGNORED)
        return with_losses(found, losses)

    def _enter(self, regions: Tensor, shown: Tensor | None) -> Tensor:
        """(B, R, F) → (B, R, D)."""
        x = self.region(regions) + self.region_position[0] + self.region_sentence[1]
        if shown is not None and self.text.input.position is not None:
            real = (shown >= 0)[..., None]  # (B, R, A, 1)
            places = self.text.input.position.table[shown.clamp(min=0)] * real  # (B, R, A, D)
            x = x + places.sum(2) / real.sum(2).clamp(min=1)
        assert self.text.input.norm is not None
        return functional.dropout(self.text.input.norm(x), self.text.input.dropout, self.training)
