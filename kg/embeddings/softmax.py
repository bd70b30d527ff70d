"""1-vs-all cross-entropy of products, without autograd's copies: one softmax and three matrix products a step.

    s = Q Kᵀ + bias                                                  Q (B, D) queries, K (E, D) keys
    L = 1/N Σ_n (log Σ_e exp s_q(n)e − s_q(n)y(n))                   N right answers y(n) of queries q(n)
    ∂L/∂s_be = (count(b) softmax(s_b)_e − [e is an answer of b]) / N       ∂L/∂Q = ∂L/∂s K       ∂L/∂K = (∂L/∂s)ᵀ Q

A query with several answers is scored once: the loss is that of asking it once for each.

In bfloat16 the products' operands and the probabilities are rounded (8 bits), sums are kept in float32; parameters and
what the optimiser keeps stay float32. On processors with bfloat16 products this is two to three times as fast.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def cross_entropy_of_products(
    query: Tensor,
    keys: Tensor,
    which: Tensor,
    answers: Tensor,
    bias: Tensor | None = None,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """Return the mean cross-entropy of ``softmax(query @ keys.T + bias)`` over right answers, a scalar.

    Args:
        query: (B, D).
        keys: (E, D).
        which, answers: (N,) int64, the query that each answer belongs to, and its row of ``keys``; no pair comes twice.
        bias: (E,), or None.
        precision: of the products, ``torch.float32`` or ``torch.bfloat16``.
    """
    result: Tensor = _CrossEntropy.apply(query, keys, which, answers, bias, precision)
    return result


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        query: Tensor,
        keys: Tensor,
        which: Tensor,
        answers: Tensor,
        bias: Tensor | None,
        precision: torch.dtype,
    ) -> Tensor:
        q, k = query.to(precision), keys.to(precision)
        logits = q @ k.T if bias is None else torch.addmm(bias.to(precision), q, k.T)  # (B, E)
        slope = torch.softmax(logits, 1)
        del logits
        right = slope[which, answers].float().clamp_min(torch.finfo(torch.float32).tiny)
        counts = torch.bincount(which, minlength=len(q))
        if len(which) != len(q) or int(counts.max()) != 1:
            slope *= counts[:, None].to(precision)
        slope[which, answers] -= 1  # now ∂L/∂s, but for 1/N
        context.save_for_backward(query, k, slope)
        context.has_bias, context.num_answers = bias is not None, len(which)
        return -right.log().mean()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, k, slope = context.saved_tensors
        scale = gradients[0] / context.num_answers
        to_query = (slope @ k).float().mul_(scale) if context.needs_input_grad[0] else None
        to_keys = None
        if context.needs_input_grad[1]:
            # (∂L/∂s)ᵀ is laid out anew: oneDNN reads a transposed left side in bfloat16 four times slower.
            to_keys = (slope.T.contiguous() @ (query * scale).to(slope.dtype)).float()
        to_bias = slope.sum(0, dtype=torch.float32).mul_(scale) if context.has_bias else None
        return to_query, to_keys, None, None, to_bias, None
