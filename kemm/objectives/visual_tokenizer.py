"""A tokenizer of pictures that learns its codes from a frozen tower, as BEiT v2's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.objectives.losses.vq_kd import moved_codebook, nearest_codes, straight_through, tokenizer_loss

WIDTH = 32  # D of codes
IDLE = 20  # steps after which a code that nothing took starts anew


class VisualTokenizer(nn.Module):
    """Patches → codes, such that the tower's features can be told from the codes alone (VQ-KD).

        z_p = argmin_j ∠(h_p, v_j),   h = f(t),   o = g(v_z),   L = mean (1 − cos(o, t)) + ‖h − sg[v_z]‖² / D

    BEiT v2 (Peng et al., 2022, arXiv:2208.06366). There f is a Transformer over pixels and g one over codes; here both
    are of each patch alone and f reads the tower's features t themselves, so that codes need no pixels. Codes follow a
    running mean of what takes them, as there; one that nothing took for 20 steps starts anew at some patch.

    Args:
        features: D_v of the tower. codes: V.
    """

    codebook: Tensor
    idle: Tensor

    def __init__(self, features: int, codes: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(features, features), nn.GELU(), nn.Linear(features, WIDTH))
        self.decode = nn.Sequential(nn.Linear(WIDTH, features), nn.GELU(), nn.Linear(features, features))
        drawn = torch.randn(codes, WIDTH, generator=torch.Generator().manual_seed(0))
        self.register_buffer("codebook", F.normalize(drawn, dim=-1))
        self.register_buffer("idle", torch.full((codes,), IDLE))
        self._taken: tuple[Tensor, Tensor] | None = None

    def forward(self, features: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, P, D_v), of which ``there`` (B, P) are real → codes (B, P) and the tokenizer's loss."""
        with torch.autocast(features.device.type, enabled=False):
            vectors = self.encode(features.float())
            codes = nearest_codes(vectors, self.codebook)
            real, taken = vectors[there], codes[there]
            said = self.decode(straight_through(real, self.codebook, taken))
            loss = tokenizer_loss(said, features[there].float(), real, self.codebook, taken)
        if self.training:
            self._taken = real.detach(), taken
        return codes, loss

    @torch.no_grad()
    def follow(self) -> None:
        """After a step: codes move to what took them. With several processes each moves by its own batch."""
        if self._taken is None or not len(self._taken[1]):
            return
        vectors, codes = self._taken
        self.codebook.copy_(moved_codebook(self.codebook, vectors, codes))
        is_used = torch.bincount(codes, minlength=len(self.codebook)) > 0
        self.idle.copy_(torch.where(is_used, 0, self.idle + 1))
        anew = (self.idle > IDLE).nonzero().squeeze(1)
        if len(anew):
            place = torch.arange(len(anew), device=anew.device) * 7919 % len(vectors)  # spread over the batch
            self.codebook[anew] = F.normalize(vectors[place].float(), dim=-1)
            self.idle[anew] = 0
        self._taken = None
