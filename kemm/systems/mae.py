"""MAE: an encoder of the patches that are left, a smaller decoder that paints the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from kemm.fuse.inputs import unfold
from kemm.fuse.positions import sinusoidal_grid
from kemm.fuse.transformer import Transformer
from kemm.systems.names import Either, Names, Source
from kemm.systems.system import System, activation
from kemm.systems.vit import PictureEncoder, block_names, encoder_names


def _painter_names() -> dict[str, Source]:
    """The decoder's blocks are ViT's, under the name that published checkpoints have, or that transformers 5 writes."""
    published = block_names("", "decoder.", "decoder_layers.")
    later = block_names("", "decoder.", "decoder_encoder.layer.")
    return {ours: Either(theirs, later[ours]) for ours, theirs in published.items() if ".blocks." in ours}


class MAE(System):
    """Masked autoencoder (He et al., 2022, arXiv:2111.06377).

        L = mean over hidden patches of ‖p̂ − p‖² / |p|,   p ← (p − mean p) / √(var p + 10⁻⁶) with ``has_even_patches``

    Positions are sines that are not learned. The decoder sees the encoder's tokens in place and one learned token
    wherever a patch was hidden.

    Args:
        config: keys as in a ViTMAE checkpoint's ``config.json``.
    """

    NAMES: ClassVar[Names] = {
        **encoder_names("vision.", "vit."),
        "widen": "decoder.decoder_embed",
        "mask_token": "decoder.mask_token",
        "positions": "decoder.decoder_pos_embed",
        **_painter_names(),
        "transformer.norm": "decoder.decoder_norm",
        "paint": "decoder.decoder_pred",
    }

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, inner = config["hidden_size"], config.get("decoder_hidden_size", 512)
        self.vision = PictureEncoder(config)
        patches = self.vision.input
        assert patches.position is not None
        patches.position.data = sinusoidal_grid(*patches.grid, width)
        patches.position.requires_grad_(False)
        self.widen = nn.Linear(width, inner)
        self.mask_token = nn.Parameter(torch.randn(inner) * 0.02)
        self.positions = nn.Parameter(sinusoidal_grid(*patches.grid, inner), requires_grad=False)
        has_bias = config.get("qkv_bias", True)
        self.transformer = Transformer(
            inner,
            config.get("decoder_num_hidden_layers", 8),
            config.get("decoder_num_attention_heads", 16),
            hidden=config.get("decoder_intermediate_size", 2048),
            eps=config.get("layer_norm_eps", 1e-12),
            activation=activation(config),
            attention_bias=(has_bias, has_bias, has_bias, True),
            dropout=config.get("hidden_dropout_prob", 0.0),
            attention_dropout=config.get("attention_probs_dropout_prob", 0.0),
        )
        self.paint = nn.Linear(inner, patches.channels * patches.patch**2)
        self.hidden_share = config.get("mask_ratio", 0.75)
        self.has_even_patches = config.get("norm_pix_loss", False)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(config)

    def forward(
        self, pictures: Tensor, noise: Tensor | None = None, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Hide patches and paint them.

        Args:
            pictures: (B, C, rows, columns).
            noise: (B, P): the patches with the least of it are kept; drawn with ``generator`` unless given.

        Returns:
            ``states`` (B, 1 + kept, D), in the order of the noise; ``patches`` (B, P, patch² · C), painted, colours
            together; ``hidden`` (B, P) bool; the ``loss``.
        """
        x = self.vision.input(pictures)  # (B, 1 + P, D)
        count = x.shape[1] - 1
        if noise is None:
            noise = torch.rand(len(x), count, generator=generator, device=x.device)
        order = noise.argsort(dim=1)
        kept = order[:, : int(count * (1 - self.hidden_share))]  # (B, kept)
        hidden = torch.ones(len(x), count, dtype=torch.bool, device=x.device).scatter(1, kept, False)
        patches = x[:, 1:].gather(1, kept[..., None].expand(-1, -1, x.shape[2]))
        states = self.vision.transformer(torch.cat([x[:, :1], patches], dim=1))
        found = {"states": states, "patches": self.decode(states, kept, count), "hidden": hidden}
        error = (found["patches"] - self.target(pictures)).square().mean(dim=-1)  # (B, P)
        return {**found, "loss": error[hidden].mean()}

    def decode(self, states: Tensor, kept: Tensor, count: int) -> Tensor:
        """Tokens (B, 1 + K, D) of the patches numbered ``kept`` (B, K) → all ``count`` patches (B, P, patch² · C)."""
        x = self.widen(states)
        places = self.mask_token.expand(len(x), count, -1)
        places = places.scatter(1, kept[..., None].expand(-1, -1, x.shape[2]), x[:, 1:])
        x = torch.cat([x[:, :1], places], dim=1) + self.positions
        return self.paint(self.transformer(x)[:, 1:])

    def target(self, pictures: Tensor) -> Tensor:
        """(B, C, rows, columns) → (B, P, patch² · C), the colours of a pixel together."""
        patch = self.vision.input.patch
        target = unfold(pictures, patch).unflatten(-1, (-1, patch * patch)).transpose(-1, -2).flatten(-2)
        if self.has_even_patches:
            mean, var = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
            target = (target - mean) / (var + 1e-6).sqrt()
        return target
