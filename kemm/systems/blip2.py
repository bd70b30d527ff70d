"""BLIP-2: queries that read a picture and share attention with a text; before a language model they are beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.inputs import WordInput
from kemm.fuse.q_former import QFormer
from kemm.systems.blip import vision_names
from kemm.systems.names import Names, Source
from kemm.systems.system import System, activation, refuse
from kemm.systems.vit import PictureEncoder

#: What a checkpoint's config.json may leave unsaid.
VISION = {
    "hidden_size": 1408,
    "num_hidden_layers": 39,
    "num_attention_heads": 16,
    "intermediate_size": 6144,
    "image_size": 224,
    "patch_size": 14,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
}
Q_FORMER = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "layer_norm_eps": 1e-12,
    "cross_attention_frequency": 2,
    "use_qformer_text_input": False,
}


def q_former_names(ours: str) -> dict[str, Source]:
    """Our prefix, ending in a dot; theirs is always ``qformer.`` with ``query_tokens`` beside."""
    layer, block = "qformer.encoder.layer.{i}.", f"{ours}blocks.{{i}}."
    names: dict[str, Source] = {f"{ours}queries": "query_tokens", f"{ours}norm": "qformer.layernorm"}
    for part, place in (("attention", "attention"), ("cross", "crossattention")):
        query, key, value = (f"{layer}{place}.attention.{name}" for name in ("query", "key", "value"))
        if part == "attention":
            names[f"{block}attention.qkv"] = (query, key, value)
        else:
            names |= {f"{block}cross.query": query, f"{block}cross.key_value": (key, value)}
        names[f"{block}{part}.out"] = f"{layer}{place}.output.dense"
        names[f"{block}{part}_residual.norm"] = f"{layer}{place}.output.LayerNorm"
    for part, ending in (("query", "_query"), ("word", "")):
        names[f"{block}{part}_feed_forward.up"] = f"{layer}intermediate{ending}.dense"
        names[f"{block}{part}_feed_forward.down"] = f"{layer}output{ending}.dense"
        names[f"{block}{part}_residual.norm"] = f"{layer}output{ending}.LayerNorm"
    return names


def q_former(config: Mapping[str, Any], context_width: int, queries: int, has_words: bool) -> QFormer:
    """The Q-Former that ``qformer_config`` describes."""
    return QFormer(
        config["hidden_size"],
        config["num_hidden_layers"],
        config["num_attention_heads"],
        context_width,
        queries,
        cross_every=config["cross_attention_frequency"],
        has_words=has_words,
        hidden=config["intermediate_size"],
        activation=activation(config),
        eps=config["layer_norm_eps"],
        dropout=config["hidden_dropout_prob"],
        attention_dropout=config["attention_probs_dropout_prob"],
    )


class BLIP2Retrieval(System):
    """How well a text goes with a picture (Li et al., 2023, arXiv:2301.12597).

        s_itc = max_q ⟨W_v z_q / ‖·‖, W_t t_cls / ‖·‖⟩,   z_itm = mean_q W z'_q

    z: queries that have read the picture; t: the words alone; z': queries that have read picture and words.
    """

    SIDE: ClassVar[tuple[str, ...]] = ("vision_config", "image_size")
    NAMES: ClassVar[Names] = {
        **vision_names("vision.", "vision_model."),
        **q_former_names("q_former."),
        "words.word": "embeddings.word_embeddings",
        "words.position.table": "embeddings.position_embeddings.weight",
        "project_vision": "vision_projection",
        "project_text": "text_projection",
        "matches": "itm_head",
    }
    IGNORED: ClassVar[tuple[str, ...]] = ("embeddings.position_ids",)

    def __init__(
        self, vision: Mapping[str, Any], q_former_config: Mapping[str, Any], queries: int = 32, embed: int = 256
    ) -> None:
        super().__init__()
        width = q_former_config["hidden_size"]
        self.vision = PictureEncoder(vision)
        self.q_former = q_former(q_former_config, vision["hidden_size"], queries, has_words=True)
        self.words = WordInput(
            q_former_config["vocab_size"],
            width,
            q_former_config["max_position_embeddings"],
            padding=q_former_config.get("pad_token_id", 0),
        )
        self.project_vision, self.project_text = nn.Linear(width, embed), nn.Linear(width, embed)
        self.matches = nn.Linear(width, 2)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        vision, q_former_config = {**VISION, **config["vision_config"]}, {**Q_FORMER, **config["qformer_config"]}
        refuse(vision, "BLIP-2", attention_dropout=0.0)
        refuse(q_former_config, "BLIP-2's retrieval", use_qformer_text_input=True)
        return cls(
            vision, q_former_config, config.get("num_query_tokens", 32), config.get("image_text_hidden_size", 256)
        )

    def encode_image(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, rows, columns) → states (B, 1 + P, D_v) and a vector of length 1 of each query, (B, Q, E)."""
        states = self.vision(pictures)
        return states, functional.normalize(self.project_vision(self.q_former(states)), dim=-1)

    def encode_text(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T) ids and (B, T) bool → vectors of length 1, (B, E)."""
        may = None if mask is None else masks.keys(mask.bool())
        return functional.normalize(self.project_text(self.q_former(words=self.words(tokens), mask=may)[:, 0]), dim=-1)

    def match(self, tokens: Tensor, mask: Tensor | None, states: Tensor) -> Tensor:
        """Texts beside the states of pictures, (B, 1 + P, D_v) → logits (B, 2), the second that they match."""
        queries = len(self.q_former.queries)
        may = None if mask is None else masks.keys(functional.pad(mask.bool(), (queries, 0), value=True))
        return self.matches(self.q_former(states, self.words(tokens), may)[:, :queries]).mean(dim=1)

    def forward(self, pictures: Tensor, tokens: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Encode and compare.

        Args:
            pictures: (B, 3, rows, columns).
            tokens, mask: (B, T), without places kept for the picture.

        Returns:
            ``image`` (B, Q, E), ``text`` (B, E), ``itc`` (B, B), pictures by texts, and ``itm`` (B, 2).
        """
        states, image = self.encode_image(pictures)
        text = self.encode_text(tokens, mask)
        itc = (image @ text.T).amax(dim=1)
        return {"image": image, "text": text, "itc": itc, "itm": self.match(tokens, mask, states)}
