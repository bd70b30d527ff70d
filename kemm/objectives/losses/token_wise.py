"""Similarity of two sequences by each token's best match in the other.

FILIP (Yao et al., 2022, arXiv:2111.07783) averages over tokens; ColBERT (Khattab and Zaharia, 2020, arXiv:2004.12832)
and RA-VQA's FLMR (Lin et al., 2023, arXiv:2309.17133) sum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kemm.objectives.losses.contrastive import soft_cross_entropy


def late_interaction(
    queries: Tensor, keys: Tensor, query_mask: Tensor | None = None, key_mask: Tensor | None = None
) -> Tensor:
    """Every query sequence against every key sequence.

        s_ij = Σ_t max_r ⟨q_it, k_jr⟩

    Args:
        queries: q, (A, T, D), unit length.
        keys: k, (B, R, D), unit length.
        query_mask: (A, T) bool, tokens that are there.
        key_mask: (B, R) bool. A key sequence without a token scores 0.

    Returns:
        s, (A, B).
    """
    scores = torch.einsum("atd,brd->abtr", queries, keys)
    if key_mask is not None:
        scores = scores.masked_fill(~key_mask[None, :, None, :], torch.finfo(scores.dtype).min)
    best = scores.amax(-1)  # (A, B, T)
    if key_mask is not None:
        best = best.masked_fill(~key_mask.any(-1)[None, :, None], 0.0)
    if query_mask is not None:
        best = best.masked_fill(~query_mask[:, None, :], 0.0)
    return best.sum(-1)


def token_wise(
    image: Tensor, text: Tensor, image_mask: Tensor | None = None, text_mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """FILIP's two similarities.

        s(I→T)_ij = mean_k max_r ⟨v_ik, t_jr⟩,   s(T→I)_ji = mean_r max_k ⟨t_jr, v_ik⟩

    Padding is no token, in mean and maximum; FILIP leaves it in the maximum of the image's side.

    Args:
        image: v, (B, P, D), unit length.
        text: t, (C, T, D), unit length.
        image_mask: (B, P) bool. text_mask: (C, T) bool.

    Returns:
        s(I→T), (B, C), and s(T→I), (C, B).
    """

    def count(tokens: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return tokens.new_full((len(tokens), 1), tokens.shape[1])
        return mask.sum(-1, keepdim=True).clamp(min=1).to(tokens.dtype)

    forth = late_interaction(image, text, image_mask, text_mask) / count(image, image_mask)
    back = late_interaction(text, image, text_mask, image_mask) / count(text, text_mask)
    return forth, back


def token_wise_contrast(forth: Tensor, back: Tensor, scale: float | Tensor) -> Tensor:
    """L = ½ (CE(t s(I→T), i) + CE(t s(T→I), i)), both similarities (B, B), t = 1/τ."""
    own = torch.eye(len(forth), dtype=forth.dtype, device=forth.device)
    return 0.5 * (soft_cross_entropy(forth * scale, own) + soft_cross_entropy(back * scale, own))
