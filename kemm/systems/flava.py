"""FLAVA: an encoder of pictures, one of texts, and one of both on top of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.heads import IGNORED, FirstTokenPooler, WordHead, word_loss
from kemm.fuse.inputs import PatchInput, WordInput
from kemm.fuse.transformer import Transformer
from kemm.systems.names import Either, Names, Source
from kemm.systems.system import System, activation, refuse
from kemm.systems.vit import block_names, blocks
from kemm.systems.vit import encoder_names as vision_names
from kg.errors import InputError

_BLOCKS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}
#: What a checkpoint's config.json may leave unsaid.
VISION = {**_BLOCKS, "image_size": 224, "patch_size": 16, "num_channels": 3, "vocab_size": 8192}
TEXT = {**_BLOCKS, "vocab_size": 30522, "type_vocab_size": 2, "max_position_embeddings": 512, "pad_token_id": 0}
BOTH = {**_BLOCKS, "num_hidden_layers": 6}
LOSSES = ("mim", "mlm", "itm", "global_contrastive", "mmm_image", "mmm_text")


class TextEncoder(nn.Module):
    """BERT's input, ViT's blocks."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.input = WordInput(
            config["vocab_size"],
            config["hidden_size"],
            config["max_position_embeddings"],
            config["type_vocab_size"],
            config["layer_norm_eps"],
            dropout=config.get("hidden_dropout_prob", 0.0),
            padding=config["pad_token_id"],
        )
        self.transformer = blocks(config)


class PictureEncoder(nn.Module):
    """ViT with a vector for hidden patches."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.input = PatchInput(config["image_size"], config["patch_size"], width, channels=config["num_channels"])
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.transformer = blocks(config)


class FusionEncoder(nn.Module):
    """A class token before the tokens of picture and text, each mapped to this width, then ViT's blocks."""

    def __init__(self, config: Mapping[str, Any], vision: int, text: int) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.from_vision, self.from_text = nn.Linear(vision, width), nn.Linear(text, width)
        self.classes = nn.Parameter(torch.zeros(width))
        self.transformer = blocks(config)

    def forward(self, vision: Tensor, text: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, 1 + P, D_v), (B, T, D_t), (B, T) bool true at real words → (B, 2 + P + T, D)."""
        first = self.classes.expand(len(vision), 1, -1)
        x = torch.cat([first, self.from_vision(vision), self.from_text(text)], dim=1)
        if mask is None:
            return self.transformer(x)
        real = functional.pad(mask.bool(), (x.shape[1] - mask.shape[1], 0), value=True)
        return self.transformer(x, mask=masks.keys(real))


class CodeHead(nn.Module):
    """Logits of a vocabulary that is not tied to any input: W' LN(a(W x)) + b."""

    def __init__(self, config: Mapping[str, Any], vocabulary: int) -> None:
        super().__init__()
        words = nn.Embedding(vocabulary, config["hidden_size"])
        self.head = WordHead(words, config["layer_norm_eps"], activation(config))

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, V)."""
        return self.head(x)


def _head_names(ours: str, theirs: str) -> dict[str, Source]:
    return {
        f"{ours}.head.transform": f"{theirs}.transform.dense",
        f"{ours}.head.norm": f"{theirs}.transform.LayerNorm",
        f"{ours}.head.words": f"{theirs}.decoder",
        f"{ours}.head.bias": Either(f"{theirs}.bias", f"{theirs}.decoder.bias"),
    }


_VISION, _TEXT, _BOTH = "flava.image_model.", "flava.text_model.", "flava.multimodal_model."
_HEADS = ("mim", "mlm", "mmm_image", "mmm_text")


class FLAVA(System):
    """FLAVA with its pre-training heads (Singh et al., 2022, arXiv:2112.04482).

        L = L_mim + L_mlm                                   for a picture or a text alone
        L = L_gc + L_itm + L_mmm_image + L_mmm_text         for both, each times its weight

    gc is CLIP's contrast, of picture and text unhidden. The others are of both with patches and words hidden: whether
    they belong together, and, for those that do, which codes and words are hidden. Codes of pictures are DALL·E's
    tokenizer's (`kemm.systems.flava_codes`), and given as labels.
    """

    SIDE: ClassVar[tuple[str, ...]] = ("image_config", "image_size")
    NAMES: ClassVar[Names] = {
        **vision_names("vision.", _VISION),
        "vision.mask_token": f"{_VISION}embeddings.mask_token",
        "text.input.word": f"{_TEXT}embeddings.word_embeddings",
        "text.input.position.table": f"{_TEXT}embeddings.position_embeddings.weight",
        "text.input.sentence": f"{_TEXT}embeddings.token_type_embeddings",
        "text.input.norm": f"{_TEXT}embeddings.LayerNorm",
        **block_names("text.", _TEXT),
        "fusion.from_vision": "flava.image_to_mm_projection",
        "fusion.from_text": "flava.text_to_mm_projection",
        "fusion.classes": f"{_BOTH}cls_token",
        **block_names("fusion.", _BOTH),
        "project_vision": "flava.image_projection",
        "project_text": "flava.text_projection",
        "scale": "flava.logit_scale",
        **{ours: theirs for head in _HEADS for ours, theirs in _head_names(head, f"{head}_head").items()},
        "pooler.project": "itm_head.pooler.dense",
        "matches": "itm_head.seq_relationship",
    }
    #: The poolers of the three encoders, which nothing reads, and the tokenizer of pictures, a system of its own.
    IGNORED: ClassVar[tuple[str, ...]] = (
        "image_codebook.*",
        *(f"{encoder}pooler.*" for encoder in (_VISION, _TEXT, _BOTH)),
        "*.position_ids",
        "*.token_type_ids",
        "*_head.bias",  # the one or the other is read
        "*_head.decoder.bias",
    )

    def __init__(
        self,
        vision: Mapping[str, Any],
        text: Mapping[str, Any],
        both: Mapping[str, Any],
        embed: int = 768,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        widths = vision["hidden_size"], text["hidden_size"]
        self.vision, self.text = PictureEncoder(vision), TextEncoder(text)
        self.fusion = FusionEncoder(both, *widths)
        self.project_vision, self.project_text = (nn.Linear(width, embed) for width in widths)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.mim, self.mmm_image = (CodeHead(vision, vision["vocab_size"]) for _ in range(2))
        self.mlm, self.mmm_text = (CodeHead(text, text["vocab_size"]) for _ in range(2))
        self.pooler, self.matches = FirstTokenPooler(both["hidden_size"]), nn.Linear(both["hidden_size"], 2)
        self.weights = dict.fromkeys(LOSSES, 1.0) | dict(weights or {})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        vision, text, both = (
            {**unsaid, **(config.get(f"{kind}_config") or {})}
            for kind, unsaid in (("image", VISION), ("text", TEXT), ("multimodal", BOTH))
        )
        refuse(both, "FLAVA", use_cls_token=True)
        for part in (vision, text):  # one form of head reads both
            refuse({"hidden_size": part["hidden_size"]}, "FLAVA", hidden_size=both["hidden_size"])
        refuse(vision, "FLAVA", mask_token=True)
        weights = {loss: config.get(f"{loss}_weight", 1.0) for loss in LOSSES}
        for loss, weight in weights.items():
            if weight <= 0:  # the reference then leaves out more than the loss
                raise InputError(f"config.json: {loss}_weight is {weight}; FLAVA is built with weights above 0 alone")
        return cls(vision, text, both, config.get("projection_dim", 768), weights)

    def encode_image(self, pictures: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, 3, rows, columns), (B, P) bool true at hidden patches → (B, 1 + P, D) before and after the last norm."""
        encoder = self.vision
        return _both_ends(encoder.transformer, encoder.input(pictures, hidden, encoder.mask_token), None)

    def encode_text(
        self, tokens: Tensor, mask: Tensor | None = None, sentences: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, T) ids, (B, T) bool true at real tokens → (B, T, D) before and after the last norm."""
        return _both_ends(self.text.transformer, self.text.input(tokens, sentences), mask)

    def forward(
        self,
        pictures: Tensor | None = None,
        tokens: Tensor | None = None,
        mask: Tensor | None = None,
        sentences: Tensor | None = None,
        masked_tokens: Tensor | None = None,
        hidden: Tensor | None = None,
        labels: Tensor | None = None,
        codes: Tensor | None = None,
        matches: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Encode pictures, texts or both, and predict.

        Args:
            pictures: (B, 3, rows, columns).
            tokens, masked_tokens: (B, T) ids, and the same with words hidden; the same unless given.
            mask: (B, T) bool, true at real tokens.
            sentences: (B, T), which of two.
            hidden: (B, P) bool, patches that are hidden.
            labels: (B, T), the words at hidden places, ``IGNORED`` elsewhere.
            codes: (B, P) of all patches; those of hidden ones are learned.
            matches: (B,), 1 where picture and text belong together; unless given, all do.

        Returns:
            ``vision``, ``text`` (unhidden), ``fused`` (hidden), as far as there are; ``itm`` (B, 2); ``similarity``
            (B, B), texts × pictures; ``words`` and ``codes``, logits at all places; and the losses of ``LOSSES`` as
            ``loss_…`` with their weighted sum ``loss``.
        """
        found: dict[str, Tensor] = {}
        losses: dict[str, Tensor] = {}
        seen = read = None
        if pictures is not None:
            found["vision"] = self.encode_image(pictures)[1]
            seen = self.encode_image(pictures, hidden)
        if tokens is not None:
            found["text"] = self.encode_text(tokens, mask, sentences)[1]
            read = self.encode_text(tokens if masked_tokens is None else masked_tokens, mask, sentences)
        if codes is not None and hidden is not None:
            codes = codes.masked_fill(~hidden, IGNORED)
        if seen is not None and read is not None:
            losses = self._fuse(found, seen[0], read[0], mask, labels, codes, matches)
        elif seen is not None:
            found["codes"] = self.mim(seen[1][:, 1:])
            losses = {"mim": word_loss(found["codes"], codes)} if codes is not None else {}
        elif read is not None:
            found["words"] = self.mlm(read[1])
            losses = {"mlm": word_loss(found["words"], labels)} if labels is not None else {}
        if losses:
            weighted = {name: self.weights[name] * loss for name, loss in losses.items()}
            found |= {f"loss_{name}": loss for name, loss in weighted.items()}
            found["loss"] = torch.stack(list(weighted.values())).sum()
        return found

    def _fuse(
        self,
        found: dict[str, Tensor],
        vision: Tensor,
        text: Tensor,
        mask: Tensor | None,
        labels: Tensor | None,
        codes: Tensor | None,
        matches: Tensor | None,
    ) -> dict[str, Tensor]:
        """Add to ``found`` what is of both; return the losses."""
        fused = self.fusion(vision, text, mask)
        found |= {"fused": fused, "itm": self.matches(self.pooler(fused)), "similarity": self._similarity(found)}
        belong = torch.ones(len(fused), dtype=torch.bool, device=fused.device)
        losses = {}
        if matches is not None:
            losses["itm"] = functional.cross_entropy(found["itm"], matches)
            if matches.any():  # else all are learned from, as if they did belong together
                belong = matches != 0
        found["codes"] = self.mmm_image(fused[:, 2 : 1 + vision.shape[1]])
        found["words"] = self.mmm_text(fused[:, -text.shape[1] :])
        if codes is not None:
            losses["mmm_image"] = word_loss(found["codes"][belong], codes[belong])
        if labels is not None:
            losses["mmm_text"] = word_loss(found["words"][belong], labels[belong])
        target = belong.nonzero()[:, 0]
        ways = [functional.cross_entropy(s[belong], target) for s in (found["similarity"], found["similarity"].T)]
        losses["global_contrastive"] = torch.stack(ways).mean()
        return losses

    def _similarity(self, found: Mapping[str, Tensor]) -> Tensor:
        """(B, B): e^λ ⟨t_i / ‖t_i‖, v_j / ‖v_j‖⟩; in training λ is first held between 0 and 4.6052."""
        if self.training:
            with torch.no_grad():
                self.scale.clamp_(0, 4.6052)
        text = functional.normalize(self.project_text(found["text"][:, 0]), dim=-1)
        vision = functional.normalize(self.project_vision(found["vision"][:, 0]), dim=-1)
        return self.scale.exp() * text @ vision.T


def _both_ends(transformer: Transformer, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """(B, L, D) after the last block, and that after the last norm."""
    for state in transformer.states(x, mask=None if mask is None else masks.keys(mask.bool())):
        x = state
    return x, transformer.norm(x)
