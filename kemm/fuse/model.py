"""KEMM: every modality's tokens → one multiway Transformer; entities as vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from kemm.data.entity_vectors import EntityVectors
from kemm.encoders.encoder import Encoder
from kemm.fuse import FUSIONS
from kemm.fuse.adapters import adapt
from kemm.fuse.entrances import (
    Entrance,
    GivenRegions,
    ScratchPictures,
    ScratchSound,
    ScratchVideo,
    ScratchWords,
    TowerPictures,
    TowerWords,
)
from kemm.fuse.knowledge import EntityEncoder, FactEncoder
from kemm.fuse.multiway import MODALITIES
from kemm.fuse.pretrained import from_pretrained, save_pretrained
from kemm.settings import ModelSettings
from kg.errors import InputError
from kg.registry import resolve


class KEMM(nn.Module):
    """The knowledge-enhanced multimodal model.

    Args:
        settings: sizes and parts.
        vision_width, text_width: D_v and D_t of the features of the world's towers, in which entities and facts are
            known; the model's own pictures and words come by ``settings.towers``.
        vectors: of entities, where the settings name an embedding run.
        towers: "vision", "language" → that tower, to be run where the batch has no cached states, or trained.
        num_words: V, of words from scratch.
    """

    def __init__(
        self,
        settings: ModelSettings,
        vision_width: int,
        text_width: int,
        vectors: EntityVectors | None = None,
        towers: Mapping[str, Encoder] | None = None,
        num_words: int = 0,
    ) -> None:
        super().__init__()
        self.settings, self.vision_width, self.text_width, self.num_words = (
            settings,
            vision_width,
            text_width,
            num_words,
        )
        self.inputs = nn.ModuleDict(_entrances(settings, vision_width, text_width, towers or {}, num_words))
        is_tuned = settings.entity_embeddings is not None and settings.entity_embeddings.mode == "tuned"
        self.knowledge = FactEncoder(
            text_width, settings.width, settings.gnn, settings.gnn_layers, vectors, is_tuned=is_tuned
        )
        self.entity = EntityEncoder(text_width, vision_width, settings.width)
        further = tuple(name for name in self.inputs if name not in MODALITIES)
        self.fusion = resolve(FUSIONS, settings.fusion, "fusion")(
            settings.width, settings.layers, settings.heads, (*MODALITIES, *further), dropout=settings.dropout
        )
        if settings.adapters is not None:
            adapt(self, settings.adapters)

    def entrance(self, name: str) -> Entrance:
        """How a modality comes in.

        Raises:
            InputError: the model has no such modality.
        """
        if name not in self.inputs:
            raise InputError(f"this model takes no {name} (it takes {', '.join(self.inputs)}): name it in model.towers")
        return cast(Entrance, self.inputs[name])

    def fuse(
        self,
        tokens: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        biases: Mapping[str, Tensor] | None = None,
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Fuse the tokens of any modalities; without knowledge, exactly what a model that has none does.

        Args:
            tokens: modality → (B, L_m, D), of its entrance; ``knowledge`` (B, K, D) of ``self.knowledge``.
            masks: modality → (B, L_m) bool, true at what is there; nothing is computed for the rest.
            biases: modality → (B, L_m) added to the logits of whoever reads those tokens.
            mask: (L, L) or (B, L, L), who may read whom; see ``kemm.fuse.masks``.

        Returns:
            modality → (B, L_m, D).
        """
        return self.fusion(dict(tokens), dict(masks), dict(biases or {}), mask=mask, is_packed=True)

    def save_pretrained(self, folder: str | Path, lineage: dict[str, Any] | None = None) -> Path:
        """Write weights, settings and a card; see ``kemm.fuse.pretrained.save_pretrained``."""
        return save_pretrained(self, folder, lineage)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        vectors: EntityVectors | None = None,
        towers: Mapping[str, Encoder] | None = None,
    ) -> KEMM:
        """Load what ``save_pretrained`` wrote; see ``kemm.fuse.pretrained.from_pretrained``."""
        return from_pretrained(folder, vectors, towers)


def _entrances(
    settings: ModelSettings, vision_width: int, text_width: int, towers: Mapping[str, Encoder], num_words: int
) -> dict[str, Entrance]:
    """The entrance of each modality, as the settings have it."""
    width, chosen = settings.width, settings.towers
    made: dict[str, Entrance] = {}
    pictures, words = chosen.vision, chosen.language
    if pictures.mode == "scratch":
        made["vision"] = ScratchPictures(pictures.size, pictures.patch, width)
    else:
        tower = towers.get("vision")
        made["vision"] = TowerPictures(vision_width, settings.grid, width, tower, pictures.mode == "tuned")
    if words.mode == "scratch":
        made["language"] = ScratchWords(num_words, settings.text_tokens, width)
    else:
        tower = towers.get("language")
        made["language"] = TowerWords(text_width, settings.text_tokens, width, tower, words.mode == "tuned")
    if chosen.audio is not None:
        made["audio"] = ScratchSound(chosen.audio.size, chosen.audio.frames, chosen.audio.patch, width)
    if chosen.video is not None:
        made["video"] = ScratchVideo(chosen.video.size, chosen.video.patch, chosen.video.frames, width)
    if chosen.regions is not None:
        made["regions"] = GivenRegions(chosen.regions.features, chosen.regions.most, width)
    return made
