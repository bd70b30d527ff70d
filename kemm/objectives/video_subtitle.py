"""Which film is a subtitle of, and from where to where is it spoken?"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.data.samples import Part
from kemm.encoders.encoder import mean_over
from kemm.fuse.encoded import Encoded
from kemm.objectives.contrastive import projection
from kemm.objectives.losses.video import subtitle_match, subtitle_span
from kemm.objectives.masked_language import commonest
from kemm.objectives.objective import Context, Objective
from kg.errors import InputError


class Asked(NamedTuple):
    """Subtitles (N, D), frames (N, F, D) of their films, which are there (N, F), the films' numbers (N,), the right
    first and last frame (N, 2)."""

    subtitles: Tensor
    frames: Tensor
    mask: Tensor
    films: Tensor
    span: Tensor


class VideoSubtitle(Objective):
    """A subtitle finds its film, and its place there (``video_subtitle``).

        L = w_g · mean [m − s_ii + s_ij]₊ + [m − s_ii + s_ji]₊ − w_l · mean log p_start(a) + log p_end(b)
        s_ij = max_f cos(u_i, v_jf),   p = softmax(conv(⟨u_i, v_if⟩ over f))

    u a subtitle read alone, v the mean states of the frames of a film read alone, j another film of the batch. HERO's
    video–subtitle matching (Li et al., 2020, arXiv:2005.00200), global and local, with its weights (8, 0.5), margin and
    convolutions of five frames; all of the batch's films are wrong ones, where they draw one. Their films are read with
    the other subtitles; here without.
    """

    needs = ("video", "language", "span")

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        if context.frames < 2:
            raise InputError(
                "objectives.video_subtitle needs films of two frames at least: set model.towers.video.frames"
            )
        self.subtitle = projection(context.pooled["language"], context.width)
        self.frame = projection(context.width, context.width)
        self.ends = nn.Conv1d(1, 2, kernel_size=5, padding=2)

    def asked(self, encoded: Encoded) -> Asked:
        """The rows that have all of it."""
        rows, entrance = self.rows(encoded), encoded.model.entrance("video")
        part, span = encoded.samples.parts["video"].take(rows), encoded.samples.span
        assert part.raw is not None
        frames = part.raw.shape[1]
        there = entrance.mask(part)[:, 1:].unflatten(1, (frames, -1))  # (N, F, P)
        states = encoded.read.alone("video")[rows, 1:].unflatten(1, (frames, -1))
        each = mean_over(states.flatten(0, 1), there.flatten(0, 1)).unflatten(0, (-1, frames))
        subtitles = self.subtitle(encoded.pooled("language", rows))
        return Asked(subtitles, self.frame(each), there.any(2), films(part), span[rows])

    def logits(self, asked: Asked) -> tuple[Tensor, Tensor]:
        """(N, F) each: of the first frame, of the last."""
        alike = torch.einsum("nd,nfd->nf", asked.subtitles, asked.frames).masked_fill(~asked.mask, 0.0)
        start, end = self.ends(alike[:, None] * asked.frames.shape[-1] ** -0.5).unbind(1)
        return start, end

    def forward(self, encoded: Encoded) -> Tensor:
        asked = self.asked(encoded)
        found = subtitle_match(asked.subtitles, asked.frames, asked.films, asked.mask, self.settings.margin)
        placed = subtitle_span(*self.logits(asked), asked.span, asked.mask)
        return self.settings.match_weight * found + self.settings.span_weight * placed

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """``accuracy`` of the frame at which it begins; share of the right film, and the overlap of the spans."""
        asked = self.asked(encoded)
        start, end = (each.float().masked_fill(~asked.mask, -torch.inf).argmax(1) for each in self.logits(asked))
        first, last = asked.span.unbind(1)
        both = (torch.minimum(end, last) - torch.maximum(start, first) + 1).clamp(min=0)
        either = torch.maximum(end, last) - torch.minimum(start, first) + 1
        u, v = (F.normalize(x.float(), dim=-1) for x in (asked.subtitles, asked.frames))
        alike = torch.einsum("id,jfd->ijf", u, v).masked_fill(~asked.mask, -torch.inf).amax(2)
        return {
            "accuracy": (start == first).float().mean().item(),
            "chance": commonest(first),
            "overlap": (both / either.clamp(min=1)).mean().item(),
            "film_accuracy": (asked.films[alike.argmax(1)] == asked.films).float().mean().item(),
            "film_chance": commonest(asked.films),
        }


def films(part: Part) -> Tensor:
    """(N,) numbers of the films: equal where all pixels are."""
    assert part.raw is not None
    pixels = part.raw.flatten(1).long()
    factors = torch.randint(1 << 40, (pixels.shape[1],), generator=torch.Generator().manual_seed(0))
    return (pixels * factors.to(pixels.device)).sum(1).unique(return_inverse=True)[1]
