"""Training against the worst small change of the embeddings: FreeLB (Zhu et al., 2019, arXiv:1909.11764).

As VILLA (Gan et al., 2020, arXiv:2006.06195) has it, on words or on regions, with a symmetric KL beside.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kemm.objectives.losses.averages import precise


def symmetric_kl(p: Tensor, q: Tensor) -> Tensor:
    """mean KL(p ‖ q) + KL(q ‖ p) of the distributions of two logits (…, C); gradients go to both."""
    log_p, log_q = precise(p).log_softmax(-1), precise(q).log_softmax(-1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1).mean()


def norm(delta: Tensor) -> Tensor:
    """The Frobenius norm of each example, kept broadcastable: (B, …) → (B, 1, …)."""
    return delta.flatten(1).norm(dim=1).view(-1, *[1] * (delta.ndim - 1))


@torch.no_grad()
def ascend(delta: Tensor, gradient: Tensor, step: float, radius: float) -> Tensor:
    """One step uphill, back into the ball.

        δ ← Π_{‖δ‖_F ≤ ε}(δ + η g / ‖g‖_F)

    Args:
        delta, gradient: δ and g, (B, …); norms are per example, and where g is 0 δ stays.
        step: η. radius: ε; 0 or less is no ball, as in VILLA's default.
    """
    delta = delta + step * gradient / norm(gradient).clamp(min=torch.finfo(delta.dtype).tiny)
    if radius <= 0:
        return delta
    return delta * (radius / norm(delta).clamp(min=torch.finfo(delta.dtype).tiny)).clamp(max=1.0)


def freelb(
    forward: Callable[[Tensor], Tensor],
    task_loss: Callable[[Tensor], Tensor],
    embedding: Tensor,
    clean: Tensor,
    *,
    mask: Tensor | None = None,
    steps: int = 3,
    step: float = 1e-3,
    radius: float = 0.0,
    start: float = 0.0,
    kl: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The adversarial part of the loss; add the clean task loss to it.

        L = 1/K Σ_k [L_task(f(x + δ_k)) + α KL_sym(f(x + δ_k), f(x))],   δ_{k+1} = ascend(δ_k, ∇_δ L_k)

    The gradient of the mean over steps is what FreeLB gathers "for free"; here the K graphs live until ``backward``.

    Args:
        forward: embeddings (B, L, D) → logits (…, C). Dropout must be the same each time, or off.
        task_loss: logits → scalar.
        embedding: x, (B, L, D). clean: f(x), from the step's own forward.
        mask: (B, L) bool; padding is not perturbed.
        steps: K. step: η. radius: ε. start: the size of the uniform δ_0. kl: α.
    """
    there = torch.ones_like(embedding[..., :1]) if mask is None else mask[..., None].to(embedding.dtype)
    noise = torch.rand(embedding.shape, generator=generator, dtype=embedding.dtype).to(embedding.device) * 2 - 1
    size = (there.sum((1, 2), keepdim=True) * embedding.shape[-1]).clamp(min=1).sqrt()
    delta = start * noise * there / size
    total = embedding.sum() * 0.0
    for k in range(steps):
        delta = delta.detach().requires_grad_()
        logits = forward(embedding + delta * there)
        loss = task_loss(logits) + kl * symmetric_kl(logits, clean)
        total = total + loss / steps
        if k + 1 < steps:
            (gradient,) = torch.autograd.grad(loss, delta, retain_graph=True)
            delta = ascend(delta, gradient, step, radius)
    return total
