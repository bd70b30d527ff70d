"""Writing a text: every next word, the words after a prefix, or the hidden words of a caption.

One cross-entropy; what differs is which words are written and what the decoder sees. ``smoothing`` ε spreads ε evenly
over
the vocabulary: target = (1 − ε) one-hot + ε / V (BLIP: .1). CoCa (arXiv:2205.01917) adds 2 × ``next_words`` to
1 × a contrast; the weights are the caller's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.objectives.losses.averages import mean_where, precise


def written_words(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """L = mean over t with a target of CE((1 − ε) one-hot(w_t) + ε/V, softmax(z_t)).

    As it stands: masked words (BERT), masked words under a causal mask (LEMON's and UNIMO's seq2seq captions,
    arXiv:2111.12233 and arXiv:2012.15409), and T5's answers, whose decoder reads its targets shifted. The mean is over
    all words of the batch, so a long text counts more than a short one.

    Args:
        logits: (B, T, V). targets: (B, T), −1 (or any negative) where nothing is to be said.
    """
    said = targets >= 0
    loss = F.cross_entropy(
        precise(logits).movedim(-1, 1), targets.clamp(min=0), reduction="none", label_smoothing=smoothing
    )
    return mean_where(loss, said)


def next_words(logits: Tensor, ids: Tensor, is_word: Tensor, smoothing: float = 0.0) -> Tensor:
    """L = mean over t of −log p(w_{t+1} | w_{≤t}, picture): the logits at t say the word at t + 1.

    Captioning and image-grounded generation (BLIP, Li et al., 2022, arXiv:2201.12086; GIT, arXiv:2205.14100).

    Args:
        logits: (B, T, V), of the text's places. ids: (B, T). is_word: (B, T) bool, false at padding.
    """
    return written_words(logits[:, :-1], ids[:, 1:].masked_fill(~is_word[:, 1:], -1), smoothing)


def words_after_prefix(logits: Tensor, ids: Tensor, is_word: Tensor, prefix: Tensor, smoothing: float = 0.0) -> Tensor:
    """L = mean over t ≥ prefix of −log p(w_t | w_{<t}, picture), the prefix read both ways.

    SimVLM (Wang et al., 2022, arXiv:2108.10904). The first word of a text without a prefix is not said by the text
    itself: put a begin-of-text mark there.

    Args:
        prefix: (B,), how many of the text's tokens are given.
    """
    place = torch.arange(ids.shape[1], device=ids.device)
    return next_words(logits, ids, is_word & (place >= prefix[:, None]), smoothing)
