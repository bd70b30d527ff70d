"""CoCa: a text decoder in two halves, one that sees words alone and is compared with pictures, one that reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.attention import Attention
from kemm.fuse.attention_pool import AttentionPool
from kemm.fuse.block import Block
from kemm.fuse.cache import BlockCache, Cache
from kemm.fuse.feed_forward import FeedForward
from kemm.fuse.inputs import PatchInput, WordInput
from kemm.fuse.positions import check_positions
from kemm.fuse.transformer import Transformer
from kemm.systems.clip import contrast
from kemm.systems.names import Either, Names, Source, Transposed
from kemm.systems.system import System, refuse
from kg.errors import InputError

VISION = {"image_size": 224, "patch_size": 16, "width": 768, "layers": 12, "head_width": 64, "mlp_ratio": 4.0}
VISION_POOL = {"attn_pooler_queries": 256, "attn_pooler_heads": 8}
TEXT = {"context_length": 77, "vocab_size": 49_408, "width": 512, "heads": 8, "layers": 12, "mlp_ratio": 4.0}


def _block_names(ours: str, theirs: str) -> dict[str, Source]:
    """open_clip's names of a block, ours and theirs each ending in ``{i}.``."""
    return {
        f"{ours}attention.qkv.weight": f"{theirs}attn.in_proj_weight",
        f"{ours}attention.qkv.bias": f"{theirs}attn.in_proj_bias",
        f"{ours}attention.out": f"{theirs}attn.out_proj",
        f"{ours}attention_residual.norm": f"{theirs}ln_1",
        f"{ours}feed_forward.up": f"{theirs}mlp.c_fc",
        f"{ours}feed_forward.down": f"{theirs}mlp.c_proj",
        f"{ours}feed_forward_residual.norm": f"{theirs}ln_2",
    }


def _cross_names(ours: str, theirs: str) -> dict[str, Source]:
    """Names of cross-attention, in PyTorch's way of keeping it; ours and theirs end in a dot."""
    return {
        f"{ours}query.weight": Either(f"{theirs}q_proj_weight", f"{theirs}in_proj_weight[0:1/3]"),
        f"{ours}query.bias": f"{theirs}in_proj_bias[0:1/3]",
        f"{ours}key_value.weight": Either(
            (f"{theirs}k_proj_weight", f"{theirs}v_proj_weight"), f"{theirs}in_proj_weight[1:3/3]"
        ),
        f"{ours}key_value.bias": f"{theirs}in_proj_bias[1:3/3]",
        f"{ours}out": f"{theirs}out_proj",
    }


class CrossBlock(nn.Module):
    """x ← x + X(LN(x), LN(c)),  x ← x + F(LN(x))."""

    def __init__(self, width: int, heads: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.norm, self.context_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, context_width=width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, activation=activation)

    def forward(self, x: Tensor, context: Tensor, cache: Cache | None = None) -> Tensor:
        """(B, T, D), (B, Q, D) → (B, T, D)."""
        known = cache is not None and cache.key is not None
        x = x + self.attention(self.norm(x), None if known else self.context_norm(context), cache=cache)
        return x + self.feed_forward(self.feed_forward_norm(x))


@dataclass
class Read:
    """What a caption's writer has read: keys and values of the three stacks, and the picture's tokens."""

    words: list[BlockCache]
    fused: list[BlockCache]
    crossed: list[Cache]
    picture: Tensor

    def select(self, rows: Tensor) -> None:
        for own in (*self.words, *self.fused):
            own.select(rows)
        for cross in self.crossed:
            cross.select(rows)
        self.picture = self.picture[rows]


class CoCa(System):
    """Contrastive captioner (Yu et al., 2022, arXiv:2205.01917), as open_clip has it.

        L = L_con + 2 L_cap,   L_con = ½ (CE(s, i) + CE(sᵀ, i)),   s_ij = e^τ ⟨v_i, t_j⟩,   L_cap = − mean log p(w | …)

    Queries read the picture once: the first one's vector is compared with texts, the others are what captions read.
    (The paper has a pooler for each.) A text's vector is that of a class token behind the words.

    Args:
        config: keys as in open_clip's ``model_cfg``.
    """

    SIDE: ClassVar[tuple[str, ...]] = ("vision_cfg", "image_size")
    NAMES: ClassVar[Names] = {
        "patches.classes": "visual.class_embedding",
        "patches.position": "visual.positional_embedding",
        "patches.project": "visual.conv1",
        "patch_norm": "visual.ln_pre",
        **_block_names("vision.blocks.{i}.", "visual.transformer.resblocks.{i}."),
        "pool.queries": "visual.attn_pool.query",
        "pool.query_norm": "visual.attn_pool.ln_q",
        "pool.context_norm": "visual.attn_pool.ln_k",
        **_cross_names("pool.attention.", "visual.attn_pool.attn."),
        "pool_norm": "visual.ln_post",
        "project_vision.weight": Transposed("visual.proj"),
        "words.word": "text.token_embedding",
        "positions": "text.positional_embedding",
        "class_token": "text.cls_emb",
        **_block_names("text.blocks.{i}.", "text.transformer.resblocks.{i}."),
        "text_norm": "text.ln_final",
        "project_text.weight": Transposed("text.text_projection"),
        **_block_names("fused.{i}.", "text_decoder.resblocks.{i}."),
        **_cross_names("crossed.{i}.attention.", "text_decoder.cross_attn.{i}.attn."),
        "crossed.{i}.norm": "text_decoder.cross_attn.{i}.ln_1",
        "crossed.{i}.context_norm": "text_decoder.cross_attn.{i}.ln_1_kv",
        "crossed.{i}.feed_forward.up": "text_decoder.cross_attn.{i}.mlp.c_fc",
        "crossed.{i}.feed_forward.down": "text_decoder.cross_attn.{i}.mlp.c_proj",
        "crossed.{i}.feed_forward_norm": "text_decoder.cross_attn.{i}.ln_2",
        "norm": "text_decoder.ln_final",
        "head.weight": Transposed("text_decoder.text_projection"),
        "scale": "logit_scale",
    }
    IGNORED: ClassVar[tuple[str, ...]] = ("text.attn_mask", "text_decoder.attn_mask")  # older files have the masks

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        vision, text = {**VISION, **VISION_POOL, **config["vision_cfg"]}, {**TEXT, **config["text_cfg"]}
        writer = {**TEXT, **config["multimodal_cfg"]}
        embed, activation = config["embed_dim"], "quick-gelu" if config.get("quick_gelu") else "gelu"
        self.padding = text.get("pad_id", 0)
        if len({embed, text["width"], writer["width"]}) > 1:
            raise InputError(
                f"config.json: embed_dim {embed}, the text's width {text['width']} and the writer's {writer['width']} "
                "must be one number: the writer reads both"
            )

        width = vision["width"]
        self.patches = PatchInput(vision["image_size"], vision["patch_size"], width, bias=False)
        self.patch_norm = nn.LayerNorm(width)
        self.vision = Transformer(
            width,
            vision["layers"],
            width // vision["head_width"],
            hidden=int(width * vision["mlp_ratio"]),
            activation=activation,
            has_final_norm=False,
        )
        self.pool = AttentionPool(embed, vision["attn_pooler_heads"], width, vision["attn_pooler_queries"])
        self.pool_norm = nn.LayerNorm(embed)
        self.project_vision = nn.Linear(embed, embed, bias=False)

        width, heads, hidden = text["width"], text["heads"], int(text["width"] * text["mlp_ratio"])
        self.words = WordInput(text["vocab_size"], width)
        self.class_token = nn.Parameter(torch.randn(width) * 0.01)
        self.positions = nn.Parameter(torch.randn(text["context_length"] + 1, width) * 0.01)  # the class token's, too
        self.text = Transformer(
            width, text["layers"], heads, hidden=hidden, activation=activation, has_final_norm=False
        )
        self.text_norm = nn.LayerNorm(width)
        self.project_text = nn.Linear(width, embed, bias=False)

        heads, hidden = writer["heads"], 4 * width  # the reference leaves the writer's mlp_ratio unread
        self.fused = nn.ModuleList(
            Block(width, heads, hidden=hidden, activation=activation) for _ in range(writer["layers"])
        )
        self.crossed = nn.ModuleList(CrossBlock(width, heads, hidden, activation) for _ in range(writer["layers"]))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, writer["vocab_size"], bias=False)
        self.scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build from open_clip's ``open_clip_config.json``, or from the ``model_cfg`` within."""
        config = config.get("model_cfg", config)
        known = {"ls_init_value": None, "block_type": None, "qk_norm": False, "scale_fc": False, "norm_kwargs": None}
        vision, text = {"attentional_pool": False, **config["vision_cfg"]}, {"embed_cls": False, **config["text_cfg"]}
        refuse(vision, "CoCa", attentional_pool=True, pool_type="tok", no_ln_pre=False, timm_model_name=None, **known)
        refuse(text, "CoCa", embed_cls=True, no_causal_mask=False, hf_model_name=None, proj_type="linear", **known)
        refuse(config, "CoCa", init_logit_bias=None)
        return cls(config)

    def encode_image(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, rows, columns) → a vector of length 1, (B, E), and what captions read, (B, Q − 1, E)."""
        pooled = self.pool_norm(self.pool(self.vision(self.patch_norm(self.patches(pictures)))))
        return functional.normalize(self.project_vision(pooled[:, 0]), dim=-1), pooled[:, 1:]

    def encode_text(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) ids, padded → a vector of length 1, (B, E), and states (B, T, D).

        The reference's mask of padding is one place late, and the published weights were trained so: the first padding
        is read, and the class token, which stands behind all, reads itself only where a text fills all places.

        Raises:
            InputError: there are more words than positions.
        """
        check_positions(tokens.shape[1] + 1, len(self.positions))
        x = torch.cat([self.words(tokens), self.class_token.expand(len(tokens), 1, -1)], dim=1)
        real = functional.pad(tokens != self.padding, (1, 0), value=True)  # (B, T + 1)
        may = masks.causal(x.shape[1]).to(tokens.device) & masks.keys(real)
        x = self.text(x + self.positions[: x.shape[1]], mask=may)
        return functional.normalize(self.project_text(self.text_norm(x[:, -1])), dim=-1), x[:, :-1]

    def write(
        self,
        states: Tensor,
        picture: Tensor,
        fused: list[BlockCache] | None = None,
        crossed: list[Cache] | None = None,
    ) -> Tensor:
        """States of words (B, T, D), those of a picture (B, Q − 1, D) → logits (B, T, V) of the word after each."""
        x, before = states, fused[0].attention.length if fused else 0
        may = masks.causal(x.shape[1], before + x.shape[1]).to(x.device)
        for layer, (own, cross) in enumerate(zip(self.fused, self.crossed, strict=True)):
            x = own(x, cache=fused[layer] if fused else None, mask=may)
            x = cross(x, picture, crossed[layer] if crossed else None)
        return self.head(self.norm(x))

    def forward(self, pictures: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """Compare and caption.

        Args:
            pictures: (B, 3, rows, columns).
            tokens: (B, T) ids, padded; the words that are to be written are the same ones, one place on.

        Returns:
            ``image`` and ``text`` (B, E), ``words`` (B, T − 1, V), ``itc``, ``caption`` and the ``loss``.
        """
        (image, picture), (text, states) = self.encode_image(pictures), self.encode_text(tokens)
        words = self.write(states[:, :-1], picture)
        itc = contrast(self.scale.exp() * image @ text.T)
        caption = functional.cross_entropy(words.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=self.padding)
        loss = itc + 2 * caption
        return {"image": image, "text": text, "words": words, "itc": itc, "caption": caption, "loss": loss}

    def start(self, pictures: Tensor) -> Read:
        """The cache to begin a caption with; see `step`."""
        layers = len(self.fused)
        return Read(
            self.text.new_cache(),
            [BlockCache() for _ in range(layers)],
            [Cache() for _ in range(layers)],
            self.encode_image(pictures)[1],
        )

    def step(self, tokens: Tensor, cache: Read) -> tuple[Tensor, Read]:
        """See `kemm.generate.NextToken`."""
        before = cache.words[0].attention.length
        length = before + tokens.shape[1]
        x = self.words(tokens) + self.positions[before:length]
        may = masks.causal(tokens.shape[1], length).to(tokens.device)
        states = self.text(x, cache=cache.words, mask=may)
        return self.write(states, cache.picture, cache.fused, cache.crossed)[:, -1], cache
