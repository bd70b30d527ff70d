"""Masked patches: a frozen tower's features, pixels, or codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.data.samples import Part
from kemm.fuse.encoded import Encoded
from kemm.fuse.transformer import Transformer
from kemm.objectives.hiding import PatchHiding
from kemm.objectives.losses.picture_targets import code_loss, negative_cosine, normalised, patchify, squared_error
from kemm.objectives.losses.vq_kd import nearest_codes
from kemm.objectives.masked_language import commonest
from kemm.objectives.objective import Context, Objective
from kg.errors import InputError

CELL = 8  # pixels a side that a patch of a tower's raster is predicted with


class MaskedImage(Objective):
    """Predict hidden patches from the rest and the caption, where there is one (``mim``).

        features:  L = 1 − cos(W h_p, LN(v_p)),   v the frozen vision tower's (EVA, Fang et al., 2023, arXiv:2211.07636)
        pixels:    L = mean (W h_p − x̂_p)²,   x̂ normalised by patch (MAE, He et al., 2022, arXiv:2111.06377)
        codes:     L = CE(W h_p, argmin_j ∠(A LN(v_p), c_j))   (as BEiT, Bao et al., 2022, arXiv:2106.08254)

    over hidden p. EVA's teacher is CLIP, here it is the world's vision tower. BEiT's codes are a discrete VAE's; here A
    and c are drawn once and stay (BEST-RQ, Chiu et al., 2022, arXiv:2202.01855). With ``drop`` hidden patches are not
    encoded; a light decoder gets a mask's token in their places, as MAE.
    """

    needs = ("vision",)
    to_code: Tensor
    codebook: Tensor

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.is_regression = settings.target == "pixels"
        if settings.target == "pixels" and not context.has_pixels:
            raise InputError(
                "objectives.mim.target 'pixels' needs pixels in the batch, and the vision tower is frozen: "
                "set model.towers.vision.mode to scratch or tuned, or another target"
            )
        self.hides = PatchHiding(settings.rate, settings.blocks, settings.drop)
        self.grid = context.grids["vision"]
        sizes = {"features": context.vision_width, "pixels": 3 * CELL * CELL, "codes": settings.codes}
        self.head = nn.Linear(context.width, sizes[settings.target])
        if settings.drop:
            self.mask_token = nn.Parameter(torch.zeros(context.width))
            self.position = nn.Parameter(torch.randn(self.grid[0] * self.grid[1], context.width) * 0.02)
            self.decoder = Transformer(context.width, settings.decoder_layers, 4)
        if settings.target == "codes":
            generator = torch.Generator().manual_seed(0)
            self.register_buffer("to_code", torch.randn(context.vision_width, 16, generator=generator) / 4)
            self.register_buffer("codebook", torch.randn(settings.codes, 16, generator=generator))

    def predicted(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """(B, P, ·) of all patches, and which were hidden (B, P)."""
        self.rows(encoded)
        assert isinstance(self.hides, PatchHiding)
        hidden = encoded.hidden_patches(self.hides)
        summaries = encoded.model.entrance("vision").summaries
        states = encoded.masked(patches=self.hides)["vision"][:, summaries:]
        if self.settings.drop:
            states = torch.where(hidden[..., None], self.mask_token.to(states.dtype), states) + self.position
            states = self.decoder(states)
        return self.head(states), hidden

    def target(self, part: Part) -> Tensor:
        """What is to be said of each patch: (B, P, ·), or codes (B, P)."""
        if self.settings.target == "pixels":
            assert part.raw is not None
            pixels = part.raw.permute(0, 3, 1, 2).float() / 255.0
            rows, columns = self.grid
            sized = F.interpolate(pixels, (rows * CELL, columns * CELL), mode="area")
            return normalised(patchify(sized, CELL))
        if part.states is None:
            raise InputError(
                f"objectives.mim.target '{self.settings.target}' needs features of the frozen vision tower"
            )
        features = features_on(part.states, self.grid)
        features = F.layer_norm(features, features.shape[-1:])
        if self.settings.target == "features":
            return features
        return nearest_codes(features @ self.to_code, self.codebook)

    def forward(self, encoded: Encoded) -> Tensor:
        predicted, hidden = self.predicted(encoded)
        target = self.target(encoded.samples.parts["vision"])
        if self.settings.target == "features":
            return 1.0 + negative_cosine(predicted, target, hidden)
        return (squared_error if self.settings.target == "pixels" else code_loss)(predicted, target, hidden)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """Codes: how many are right. Others: the loss of saying the batch's mean patch, as ``loss_of_the_mean``."""
        predicted, hidden = self.predicted(encoded)
        target = self.target(encoded.samples.parts["vision"])
        if self.settings.target == "codes":
            right = (predicted.argmax(-1) == target)[hidden].float().mean().item()
            return {"accuracy": right, "chance": commonest(target[hidden])}
        mean = target[hidden].mean(0).expand_as(target)
        if self.settings.target == "pixels":
            return {"loss_of_the_mean": squared_error(mean, target, hidden).item()}
        return {"loss_of_the_mean": 1.0 + negative_cosine(mean, target, hidden).item()}


def features_on(states: Tensor, grid: tuple[int, int]) -> Tensor:
    """A tower's square of patches (B, P', D_v) on another grid: (B, P, D_v)."""
    side = round(states.shape[1] ** 0.5)
    raster = states.transpose(1, 2).unflatten(2, (side, side))
    if raster.shape[2:] != grid:
        raster = F.interpolate(raster, grid, mode="bilinear")
    return raster.flatten(2).transpose(1, 2)
