"""BEiT: a picture with patches hidden, and which visual word belongs to each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kemm.fuse.inputs import PatchInput
from kemm.fuse.positions import RelativeGrid
from kemm.fuse.transformer import Transformer
from kemm.systems.names import Biasless, Names
from kemm.systems.system import System, activation
from kg.errors import InputError

_LAYER, _BLOCK = "beit.encoder.layer.{i}.", "vision.blocks.{i}."
_ATTENTION = f"{_LAYER}attention.attention."


class BEiT(System):
    """Masked image modelling (Bao et al., 2022, arXiv:2106.08254).

        L = − mean over hidden patches of log softmax(W LN(x_i))[v_i],   v_i the visual word of patch i

    Attention knows places by a table of offsets in rows and columns, one for all layers (as pre-trained) or one each;
    its keys have no bias; LayerScale is on every branch.

    Args:
        config: keys as in a BEiT checkpoint's ``config.json``.
    """

    NAMES: ClassVar[Names] = {
        "input.classes": "beit.embeddings.cls_token",
        "input.position": "beit.embeddings.position_embeddings",
        "input.project": "beit.embeddings.patch_embeddings.projection",
        "mask_token": "beit.embeddings.mask_token",
        "vision.relative.table": "beit.encoder.relative_position_bias.relative_position_bias_table",
        f"{_BLOCK}attention.relative.table": f"{_ATTENTION}relative_position_bias.relative_position_bias_table",
        f"{_BLOCK}attention.qkv": (f"{_ATTENTION}query", Biasless(f"{_ATTENTION}key"), f"{_ATTENTION}value"),
        f"{_BLOCK}attention.out": f"{_LAYER}attention.output.dense",
        f"{_BLOCK}attention_residual.norm": f"{_LAYER}layernorm_before",
        f"{_BLOCK}attention_residual.scale": f"{_LAYER}lambda_1",
        f"{_BLOCK}feed_forward.up": f"{_LAYER}intermediate.dense",
        f"{_BLOCK}feed_forward.down": f"{_LAYER}output.dense",
        f"{_BLOCK}feed_forward_residual.norm": f"{_LAYER}layernorm_after",
        f"{_BLOCK}feed_forward_residual.scale": f"{_LAYER}lambda_2",
        "vision.norm": "beit.layernorm",
        "norm": "layernorm",
        "predict": "lm_head",
    }
    IGNORED: ClassVar[tuple[str, ...]] = ("*relative_position_index",)

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, heads, eps = config["hidden_size"], config["num_attention_heads"], config.get("layer_norm_eps", 1e-12)
        self.input = PatchInput(
            config["image_size"],
            config["patch_size"],
            width,
            has_positions=config.get("use_absolute_position_embeddings", False),
            channels=config.get("num_channels", 3),
        )
        self.mask_token = nn.Parameter(torch.zeros(width))
        grid = partial(RelativeGrid, *self.input.grid, heads)
        self.vision = Transformer(
            width,
            config["num_hidden_layers"],
            heads,
            relative=grid if config.get("use_relative_position_bias", False) else None,
            shared_relative=grid() if config.get("use_shared_relative_position_bias", False) else None,
            hidden=config["intermediate_size"],
            eps=eps,
            activation=activation(config),
            attention_bias=(True, False, True, True),
            layer_scale=config.get("layer_scale_init_value", 0.1) or None,
            dropout=config.get("hidden_dropout_prob", 0.0),
            attention_dropout=config.get("attention_probs_dropout_prob", 0.0),
            drop_path=config.get("drop_path_rate", 0.1),
            # The head has a norm of its own; a model that averages patches has none before
            has_final_norm=not config.get("use_mean_pooling", True),
        )
        self.norm = nn.LayerNorm(width, eps=eps)
        self.predict = nn.Linear(width, config.get("vocab_size", 8192))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(config)

    def encode_image(self, pictures: Tensor, masked: Tensor | None = None) -> Tensor:
        """(B, C, rows, columns) and (B, P) bool, true at hidden patches → (B, 1 + P, D)."""
        return self.vision(self.input(pictures, masked, self.mask_token))

    def forward(
        self, pictures: Tensor, masked: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Hide and predict.

        Args:
            pictures: (B, C, rows, columns).
            masked: (B, P) bool, true at hidden patches.
            labels: (B, P) visual words; those of hidden patches count.

        Returns:
            ``states`` (B, 1 + P, D), ``words`` (B, P, V), and with labels the ``loss``.

        Raises:
            InputError: there are labels but no ``masked``.
        """
        states = self.encode_image(pictures, masked)
        found = {"states": states, "words": self.predict(self.norm(states[:, 1:]))}
        if labels is not None:
            if masked is None:
                raise InputError("BEiT was given visual words but no hidden patches: give masked, where they count")
            found["loss"] = functional.cross_entropy(found["words"][masked], labels[masked])
        return found
