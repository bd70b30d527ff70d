"""Grounding: which words name which region, and boxes predicted as a set.

Where no pair of phrase and region is known, the contrast of `token_wise.late_interaction` scores stands in.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import precise
from kemm.objectives.losses.contrastive import soft_cross_entropy, spread


def region_word_contrast(
    regions: Tensor,
    words: Tensor,
    named: Tensor,
    temperature: float | Tensor = 0.07,
    region_mask: Tensor | None = None,
    word_mask: Tensor | None = None,
) -> Tensor:
    """MDETR's contrastive alignment.

        L = ½ mean_i −1/|T_i⁺| Σ_{j∈T_i⁺} log softmax_j(o_i·t_j/τ) + ½ the same from words to regions

    Kamath et al. (2021, arXiv:2104.12763), τ = 0.07, means over the regions and words that have a partner.

    Args:
        regions: o, (B, R, D), unit length. words: t, (B, T, D), unit length.
        named: (B, R, T) bool, word t names region r.
        region_mask: (B, R) bool. word_mask: (B, T) bool.
    """
    s = precise(regions) @ precise(words).mT / temperature  # (B, R, T)
    there = torch.ones_like(named)
    if region_mask is not None:
        there = there & region_mask[:, :, None]
    if word_mask is not None:
        there = there & word_mask[:, None, :]
    named, s = named & there, s.masked_fill(~there, torch.finfo(s.dtype).min)
    forth = soft_cross_entropy(s.flatten(0, 1), spread(named, s.dtype).flatten(0, 1))
    back = soft_cross_entropy(s.mT.flatten(0, 1), spread(named.mT, s.dtype).flatten(0, 1))
    return 0.5 * (forth + back)


def corners(boxes: Tensor) -> Tensor:
    """(…, 4) centre x, centre y, width, height → left, top, right, bottom."""
    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([middle - half, middle + half], -1)


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, less the share of the smallest box around both that neither covers.

        GIoU = |A∩B| / |A∪B| − (|C| − |A∪B|) / |C|

    Rezatofighi et al. (2019, arXiv:1902.09630).

    Args:
        a, b: (…, 4) corners, broadcast against each other.

    Returns:
        (…), from −1 to 1; for two boxes without an area in one place, −0 and never NaN.
    """

    def area(low: Tensor, high: Tensor) -> Tensor:
        return (high - low).clamp(min=0).prod(-1)

    inter = area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    union = area(a[..., :2], a[..., 2:]) + area(b[..., :2], b[..., 2:]) - inter
    around = area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    tiny = torch.finfo(a.dtype).tiny
    return inter / union.clamp(min=tiny) - (around - union) / around.clamp(min=tiny)


@torch.no_grad()
def match_sets(
    logits: Tensor, boxes: Tensor, labels: Tensor, targets: Tensor, weights: tuple[float, float, float] = (1, 5, 2)
) -> tuple[Tensor, Tensor]:
    """The cheapest one-to-one matching of predictions to what is there, by the Hungarian method.

        cost_qg = −w_c p_q(c_g) + w_1 ‖b_q − b_g‖₁ − w_g GIoU(b_q, b_g)

    Args:
        logits: (Q, C+1), the last class "nothing". boxes: (Q, 4) centre and size. labels: (G,). targets: (G, 4).

    Returns:
        prediction and target numbers, min(Q, G) each, predictions ascending.
    """
    from scipy.optimize import linear_sum_assignment

    by_class, by_length, by_overlap = weights
    cost = -by_class * logits.softmax(-1)[:, labels]
    cost = cost + by_length * (boxes[:, None] - targets[None, :]).abs().sum(-1)
    cost = cost - by_overlap * generalized_iou(corners(boxes)[:, None], corners(targets)[None, :])
    predicted, given = linear_sum_assignment(cost.float().cpu().numpy())
    return torch.as_tensor(predicted, device=logits.device), torch.as_tensor(given, device=logits.device)


def set_prediction(
    logits: Tensor,
    boxes: Tensor,
    labels: list[Tensor],
    targets: list[Tensor],
    weights: tuple[float, float, float] = (1, 5, 2),
    nothing: float = 0.1,
) -> Tensor:
    """DETR's loss after matching.

        L = w_c CE(class, "nothing" weighing 0.1) + (w_1 Σ ‖b − b̂‖₁ + w_g Σ (1 − GIoU)) / #boxes

    Carion et al. (2020, arXiv:2005.12872); boxes in shares of the picture's sides.

    Args:
        logits: (B, Q, C+1), the last class "nothing". boxes: (B, Q, 4) centre and size.
        labels: (G_b,) a picture. targets: (G_b, 4) a picture. A picture without objects is all "nothing".
    """
    by_class, by_length, by_overlap = weights
    logits, boxes, targets = precise(logits), precise(boxes), [precise(target) for target in targets]
    classes = torch.full(logits.shape[:2], logits.shape[-1] - 1, device=logits.device)
    away, count = boxes.sum() * 0.0, max(sum(map(len, labels)), 1)
    for row, (label, target) in enumerate(zip(labels, targets)):
        predicted, given = match_sets(logits[row], boxes[row], label, target, weights)
        classes[row, predicted] = label[given]
        b, wanted = boxes[row, predicted], target[given]
        away = away + by_length * (b - wanted).abs().sum()
        away = away + by_overlap * (1 - generalized_iou(corners(b), corners(wanted))).sum()
    weight = torch.ones(logits.shape[-1], dtype=logits.dtype, device=logits.device)
    weight[-1] = nothing
    return by_class * F.cross_entropy(logits.flatten(0, 1), classes.flatten(), weight=weight) + away / count
