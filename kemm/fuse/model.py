"""KEMM: towers' features → tokens → one multiway Transformer; and ``Encoded``, a step's encodings, each made once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kemm.data.batch import Batch, Facts
from kemm.data.entity_vectors import EntityVectors
from kemm.fuse import FUSIONS
from kemm.fuse.adapters import adapt
from kemm.fuse.knowledge import EntityEncoder, FactEncoder
from kemm.fuse.pretrained import from_pretrained, save_pretrained
from kemm.settings import ModelSettings
from kg.registry import resolve


class VisionTokens(nn.Module):
    """Patch features of a frozen tower → vision tokens: LN, projection, learned positions."""

    def __init__(self, features: int, patches: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.project = nn.Linear(features, width)
        self.position = nn.Parameter(torch.randn(patches, width) * 0.02)
        self.mask_token = nn.Parameter(torch.zeros(width))

    def forward(self, patches: Tensor, masked: Tensor | None = None) -> Tensor:
        """(B, P, D_v) → (B, P, D); ``masked`` (B, P) bool hides patches."""
        tokens = self.project(self.norm(patches))
        if masked is not None:
            tokens = torch.where(masked[..., None], self.mask_token, tokens)
        return tokens + self.position


class TextTokens(nn.Module):
    """Token states of a frozen tower → language tokens, a summary token first."""

    def __init__(self, features: int, longest: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(features, width)
        self.norm = nn.LayerNorm(width)
        self.position = nn.Parameter(torch.randn(longest + 1, width) * 0.02)
        self.summary = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, states: Tensor) -> Tensor:
        """(B, T, D_t) → (B, 1 + T, D)."""
        tokens = self.norm(self.project(states))
        tokens = torch.cat([self.summary.expand(len(tokens), 1, -1), tokens], dim=1)
        return tokens + self.position[: tokens.shape[1]]


class KEMM(nn.Module):
    """The knowledge-enhanced multimodal model on top of frozen towers.

    Args:
        settings: sizes and parts.
        vision_width, text_width: D_v and D_t of the towers' features.
        vectors: of entities, where the settings name an embedding run.
    """

    def __init__(
        self, settings: ModelSettings, vision_width: int, text_width: int, vectors: EntityVectors | None = None
    ) -> None:
        super().__init__()
        self.settings, self.vision_width, self.text_width = settings, vision_width, text_width
        self.vision = VisionTokens(vision_width, settings.grid**2, settings.width)
        self.language = TextTokens(text_width, settings.text_tokens, settings.width)
        is_tuned = settings.entity_embeddings is not None and settings.entity_embeddings.mode == "tuned"
        self.knowledge = FactEncoder(
            text_width, settings.width, settings.gnn, settings.gnn_layers, vectors, is_tuned=is_tuned
        )
        self.entity = EntityEncoder(text_width, vision_width, settings.width)
        self.fusion = resolve(FUSIONS, settings.fusion, "fusion")(
            settings.width, settings.layers, settings.heads, dropout=settings.dropout
        )
        if settings.adapters is not None:
            adapt(self, settings.adapters)

    def fuse(
        self,
        patches: Tensor | None,
        text: Tensor,
        text_mask: Tensor,
        facts: Facts | None = None,
        has_image: Tensor | None = None,
        masked_patches: Tensor | None = None,
        masked_nodes: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Fuse pictures, texts and facts; any of patches and facts may be absent.

        Returns:
            ``vision`` (B, P, D), ``language`` (B, 1 + T, D), ``knowledge`` (B, K, D): those that were given.
        """
        tokens, masks, biases = {}, {}, {}
        if patches is not None:
            tokens["vision"] = self.vision(patches, masked_patches)
            present = torch.ones(len(patches), dtype=torch.bool) if has_image is None else has_image
            masks["vision"] = present.to(patches.device)[:, None].expand(-1, patches.shape[1])
        tokens["language"] = self.language(text)
        masks["language"] = nn.functional.pad(text_mask, (1, 0), value=True)
        if facts is not None:
            tokens["knowledge"] = self.knowledge(facts, masked_nodes)
            masks["knowledge"] = facts.mask
            biases["knowledge"] = facts.lay_out(facts.log_score)
        return self.fusion(tokens, masks, biases, is_packed=True)

    def save_pretrained(self, folder: str | Path, lineage: dict[str, Any] | None = None) -> Path:
        """Write weights, settings and a card; see ``kemm.fuse.pretrained.save_pretrained``."""
        return save_pretrained(self, folder, lineage)

    @classmethod
    def from_pretrained(cls, folder: str | Path, vectors: EntityVectors | None = None) -> KEMM:
        """Load what ``save_pretrained`` wrote; see ``kemm.fuse.pretrained.from_pretrained``."""
        return from_pretrained(folder, vectors)


class Encoded:
    """The encodings of one batch, each computed when first asked for, and once.

    Args:
        model: the model.
        batch: the step's data.
        generator: the step's randomness (what is masked).
        mask_rates: share of patches and of nodes to mask; zero where no objective asks.
    """

    def __init__(
        self,
        model: KEMM,
        batch: Batch,
        generator: torch.Generator | None = None,
        patch_rate: float = 0.0,
        node_rate: float = 0.0,
    ) -> None:
        self.model, self.batch, self.generator = model, batch, generator
        self.patch_rate, self.node_rate = patch_rate, node_rate

    def random(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)

    @cached_property
    def image(self) -> Tensor:
        """(B, D_v) mean patch feature of the pairs' pictures."""
        assert self.batch.pairs is not None
        return self.batch.pairs.patches.mean(1)

    @cached_property
    def caption(self) -> Tensor:
        """(B, D_t) mean token state of the captions."""
        assert self.batch.pairs is not None
        weights = self.batch.pairs.text_mask.unsqueeze(-1).float()
        return (self.batch.pairs.text * weights).sum(1) / weights.sum(1)

    @cached_property
    def fused(self) -> dict[str, Tensor]:
        """Pictures fused with their own captions."""
        pairs = self.batch.pairs
        assert pairs is not None
        return self.model.fuse(pairs.patches, pairs.text, pairs.text_mask)

    @cached_property
    def masked_patches(self) -> Tensor:
        """(B, P) bool: which patches are hidden in ``masked``; at least one a picture when any is asked for."""
        pairs = self.batch.pairs
        assert pairs is not None
        order = self.random(*pairs.patches.shape[:2]).argsort(1).to(pairs.patches.device)
        count = max(1, round(self.patch_rate * pairs.patches.shape[1])) if self.patch_rate else 0
        return order < count

    @cached_property
    def masked(self) -> dict[str, Tensor]:
        """Pictures with hidden patches fused with captions with hidden tokens: one forward for both, as FLAVA's."""
        pairs = self.batch.pairs
        assert pairs is not None
        return self.model.fuse(pairs.patches, pairs.masked_text, pairs.text_mask, masked_patches=self.masked_patches)

    @cached_property
    def masked_nodes(self) -> Tensor | None:
        """(N,) bool: entities hidden from the questions' facts; never an anchor, nor an end of an answering fact."""
        questions = self.batch.questions
        if questions is None or questions.facts is None or not self.node_rate:
            return None
        facts = questions.facts
        drawn = self.random(len(facts.node_vectors)).to(facts.node_vectors.device) < self.node_rate
        drawn &= facts.node_marks[:, 0] == 0
        needed = questions.pointer_targets.flatten()[facts.slot]
        drawn[facts.far[needed]] = False
        drawn[facts.near[needed]] = False
        return drawn

    @cached_property
    def asked(self) -> dict[str, Tensor]:
        """Questions fused with their pictures and facts, some entities hidden."""
        questions = self.batch.questions
        assert questions is not None
        return self.model.fuse(
            questions.patches,
            questions.text,
            questions.text_mask,
            questions.facts,
            questions.has_image,
            masked_nodes=self.masked_nodes,
        )
