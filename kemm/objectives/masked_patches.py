"""Masked patches of pictures, sounds and films: pixels, gradients, a frozen tower's features, or codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.data.samples import Part
from kemm.fuse.encoded import Encoded
from kemm.fuse.transformer import Transformer
from kemm.objectives.hiding import PatchHiding
from kemm.objectives.losses.hog import hog
from kemm.objectives.losses.picture_targets import (
    code_loss,
    features_on,
    negative_cosine,
    normalised,
    patchify,
    squared_error,
)
from kemm.objectives.losses.vq_kd import nearest_codes
from kemm.objectives.masked_language import commonest
from kemm.objectives.objective import Context, Objective
from kemm.objectives.visual_tokenizer import VisualTokenizer
from kg.errors import InputError

CELL = 8  # pixels a side that a patch is predicted with; of gradients two cells
RANDOM = 16  # numbers of a code that is drawn


class MaskedPatches(Objective):
    """Predict hidden patches from the rest and what stands beside (``mim``, ``masked_audio``, ``masked_video``).

        features:  L = 1 − cos(W h_p, LN(v_p)),   v the frozen vision tower's (EVA, Fang et al., 2023, arXiv:2211.07636)
        pixels:    L = mean (W h_p − x̂_p)²,   x̂ normalised by patch (MAE, He et al., 2022, arXiv:2111.06377)
        hog:       the same, x̂ histograms of gradients (MaskFeat, Wei et al., 2022, arXiv:2112.09133)
        codes:     L = CE(W h_p, z_p)   (BEiT, Bao et al., 2022, arXiv:2106.08254)

    over hidden p. EVA's teacher is CLIP, here it is the world's vision tower. BEiT's codes are a discrete VAE's; here
    z_p = argmin_j ∠(A LN(v_p), c_j), A and c drawn once (BEST-RQ, Chiu et al., 2022, arXiv:2202.01855), or those of a
    ``VisualTokenizer`` that learns in the same steps, its own loss added (BEiT v2 trains it before; its second loss on
    an earlier layer is left out). With ``drop`` hidden patches are not encoded; a light decoder gets a mask's token in
    their places, as MAE. With ``how: unattended`` and ``said_of: shown`` patches that the teacher attends to say its
    features, the others are left out: UMT (Li et al., 2023, arXiv:2303.16058), here of the last layer alone.

    Of a sound, patches of its spectrogram (Audio-MAE, Huang et al., 2022, arXiv:2207.06405); of a film, patches hidden
    in all frames alike (VideoMAE, Tong et al., 2022, arXiv:2203.12602; there hidden ones are dropped).
    """

    to_code: Tensor
    codebook: Tensor

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.of, target = settings.of, settings.target
        self.needs = (self.of,)
        self.is_regression = target in ("pixels", "hog")
        if self.is_regression and self.of == "vision" and not context.has_pixels:
            raise InputError(
                f"objectives.mim.target '{target}' needs pixels in the batch, and the vision tower is frozen: "
                "set model.towers.vision.mode to scratch or tuned, or another target"
            )
        if self.of not in context.grids:
            raise InputError(
                f"patches of {self.of} can't be hidden, as the model takes none: set model.towers.{self.of}"
            )
        self.hides = PatchHiding(settings.rate, settings.how, settings.drop, self.of)
        self.grid = context.grids[self.of]
        channels = 1 if self.of == "audio" else 3
        sizes = {"features": context.vision_width, "pixels": channels * CELL * CELL, "hog": channels * 36}
        self.head = nn.Linear(context.width, sizes.get(target, settings.codes))
        self.has_decoder = settings.drop and settings.said_of == "hidden"
        if self.has_decoder:
            self.mask_token = nn.Parameter(torch.zeros(context.width))
            self.position = nn.Parameter(torch.randn(self.grid[0] * self.grid[1], context.width) * 0.02)
            self.decoder = Transformer(context.width, settings.decoder_layers, 4)
        learns_codes = target == "codes" and settings.tokenizer == "vq_kd"
        self.tokenizer = VisualTokenizer(context.vision_width, settings.codes) if learns_codes else None
        if target == "codes" and not learns_codes:
            generator = torch.Generator().manual_seed(0)
            self.register_buffer("to_code", torch.randn(context.vision_width, RANDOM, generator=generator) / 4)
            self.register_buffer("codebook", torch.randn(settings.codes, RANDOM, generator=generator))

    def predicted(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """(B, P, ·) of all patches, and of which it is the prediction that counts (B, P)."""
        self.rows(encoded)
        assert isinstance(self.hides, PatchHiding)
        hidden, entrance = encoded.hidden_patches(self.hides), encoded.model.entrance(self.of)
        states = encoded.masked(patches=self.hides)[self.of][:, entrance.summaries :]
        if self.has_decoder:
            states = torch.where(hidden[..., None], self.mask_token.to(states.dtype), states) + self.position
            states = self.decoder(states)
        if self.settings.said_of == "shown":
            return self.head(states), encoded.read.mask(self.of)[:, entrance.summaries :] & ~hidden
        return self.head(states), hidden

    def features(self, part: Part) -> Tensor:
        """(B, P, D_v) of the frozen tower, each of mean 0 and variance 1."""
        if part.states is None:
            raise InputError(
                f"objectives.mim.target '{self.settings.target}' needs features of the frozen vision tower"
            )
        features = features_on(part.states, self.grid).float()
        return F.layer_norm(features, features.shape[-1:])

    def target(self, part: Part) -> Tensor:
        """What is to be said of each patch: (B, P, ·), or codes (B, P)."""
        target = self.settings.target
        if target == "features":
            return self.features(part)
        if self.tokenizer is not None:
            return self.tokenizer(self.features(part), part.present[:, None].expand(-1, self.grid[0] * self.grid[1]))[0]
        if target == "codes":
            return nearest_codes(self.features(part) @ self.to_code, self.codebook)
        assert part.raw is not None
        raw = part.raw.transpose(1, 2)[..., None] if self.of == "audio" else part.raw / 255.0  # (B, [F,] H, W, C)
        frames = raw.flatten(0, -4).permute(0, 3, 1, 2)  # (B·F, C, H, W)
        cell = 2 * CELL if target == "hog" else CELL
        sized = F.interpolate(frames, (self.grid[0] * cell, self.grid[1] * cell), mode="area")
        found = hog(sized) if target == "hog" else normalised(patchify(sized, CELL))
        return found.reshape(len(raw), -1, found.shape[-1])

    def forward(self, encoded: Encoded) -> Tensor:
        predicted, counts = self.predicted(encoded)
        part = encoded.samples.parts[self.of]
        if self.tokenizer is not None:
            there = part.present[:, None].expand_as(counts)
            codes, its_own = self.tokenizer(self.features(part), there)
            return code_loss(predicted, codes, counts) + its_own
        if self.settings.target == "features":
            return 1.0 + negative_cosine(predicted, self.target(part), counts)
        return (code_loss if self.settings.target == "codes" else squared_error)(predicted, self.target(part), counts)

    def after_step(self) -> None:
        if self.tokenizer is not None:
            self.tokenizer.follow()

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """Codes: how many are right. Others: the loss of saying the batch's mean patch, as ``loss_of_the_mean``."""
        predicted, counts = self.predicted(encoded)
        target = self.target(encoded.samples.parts[self.of])
        if self.settings.target == "codes":
            right = (predicted.argmax(-1) == target)[counts].float().mean().item()
            used = float(len(target[counts].unique()))
            return {"accuracy": right, "chance": commonest(target[counts]), "codes_used": used}
        mean = target[counts].mean(0).expand_as(target)
        if self.settings.target == "features":
            return {"loss_of_the_mean": 1.0 + negative_cosine(mean, target, counts).item()}
        return {"loss_of_the_mean": squared_error(mean, target, counts).item()}
