"""Which frame of a film stood where?"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kemm.encoders.encoder import mean_over
from kemm.fuse.encoded import Encoded
from kemm.objectives.losses.video import frame_places
from kemm.objectives.masked_language import commonest
from kemm.objectives.objective import Context, Objective
from kg.errors import InputError

STAYS = -100  # of frames that were not moved


class Order(NamedTuple):
    """``taken`` (N, F): which frame now stands in each place; ``places`` (N, F) the same where it was moved."""

    taken: Tensor
    places: Tensor


class FrameOrder(Objective):
    """Some frames change places among themselves, and each of them says where it stood (``frame_order``).

        L = mean over moved f of −log softmax_p(W h_f)_place(f),   h_f the mean state of the frame's patches

    HERO (Li et al., 2020, arXiv:2005.00200), with 15 % of long films' frames and their subtitles beside; here films are
    short and read by themselves, so that the order must be seen.
    """

    needs = ("video",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        if context.frames < 2:
            raise InputError("objectives.frame_order needs films of two frames at least: set model.towers.video.frames")
        self.head = nn.Linear(context.width, context.frames)

    def draw(self, real: Tensor, generator: torch.Generator | None) -> Order:
        """Of each film, whose frames are ``real`` (N, F) first, a share and at least two go round by one place."""
        generator = generator or torch.Generator().manual_seed(0)
        taken = torch.arange(real.shape[1]).repeat(len(real), 1)
        places = torch.full_like(taken, STAYS)
        for row, count in enumerate(real.sum(1).tolist()):
            if count > 1:
                moved = torch.randperm(count, generator=generator)[: max(2, round(self.settings.rate * count))]
                taken[row, moved] = places[row, moved] = moved.roll(1)
        return Order(taken, places)

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """(N, F, F) each frame's place, and what is right (N, F), ``STAYS`` where it was not moved."""
        rows, entrance = self.rows(encoded), encoded.model.entrance("video")
        part = encoded.samples.parts["video"].take(rows)
        assert part.raw is not None
        frames = part.raw.shape[1]
        mask = entrance.mask(part)  # (N, 1 + F·P)
        there = mask[:, 1:].unflatten(1, (frames, -1))  # (N, F, P)
        order = encoded.drawn(("order", self.settings.rate), lambda: self.draw(there.any(2).cpu(), encoded.generator))
        taken = order.taken.to(rows.device)
        shuffled = part.raw[torch.arange(len(rows), device=rows.device)[:, None], taken]
        states = encoded.together({"video": entrance(shuffled)}, {"video": mask})["video"][:, 1:]
        each = mean_over(states.unflatten(1, (frames, -1)).flatten(0, 1), there.flatten(0, 1))
        return self.head(each.unflatten(0, (-1, frames)))[..., :frames], order.places.to(rows.device)

    def forward(self, encoded: Encoded) -> Tensor:
        return frame_places(*self.logits(encoded))

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        logits, places = self.logits(encoded)
        moved = places != STAYS
        right = (logits.argmax(2) == places)[moved].float().mean().item() if moved.any() else 0.0
        return {"accuracy": right, "chance": commonest(places[moved])} if moved.any() else {}
