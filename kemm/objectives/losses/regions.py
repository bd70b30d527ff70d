"""What is predicted of hidden regions of a picture: their features, their class, a detector's whole distribution.

``hidden`` (B, N) bool says which regions count; the loss is the mean over those of the whole batch, zero where none is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import mean_where, precise


def feature_regression(predicted: Tensor, features: Tensor, hidden: Tensor, smooth: bool = False) -> Tensor:
    """L = mean over hidden r and values d of ρ(x̂_rd − x_rd).

    ρ(e) = e² in UNITER (Chen et al., 2020, arXiv:1909.11740); with ``smooth`` ρ(e) = e²/2 below 1 and |e| − ½ above, in
    LXMERT (Tan and Bansal, 2019, arXiv:1908.07490). The paper of UNITER sums over values, its code takes the mean.

    Args:
        predicted, features: (B, N, D).
    """
    rho = F.smooth_l1_loss if smooth else F.mse_loss
    return mean_where(rho(precise(predicted), precise(features).detach(), reduction="none").mean(-1), hidden)


def class_loss(logits: Tensor, classes: Tensor, hidden: Tensor, confidence: Tensor | None = None) -> Tensor:
    """L = mean over hidden r of c_r · −log softmax(z_r)[class_r].

    UNITER's masked region classification, VL-BERT's (arXiv:1908.08530) and ImageBERT's (arXiv:2001.07966) masked
    objects; LXMERT's labels and attributes, whose c is the detector's confidence (1 where none is given).

    Args:
        logits: (B, N, C). classes: (B, N); those of regions that are shown are not read. confidence: (B, N) in [0, 1].
    """
    loss = F.cross_entropy(precise(logits).movedim(-1, 1), classes.masked_fill(~hidden, 0), reduction="none")
    return mean_where(loss if confidence is None else loss * confidence, hidden)


def distribution_divergence(logits: Tensor, detected: Tensor, hidden: Tensor) -> Tensor:
    """L = mean over hidden r of KL(p_r ‖ softmax(z_r)) = Σ_c p_rc (log p_rc − log softmax(z_r)_c).

    UNITER's MRC-KL and ViLBERT's masked regions (Lu et al., 2019, arXiv:1908.02265): a detector's class is a guess, so
    its whole distribution is the target. A class that the detector gives nothing costs nothing.

    Args:
        logits: (B, N, C). detected: (B, N, C), rows sum to 1 where hidden.
    """
    target = precise(detected).detach()
    logs = precise(logits).log_softmax(-1)
    return mean_where((torch.xlogy(target, target) - target * logs).sum(-1), hidden)
