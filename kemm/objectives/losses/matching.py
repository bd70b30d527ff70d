"""Do these belong together? What to put beside what for a matching head, and its loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import precise
from kg.errors import InputError


@torch.no_grad()
def hard_negatives(logits: Tensor, is_match: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """For each row a wrong column, likelier when alike.

        j ~ softmax_j s_ij over the columns that don't match

    ALBEF (Li et al., 2021, arXiv:2107.07651). The columns are the batch; the batches of all processes (VLMo's global
    hard negatives, arXiv:2111.02358); or a queue.

    Args:
        logits: s, (A, B), over their temperature.
        is_match: (A, B) bool, pairs that are right, or too like what is right to be called wrong.
        generator: on the CPU.

    Returns:
        (A,) column numbers; −1 where every column matches.
    """
    if logits.shape[1] == 0:
        return torch.full((len(logits),), -1, device=logits.device)
    none = is_match.all(1, keepdim=True)
    weights = logits.masked_fill(is_match & ~none, -torch.inf).softmax(1)
    drawn = torch.multinomial(weights.cpu(), 1, generator=generator).to(logits.device)
    return drawn.masked_fill(none, -1).squeeze(1)


def match_cross_entropy(matched: Tensor, *wrong: Tensor) -> Tensor:
    """CE of a two-way head, 1 for the right pairs (A, 2), 0 for each of the wrong ones (·, 2); the mean over all."""
    logits = precise(torch.cat([matched, *wrong]))
    target = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    target[: len(matched)] = 1
    return F.cross_entropy(logits, target)


def other_rows(labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """For each row one of another label, all alike likely; −1 where there is none: (B,) → (B,)."""
    same = labels[:, None] == labels[None, :]
    return hard_negatives(torch.zeros(same.shape, device=labels.device), same, generator)


def pollute_tags(labels: Tensor, share: float = 0.5, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Oscar's contrast: half of the rows get the object tags of another.

    Li et al. (2020, arXiv:2004.06165). A row with no other label to take from stays as it is.

    Args:
        labels: (B,), what each row shows. share: of rows that are polluted.

    Returns:
        tags: (B,) whose tags each row gets; target: (B,) 0 as they were, 1 polluted.

    Raises:
        InputError: the share is none.
    """
    if not 0 <= share <= 1:
        raise InputError(f"a share of {share} polluted rows can't be; give one from 0 to 1")
    own, other = torch.arange(len(labels), device=labels.device), other_rows(labels, generator)
    polluted = (torch.rand(len(labels), generator=generator).to(labels.device) < share) & (other >= 0)
    return torch.where(polluted, other, own), polluted.long()


def pollute_captions_or_tags(labels: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """VinVL's contrast: half as they were, a quarter with another's caption, a quarter with another's tags or answer.

    Zhang et al. (2021, arXiv:2101.00529), the 3-way loss of Oscar+.

    Args:
        labels: (B,), what each row shows.

    Returns:
        captions, tags: (B,) whose caption and tags each row gets; target: (B,) 0 matched, 1 caption, 2 tags polluted.
    """
    own, other = torch.arange(len(labels), device=labels.device), other_rows(labels, generator)
    drawn = torch.rand(len(labels), generator=generator).to(labels.device)
    target = ((drawn >= 0.5).long() + (drawn >= 0.75).long()).masked_fill(other < 0, 0)
    return torch.where(target == 1, other, own), torch.where(target == 2, other, own), target
