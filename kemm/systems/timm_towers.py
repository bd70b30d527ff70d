"""timm's picture encoders: ViT, EVA and EVA-02."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from kemm.fuse.inputs import PatchInput
from kemm.fuse.positions import RotaryGrid
from kemm.fuse.transformer import Transformer
from kemm.systems.names import Biasless, Either, Names
from kemm.systems.system import System, refuse
from kg.errors import InputError

_EVA = {"is_eva": True}
_EVA02 = {"is_eva": True, "swiglu_mlp": True, "use_rot_pos_emb": True, "ref_feat_shape": (16, 16), "mlp_ratio": 8 / 3}

#: timm's names of architectures without patch and picture → what they are built with, by timm's names of settings.
ARCHITECTURES: Mapping[str, Mapping[str, Any]] = {
    "vit_tiny": {"embed_dim": 192, "depth": 12, "num_heads": 3},
    "vit_small": {"embed_dim": 384, "depth": 12, "num_heads": 6},
    "vit_base": {"embed_dim": 768, "depth": 12, "num_heads": 12},
    "vit_large": {"embed_dim": 1024, "depth": 24, "num_heads": 16},
    "vit_huge": {"embed_dim": 1280, "depth": 32, "num_heads": 16},
    "eva_giant": {"embed_dim": 1408, "depth": 40, "num_heads": 16, "mlp_ratio": 6144 / 1408, **_EVA},
    "eva02_tiny": {"embed_dim": 192, "depth": 12, "num_heads": 3, **_EVA02},
    "eva02_small": {"embed_dim": 384, "depth": 12, "num_heads": 6, **_EVA02},
    "eva02_base": {"embed_dim": 768, "depth": 12, "num_heads": 12, "scale_mlp": True, **_EVA02},
    "eva02_large": {"embed_dim": 1024, "depth": 24, "num_heads": 16, "scale_mlp": True, **_EVA02},
}
_BLOCK, _THEIRS = "vision.blocks.{i}.", "blocks.{i}."
_PROJECTIONS = tuple(f"{_THEIRS}attn.{part}_proj.weight" for part in "qkv")


class TimmTower(System):
    """A ViT (Dosovitskiy et al., 2021), as timm has it, and the changes of EVA (Fang et al., 2023, arXiv:2211.07636)
    and EVA-02 (Fang et al., 2023, arXiv:2303.11331).

    EVA's keys have no bias. EVA-02 turns queries and keys by row and column, gates the feed-forward part by SiLU, and
    from base size on norms it within. Where patches are averaged, the norm comes after that.

    Args:
        settings: by timm's names: ``img_size``, ``patch_size``, ``embed_dim``, ``depth``, …, and ``is_eva``.
    """

    NAMES: ClassVar[Names] = {
        "input.classes": "cls_token",
        "input.position": "pos_embed",
        "input.project": "patch_embed.proj",
        f"{_BLOCK}attention.qkv.weight": Either(f"{_THEIRS}attn.qkv.weight", _PROJECTIONS),
        f"{_BLOCK}attention.qkv.bias": Either(
            f"{_THEIRS}attn.qkv.bias",
            (f"{_THEIRS}attn.q_bias", Biasless(f"{_THEIRS}attn.k.bias"), f"{_THEIRS}attn.v_bias"),
            (f"{_THEIRS}attn.q_proj.bias", Biasless(f"{_THEIRS}attn.k_proj.bias"), f"{_THEIRS}attn.v_proj.bias"),
        ),
        f"{_BLOCK}attention.norm": f"{_THEIRS}attn.norm",
        f"{_BLOCK}attention.out": f"{_THEIRS}attn.proj",
        f"{_BLOCK}attention_residual.norm": f"{_THEIRS}norm1",
        f"{_BLOCK}attention_residual.scale": Either(f"{_THEIRS}ls1.gamma", f"{_THEIRS}gamma_1"),
        f"{_BLOCK}feed_forward.up": Either((f"{_THEIRS}mlp.fc1_g", f"{_THEIRS}mlp.fc1_x"), f"{_THEIRS}mlp.fc1"),
        f"{_BLOCK}feed_forward.norm": f"{_THEIRS}mlp.norm",
        f"{_BLOCK}feed_forward.down": f"{_THEIRS}mlp.fc2",
        f"{_BLOCK}feed_forward_residual.norm": f"{_THEIRS}norm2",
        f"{_BLOCK}feed_forward_residual.scale": Either(f"{_THEIRS}ls2.gamma", f"{_THEIRS}gamma_2"),
        "vision.norm": "norm",
        "pooled_norm": "fc_norm",
        "classify": "head",
    }

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        is_eva, width, heads = settings.get("is_eva", False), settings["embed_dim"], settings["num_heads"]
        pool = settings.get("global_pool", "avg" if is_eva else "token")
        self.is_mean, eps = pool == "avg", 1e-6
        self.input = PatchInput(settings["img_size"], settings["patch_size"], width)
        rotary = None
        if settings.get("use_rot_pos_emb", False):
            reference = settings.get("ref_feat_shape")
            side = reference if reference is None or isinstance(reference, int) else reference[0]
            rotary = RotaryGrid(*self.input.grid, width // heads, pretrained=side)
        has_bias = settings.get("qkv_bias", True)
        self.vision = Transformer(
            width,
            settings["depth"],
            heads,
            hidden=int(width * settings.get("mlp_ratio", 4.0)),
            rotary=rotary,
            eps=eps,
            attention_bias=(has_bias, has_bias and not is_eva, has_bias, True),
            has_inner_norms=(settings.get("scale_attn_inner", False), settings.get("scale_mlp", False)),
            activation="silu" if settings.get("swiglu_mlp", False) else "gelu",
            is_gated=settings.get("swiglu_mlp", False),
            layer_scale=settings.get("init_values"),
            drop_path=settings.get("drop_path_rate", 0.0),
            has_final_norm=not self.is_mean,
        )
        self.pooled_norm = nn.LayerNorm(width, eps=eps) if self.is_mean else nn.Identity()
        classes = settings.get("num_classes", 1000)
        self.classify = nn.Linear(width, classes) if classes else nn.Identity()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build from a timm checkpoint's ``config.json``: its ``architecture``, and ``model_args`` where it has them.

        Raises:
            InputError: the architecture is not among ``ARCHITECTURES``, or a setting is not built here.
        """
        settings: dict[str, Any] = {}
        if name := config.get("architecture"):
            match = re.fullmatch(r"(\w+?)_patch(\d+)_(\d+)", name)
            if match is None or match[1] not in ARCHITECTURES:
                raise InputError(
                    f"config.json: architecture is {name!r}; there are, with _patchN_M, {', '.join(ARCHITECTURES)}"
                )
            settings = {**ARCHITECTURES[match[1]], "patch_size": int(match[2]), "img_size": int(match[3])}
        settings |= {key: config[key] for key in ("num_classes", "global_pool") if key in config}
        settings |= config.get("model_args") or {}
        refuse(
            settings,
            "a timm tower",
            global_pool=("token", "avg"),
            class_token=True,
            no_embed_class=False,
            num_reg_tokens=0,
            reg_tokens=0,
            qk_norm=False,
            pre_norm=False,
            use_post_norm=False,
            use_pre_transformer_norm=False,
            use_abs_pos_emb=True,
            rope_type="cat",
            attn_type="eva",
            dynamic_img_size=False,
        )
        return cls(settings)

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(B, 3, rows, columns) → (B, 1 + P, D)."""
        return self.vision(self.input(pictures))

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return ``states`` (B, 1 + P, D), ``pooled`` (B, D) and ``logits`` (B, classes)."""
        states = self.encode_image(pictures)
        pooled = self.pooled_norm(states[:, 1:].mean(dim=1) if self.is_mean else states[:, 0])
        return {"states": states, "pooled": pooled, "logits": self.classify(pooled)}
