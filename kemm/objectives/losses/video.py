"""Video: wrong videos for a text, the order of frames, and where a subtitle belongs."""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import precise
from kemm.objectives.losses.matching import hard_negatives
from kg.errors import InputError


def clip_negatives(
    logits: Tensor, videos: Tensor, within: bool = False, generator: torch.Generator | None = None
) -> Tensor:
    """For each text a wrong clip, likelier when alike, of another video or, ``within``, of the same.

    VIOLET (Fu et al., 2021, arXiv:2111.12681) draws from other videos; another moment of the same one is harder and
    teaches time, as HERO's negatives (Li et al., 2020, arXiv:2005.00200).

    Args:
        logits: (B, B), text to clip, over their temperature. videos: (B,) the video of each clip.

    Returns:
        (B,) clip numbers; −1 where there is none.
    """
    same = videos[:, None] == videos[None, :]
    own = torch.eye(len(videos), dtype=torch.bool, device=videos.device)
    return hard_negatives(logits, (~same | own) if within else same, generator)


def orders(pieces: int) -> Tensor:
    """All orders of so many pieces, in lexicographic order, the true one first: (pieces!, pieces).

    Raises:
        InputError: fewer than 2 pieces, or more than 6 (720 classes).
    """
    if not 2 <= pieces <= 6:
        raise InputError(f"the orders of {pieces} pieces are no classes to tell apart; cut the video into 2 to 6")
    return torch.tensor(list(permutations(range(pieces))))


def shuffle_frames(frames: Tensor, pieces: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Cut each video into equal pieces and put them in an order drawn evenly from all.

    Shuffle-and-learn by classes of permutations, as Xu et al. (2019, CVPR, "clip order prediction"); HERO classifies
    each frame's place instead (`frame_places`).

    Args:
        frames: (B, F, …), F a multiple of ``pieces``.

    Returns:
        shuffled: (B, F, …), whose piece p is the old piece ``orders[target][p]``; target: (B,) the number of the order.

    Raises:
        InputError: F isn't a multiple of ``pieces``.
    """
    count, length = frames.shape[:2]
    if length % pieces:
        raise InputError(f"{length} frames can't be cut into {pieces} equal pieces; drop {length % pieces} of them")
    table = orders(pieces)
    target = torch.randint(len(table), (count,), generator=generator)
    piece = length // pieces
    at = (table[target][:, :, None] * piece + torch.arange(piece)).flatten(1).to(frames.device)  # (B, F)
    return frames[torch.arange(count, device=frames.device)[:, None], at], target.to(frames.device)


def frame_order(logits: Tensor, target: Tensor) -> Tensor:
    """CE of which order it is: logits (B, pieces!), target (B,)."""
    return F.cross_entropy(precise(logits), target)


def frame_places(logits: Tensor, places: Tensor) -> Tensor:
    """HERO's frame order modelling: L = mean −log softmax_p s_f over the frames that were moved.

    Args:
        logits: (B, F, F), each frame's place. places: (B, F), where it was; −100 for those that weren't moved.

    Returns:
        A scalar; 0 when nothing was moved.
    """
    lost = F.cross_entropy(precise(logits).flatten(0, 1), places.flatten(), ignore_index=-100, reduction="sum")
    return lost / (places != -100).sum().clamp(min=1)


def subtitle_span(start: Tensor, end: Tensor, span: Tensor, mask: Tensor | None = None) -> Tensor:
    """Where in the video a subtitle is spoken: L = −log p_start(s) − log p_end(e), averaged over the batch.

    HERO's local alignment.

    Args:
        start, end: (B, F) logits. span: (B, 2) first and last frame. mask: (B, F) bool, frames that are there.
    """
    start, end = precise(start), precise(end)
    if mask is not None:
        start, end = (x.masked_fill(~mask, torch.finfo(x.dtype).min) for x in (start, end))
    return F.cross_entropy(start, span[:, 0]) + F.cross_entropy(end, span[:, 1])


def subtitle_match(
    subtitles: Tensor, frames: Tensor, videos: Tensor, mask: Tensor | None = None, margin: float = 0.1
) -> Tensor:
    """Which video a subtitle is of.

        s_ij = max_f cos(u_i, v_jf),   L = mean_{(i,j): j another video} [m − s_ii + s_ij]₊ + [m − s_ii + s_ji]₊

    HERO's global alignment, m = 0.1; they draw one negative of each kind, we take all of the batch.

    Args:
        subtitles: u, (B, D). frames: v, (B, F, D). videos: (B,). mask: (B, F) bool, one frame a video at least.

    Returns:
        A scalar; 0 when all are of one video.
    """
    subtitles, frames = precise(subtitles), precise(frames)
    s = torch.einsum("id,jfd->ijf", F.normalize(subtitles, dim=-1), F.normalize(frames, dim=-1))
    if mask is not None:
        s = s.masked_fill(~mask[None], torch.finfo(s.dtype).min)
    s = s.amax(-1)  # (B, B)
    wrong = videos[:, None] != videos[None, :]
    own = s.diagonal()[:, None]
    hinge = F.relu(margin - own + s) + F.relu(margin - own + s.T)
    return hinge.masked_fill(~wrong, 0.0).sum() / wrong.sum().clamp(min=1)
