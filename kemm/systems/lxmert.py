"""LXMERT: words in one stream, objects in another, that read each other in the layers at the top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse import masks
from kemm.fuse.attention import Attention
from kemm.fuse.block import Block
from kemm.fuse.feed_forward import ACTIVATIONS
from kemm.fuse.heads import IGNORED, FirstTokenPooler, WordHead, word_loss
from kemm.fuse.residual import Residual
from kemm.fuse.transformer import Transformer
from kemm.systems.bert import encoder_names, word_head_names
from kemm.systems.names import Names, Source
from kemm.systems.system import System, activation, refuse, with_losses
from kg.errors import InputError

#: What a checkpoint's config.json may leave unsaid.
DEFAULTS = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "num_qa_labels": 9500,
    "num_object_labels": 1600,
    "num_attr_labels": 400,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "l_layers": 9,
    "x_layers": 5,
    "r_layers": 5,
    "visual_feat_dim": 2048,
    "visual_pos_dim": 4,
    "visual_loss_normalizer": 6.67,
}
EPS = 1e-12


class Words(nn.Module):
    """LN(w_{t_i} + p_i + s_{u_i}); as in the reference, p_0 and s_0 learn nothing, like the padding w_0."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.word = nn.Embedding(config["vocab_size"], width, 0)
        self.position = nn.Embedding(config["max_position_embeddings"], width, 0)
        self.sentence = nn.Embedding(config["type_vocab_size"], width, 0)
        self.norm, self.dropout = nn.LayerNorm(width, eps=EPS), nn.Dropout(config["hidden_dropout_prob"])

    def forward(self, tokens: Tensor, sentences: Tensor | None = None) -> Tensor:
        """(B, T) ids, (B, T) which sentence → (B, T, D).

        Raises:
            InputError: there are more tokens than positions.
        """
        if tokens.shape[1] > self.position.num_embeddings:
            raise InputError(f"{tokens.shape[1]} tokens do not fit into {self.position.num_embeddings} positions")
        places = torch.arange(tokens.shape[1], device=tokens.device)
        kinds = torch.zeros_like(tokens) if sentences is None else sentences
        return self.dropout(self.norm(self.word(tokens) + self.position(places) + self.sentence(kinds)))


class Objects(nn.Module):
    """½ (LN(W f) + LN(U b)): features f and box b of a region."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.feature, self.box = (nn.Linear(config[f"visual_{kind}_dim"], width) for kind in ("feat", "pos"))
        self.feature_norm, self.box_norm = nn.LayerNorm(width, eps=EPS), nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """(B, R, F), (B, R, 4) → (B, R, D)."""
        return self.dropout((self.feature_norm(self.feature(features)) + self.box_norm(self.box(boxes))) / 2)


class CrossLayer(nn.Module):
    """Each stream reads the other, then itself, then a feed-forward part of its own.

        x' = FFN_x(self_x(cross(x, y))),   y' = FFN_y(self_y(cross(y, x)))

    Both directions of the cross-attention, its norm included, are one and the same part.
    """

    def __init__(self, width: int, heads: int, dropout: float, attention_dropout: float, **options: Any) -> None:
        super().__init__()
        self.cross = Attention(width, heads, context_width=width, dropout=attention_dropout)
        self.cross_residual = Residual(width, "post", eps=EPS, dropout=dropout)
        options |= {"dropout": dropout, "attention_dropout": attention_dropout}
        self.text, self.vision = (Block(width, heads, **options) for _ in range(2))

    def forward(self, x: Tensor, y: Tensor, x_mask: Tensor | None, y_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, T, D), (B, R, D), masks as `Attention` takes them → the same shapes."""
        around = self.cross_residual
        x, y = around.leave(x, self.cross(x, y, mask=y_mask)), around.leave(y, self.cross(y, x, mask=x_mask))
        return self.text(x, mask=x_mask), self.vision(y, mask=y_mask)


class ObjectHead(nn.Module):
    """What a region shows: LN(a(W x)), then linear maps for its object, its attribute and its features."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.transform, self.norm = nn.Linear(width, width), nn.LayerNorm(width, eps=EPS)
        self.activation = ACTIVATIONS[activation(config)]
        sizes = {key: config[f"{name}_dim" if key == "feat" else f"num_{name}_labels"] for key, name in _KINDS.items()}
        self.kinds = nn.ModuleDict({key: nn.Linear(width, size) for key, size in sizes.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, R, D) → ``obj`` (B, R, objects), ``attr`` (B, R, attributes), ``feat`` (B, R, F)."""
        x = self.norm(self.activation(self.transform(x)))
        return {key: kind(x) for key, kind in self.kinds.items()}


_KINDS = {"obj": "object", "attr": "attr", "feat": "visual_feat"}


def _cross_names() -> dict[str, Source]:
    layer, own = "lxmert.encoder.x_layers.{i}.", "cross.{i}."
    shared = f"{layer}visual_attention."
    names: dict[str, Source] = {
        f"{own}cross.query": f"{shared}att.query",
        f"{own}cross.key_value": (f"{shared}att.key", f"{shared}att.value"),
        f"{own}cross.out": f"{shared}output.dense",
        f"{own}cross_residual.norm": f"{shared}output.LayerNorm",
    }
    for ours, theirs in (("text", "lang"), ("vision", "visn")):
        names |= {
            f"{own}{ours}.attention.qkv": tuple(f"{layer}{theirs}_self_att.self.{p}" for p in _PARTS),
            f"{own}{ours}.attention.out": f"{layer}{theirs}_self_att.output.dense",
            f"{own}{ours}.attention_residual.norm": f"{layer}{theirs}_self_att.output.LayerNorm",
            f"{own}{ours}.feed_forward.up": f"{layer}{theirs}_inter.dense",
            f"{own}{ours}.feed_forward.down": f"{layer}{theirs}_output.dense",
            f"{own}{ours}.feed_forward_residual.norm": f"{layer}{theirs}_output.LayerNorm",
        }
    return names


_PARTS = ("query", "key", "value")


class LXMERT(System):
    """LXMERT with all of its heads (Tan and Bansal, 2019, arXiv:1908.07490).

        L = L_mlm + L_match + L_answer + 6.67 Σ_k mean over regions of c_j L_k(j),   k: object, attribute, features

    c_j is how sure the detector was of a masked region, 0 for others; features are regressed by smooth L1.
    """

    NAMES: ClassVar[Names] = {
        **encoder_names("", "lxmert."),
        "vision.blocks.{i}.attention.qkv": tuple(f"lxmert.encoder.r_layers.{{i}}.attention.self.{p}" for p in _PARTS),
        "vision.blocks.{i}.attention.out": "lxmert.encoder.r_layers.{i}.attention.output.dense",
        "vision.blocks.{i}.attention_residual.norm": "lxmert.encoder.r_layers.{i}.attention.output.LayerNorm",
        "vision.blocks.{i}.feed_forward.up": "lxmert.encoder.r_layers.{i}.intermediate.dense",
        "vision.blocks.{i}.feed_forward.down": "lxmert.encoder.r_layers.{i}.output.dense",
        "vision.blocks.{i}.feed_forward_residual.norm": "lxmert.encoder.r_layers.{i}.output.LayerNorm",
        "input.position": "lxmert.embeddings.position_embeddings",
        "objects.feature": "lxmert.encoder.visn_fc.visn_fc",
        "objects.feature_norm": "lxmert.encoder.visn_fc.visn_layer_norm",
        "objects.box": "lxmert.encoder.visn_fc.box_fc",
        "objects.box_norm": "lxmert.encoder.visn_fc.box_layer_norm",
        **_cross_names(),
        "pooler.project": "lxmert.pooler.dense",
        **word_head_names("words.", "cls.predictions.", "lxmert.embeddings.word_embeddings"),
        "matches": "cls.seq_relationship",
        "shown.transform": "obj_predict_head.transform.dense",
        "shown.norm": "obj_predict_head.transform.LayerNorm",
        **{f"shown.kinds.{key}": f"obj_predict_head.decoder_dict.{key}" for key in _KINDS},
        "answer.0": "answer_head.logit_fc.0",
        "answer.2": "answer_head.logit_fc.2",
        "answer.3": "answer_head.logit_fc.3",
    }
    IGNORED: ClassVar[tuple[str, ...]] = ("cls.predictions.decoder.*",)

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, heads = config["hidden_size"], config["num_attention_heads"]
        options: dict[str, Any] = {
            "hidden": config["intermediate_size"],
            "order": "post",
            "eps": EPS,
            "activation": activation(config),
            "dropout": config["hidden_dropout_prob"],
            "attention_dropout": config["attention_probs_dropout_prob"],
        }
        self.input, self.objects = Words(config), Objects(config)
        self.transformer, self.vision = (
            Transformer(width, config[f"{kind}_layers"], heads, has_final_norm=False, **options) for kind in "lr"
        )
        self.cross = nn.ModuleList(CrossLayer(width, heads, **options) for _ in range(config["x_layers"]))
        self.pooler = FirstTokenPooler(width)
        self.words = WordHead(self.input.word, EPS, activation(config))
        self.matches = nn.Linear(width, 2)
        self.shown = ObjectHead(config)
        self.answer = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.LayerNorm(2 * width, eps=EPS),
            nn.Linear(2 * width, config["num_qa_labels"]),
        )
        self.weight = config["visual_loss_normalizer"]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        tasks = ("task_matched", "task_mask_lm", "task_obj_predict", "task_qa")
        losses = ("visual_obj_loss", "visual_attr_loss", "visual_feat_loss", "tie_word_embeddings")
        refuse(config, "LXMERT", **dict.fromkeys((*tasks, *losses), True))
        return cls({**DEFAULTS, **config})

    def forward(
        self,
        features: Tensor,
        boxes: Tensor,
        tokens: Tensor,
        mask: Tensor | None = None,
        region_mask: Tensor | None = None,
        sentences: Tensor | None = None,
        labels: Tensor | None = None,
        matches: Tensor | None = None,
        answers: Tensor | None = None,
        shown: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Fuse, and predict.

        Args:
            features, boxes: (B, R, F), (B, R, 4).
            tokens: (B, T) ids.
            mask, region_mask: (B, T) and (B, R) bool, true at what is real.
            sentences: (B, T), which of two.
            labels: (B, T), the words at masked places, ``IGNORED`` elsewhere.
            matches: (B,), 0 or 1.
            answers: (B,), the answer's number; ``IGNORED`` where there is no question.
            shown: "obj", "attr" → ((B, R) labels, (B, R) weights), "feat" → ((B, R, F), (B, R) weights).

        Returns:
            ``text`` (B, T, D), ``vision`` (B, R, D), ``pooled`` (B, D), ``words`` (B, T, V), ``matches`` (B, 2),
            ``answers`` (B, A), ``obj``, ``attr``, ``feat``; as far as labels are given ``mlm``, ``itm``, ``vqa``,
            ``regions`` and their sum ``loss``.
        """
        x_mask, y_mask = (None if one is None else masks.keys(one.bool()) for one in (mask, region_mask))
        x = self.transformer(self.input(tokens, sentences), mask=x_mask)
        y = self.vision(self.objects(features, boxes), mask=y_mask)
        for layer in self.cross:
            x, y = layer(x, y, x_mask, y_mask)
        pooled, seen = self.pooler(x), self.shown(y)
        found = {"text": x, "vision": y, "pooled": pooled, "words": self.words(x), **seen}
        found |= {"matches": self.matches(pooled), "answers": self.answer(pooled)}
        losses = {}
        if labels is not None:
            losses["mlm"] = word_loss(found["words"], labels)
        if matches is not None:
            losses["itm"] = functional.cross_entropy(found["matches"], matches, ignore_index=IGNORED)
        if answers is not None:
            losses["vqa"] = functional.cross_entropy(found["answers"], answers, ignore_index=IGNORED)
        if shown is not None:
            parts = [(region_loss(seen[key], wanted) * sure).mean() for key, (wanted, sure) in shown.items()]
            losses["regions"] = self.weight * torch.stack(parts).sum()
        return with_losses(found, losses)


def region_loss(seen: Tensor, wanted: Tensor) -> Tensor:
    """(B, R, n) and labels (B, R), cross entropy, or features (B, R, n), smooth L1 → (B, R)."""
    if wanted.dim() == 3:
        return functional.smooth_l1_loss(seen, wanted, reduction="none").mean(-1)
    return functional.cross_entropy(seen.transpose(1, 2), wanted, ignore_index=IGNORED, reduction="none")
