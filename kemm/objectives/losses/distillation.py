"""Learning from a teacher: a slow copy of oneself, or a frozen model."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import mean_where, precise


def momentum_distillation(
    logits: Tensor, teacher: Tensor, target: Tensor, alpha: float = 0.4, ignore: int = -100
) -> Tensor:
    """Hard targets and those of the momentum model, as ALBEF's masked language.

        L = (1 − α) CE(p, y) − α Σ_c sg[q_c] log p_c

    Li et al. (2021, arXiv:2107.07651). For contrast, see `contrastive.momentum_target`.

    Args:
        logits: (…, C). teacher: (…, C), logits of the slow copy. target: (…) class numbers; those of ``ignore`` are
            left out of both terms.
    """
    kept = target != ignore
    log_p = precise(logits).log_softmax(-1)
    hard = -log_p.gather(-1, target.masked_fill(~kept, 0)[..., None]).squeeze(-1)
    soft = -(precise(teacher.detach()).softmax(-1) * log_p).sum(-1)
    return mean_where((1 - alpha) * hard + alpha * soft, kept)


def cosine_distillation(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """L = mean (1 − cos(f, sg[g])): (…, D) each, mask (…). EVA (Fang et al., 2022, arXiv:2211.07636) has no 1."""
    student, teacher = precise(student), precise(teacher.detach())
    return _mean(1 - F.cosine_similarity(student, teacher, dim=-1), mask)


def feature_distillation(
    student: Tensor, teacher: Tensor, mask: Tensor | None = None, normalize: bool = True
) -> Tensor:
    """L = mean ‖f − sg[g]‖² / D, both of unit length when ``normalize``: (…, D) each, mask (…).

    UMT (Li et al., 2023, arXiv:2303.16058) aligns unmasked tokens with CLIP's so.
    """
    student, teacher = precise(student), precise(teacher)
    if normalize:
        student, teacher = F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)
    return _mean((student - teacher.detach()).square().mean(-1), mask)


def logit_distillation(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    """Match a teacher's distribution.

        L = T² mean KL(softmax(sg[g]/T) ‖ softmax(f/T))

    Hinton et al. (2015, arXiv:1503.02531); T² keeps the gradient's size as T grows.

    Args:
        student, teacher: (…, C) logits. mask: (…) bool.
    """
    log_p = (precise(student) / temperature).log_softmax(-1)
    log_q = (precise(teacher.detach()) / temperature).log_softmax(-1)
    return temperature**2 * _mean(F.kl_div(log_p, log_q, log_target=True, reduction="none").sum(-1), mask)


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    return values.mean() if mask is None else mean_where(values, mask)
