"""BLIP-2 before a language model that stays as it is: queries that have read a picture stand before its text."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.heads import IGNORED, next_word_loss
from kemm.fuse.positions import check_positions
from kemm.systems.blip import vision_names
from kemm.systems.blip2 import Q_FORMER, VISION, q_former, q_former_names
from kemm.systems.names import Either, Names
from kemm.systems.system import System, refuse
from kemm.systems.vit import PictureEncoder
from kg.errors import InputError


@dataclass
class LanguageCache:
    """What the language model has read: its own cache, (B, L) true at what was real, and of an encoder the states."""

    known: Any
    mask: Tensor
    states: Tensor | None = None

    def select(self, rows: Tensor) -> None:
        if self.known is not None:
            self.known.reorder_cache(rows)
        self.mask = self.mask[rows]
        self.states = self.states[rows] if self.states is not None else None


class BLIP2(System):
    """A language model that is told of a picture by Q vectors before its text (Li et al., 2023, arXiv:2301.12597).

        L = − mean log p_lm(y_i | W z, x, y_<i),   z = QFormer(ViT(picture))

    The language model is any of transformers', decoder alone (OPT) or with an encoder (T5). It is frozen, as in the
    paper; what stands before it learns through it. ``language.requires_grad_(True)`` lets it learn, too.
    """

    SIDE: ClassVar[tuple[str, ...]] = ("vision_config", "image_size")
    NAMES: ClassVar[Names] = {
        **vision_names("vision.", "vision_model."),
        **q_former_names("q_former."),
        "project": "language_projection",
        "language.lm_head": Either(
            "language_model.lm_head", "language_model.shared", "language_model.model.decoder.embed_tokens"
        ),
        "language.encoder.embed_tokens": Either("language_model.encoder.embed_tokens", "language_model.shared"),
        "language.decoder.embed_tokens": Either("language_model.decoder.embed_tokens", "language_model.shared"),
        "language.*": "language_model.*",
    }

    def __init__(
        self, vision: Mapping[str, Any], q_former_config: Mapping[str, Any], language: nn.Module, queries: int = 32
    ) -> None:
        super().__init__()
        self.vision = PictureEncoder(vision)
        self.q_former = q_former(q_former_config, vision["hidden_size"], queries, has_words=False)
        self.language: Any = language.requires_grad_(False)
        of_language: Any = language.config
        self.is_encoder_decoder = bool(of_language.is_encoder_decoder)
        self.project = nn.Linear(q_former_config["hidden_size"], of_language.hidden_size)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

        vision, q_former_config = {**VISION, **config["vision_config"]}, {**Q_FORMER, **config["qformer_config"]}
        refuse(vision, "BLIP-2", attention_dropout=0.0)
        refuse(q_former_config, "BLIP-2", use_qformer_text_input=False)
        text = dict(config["text_config"])
        text_config = AutoConfig.for_model(text.pop("model_type", "opt"), **text)
        kind = AutoModelForSeq2SeqLM if text_config.is_encoder_decoder else AutoModelForCausalLM
        language = kind.from_config(text_config)
        if text.get("tie_word_embeddings") is False and text_config.is_encoder_decoder:
            # transformers 5 ties T5's nevertheless; those published since v1.1 have a matrix of their own
            language.lm_head.weight = nn.Parameter(language.lm_head.weight.detach().clone())
        return cls(vision, q_former_config, language, config.get("num_query_tokens", 32))

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(B, 3, rows, columns) → what stands before the text, (B, Q, D)."""
        return self.project(self.q_former(self.vision(pictures)))

    def read(self, pictures: Tensor, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Pictures, then text → vectors (B, Q + T, D) and their mask (B, Q + T).

        Raises:
            InputError: there are more of them than the language model has positions.
        """
        prefix, words = self.encode_image(pictures), self.language.get_input_embeddings()(tokens)
        check_positions(
            prefix.shape[1] + tokens.shape[1], getattr(self.language.config, "max_position_embeddings", sys.maxsize)
        )
        mask = torch.ones_like(tokens) if mask is None else mask.long()
        return torch.cat([prefix, words], dim=1), functional.pad(mask, (prefix.shape[1], 0), value=1)

    def forward(
        self, pictures: Tensor, tokens: Tensor, mask: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Read.

        Args:
            pictures: (B, 3, rows, columns).
            tokens, mask: (B, T), without places kept for the picture.
            labels: of a decoder (B, T), the tokens themselves; of an encoder–decoder (B, T_y), what it is to write,
                which is needed. ``IGNORED`` where there is nothing to learn.

        Returns:
            ``words``, logits (B, Q + T, V), or (B, T_y, V), and with labels the ``loss``.

        Raises:
            InputError: an encoder–decoder has no labels.
        """
        x, real = self.read(pictures, tokens, mask)
        if self.is_encoder_decoder:
            if labels is None:
                raise InputError("an encoder–decoder was given nothing to write: give labels, or write with `start`")
            read = self.language(inputs_embeds=x, attention_mask=real, labels=labels, use_cache=False)
            return {"words": read.logits, "loss": read.loss}
        found = {"words": self.language(inputs_embeds=x, attention_mask=real, use_cache=False).logits}
        if labels is not None:
            prefix = x.shape[1] - tokens.shape[1]
            found["loss"] = next_word_loss(found["words"], functional.pad(labels, (prefix, 0), value=IGNORED))
        return found

    @torch.no_grad()
    def start(self, pictures: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None) -> LanguageCache:
        """The cache to begin writing with, after pictures and a prompt (B, T); see `step`."""
        if tokens is None:
            tokens = torch.zeros(len(pictures), 0, dtype=torch.long, device=pictures.device)
        x, real = self.read(pictures, tokens, mask)
        if self.is_encoder_decoder:
            states = self.language.get_encoder()(inputs_embeds=x, attention_mask=real).last_hidden_state
            return LanguageCache(None, real, states)
        known = self.language(inputs_embeds=x, attention_mask=real, use_cache=True).past_key_values
        return LanguageCache(known, real)

    def step(self, tokens: Tensor, cache: LanguageCache) -> tuple[Tensor, LanguageCache]:
        """See `kemm.generate.NextToken`."""
        if cache.states is not None:
            found = self.language(
                encoder_outputs=(cache.states,),
                attention_mask=cache.mask,
                decoder_input_ids=tokens,
                past_key_values=cache.known,
                use_cache=True,
            )
        else:
            cache.mask = functional.pad(cache.mask, (0, tokens.shape[1]), value=1)
            found = self.language(
                input_ids=tokens, attention_mask=cache.mask, past_key_values=cache.known, use_cache=True
            )
        cache.known = found.past_key_values
        return found.logits[:, -1], cache
