"""A queue of past keys as negatives: MoCo (He et al., 2020, arXiv:1911.05722)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kg.errors import InputError


class KeyQueue(nn.Module):
    """The last ``size`` keys of a momentum encoder, oldest out first.

    It starts empty rather than with random keys, as MoCo's does, so no step is trained against noise; a batch longer
    than the queue leaves its last ``size`` keys. Saved with the model.

    Args:
        size: N, keys held; 65536 in MoCo and ALBEF.
        width: D of a key.

    Raises:
        InputError: a size or a width below 1.
    """

    keys: Tensor
    labels: Tensor
    state: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        if size < 1 or width < 1:
            raise InputError(f"a queue of {size} keys of width {width} holds nothing; both must be at least 1")
        self.size = size
        self.register_buffer("keys", torch.zeros(size, width))
        self.register_buffer("labels", torch.full((size,), -1, dtype=torch.long))
        self.register_buffer("state", torch.zeros(2, dtype=torch.long))  # where the next key goes; how many are held

    def __len__(self) -> int:
        return int(self.state[1])

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor | None = None) -> None:
        """Take in keys (B, D), and what they show (B,), −1 where that isn't known; the oldest make room.

        Raises:
            InputError: keys of another width, or that aren't finite.
        """
        if keys.ndim != 2 or keys.shape[1] != self.keys.shape[1]:
            raise InputError(f"the queue holds keys of width {self.keys.shape[1]}, got {tuple(keys.shape)}")
        if not keys.isfinite().all():
            raise InputError("a key isn't finite; it would spoil the loss for as long as the queue holds it")
        labels = torch.full((len(keys),), -1, device=keys.device) if labels is None else labels
        keys, labels = keys[-self.size :], labels[-self.size :]
        start, held = self.state.tolist()
        at = (start + torch.arange(len(keys), device=self.keys.device)) % self.size
        self.keys[at] = keys.to(self.keys)
        self.labels[at] = labels.to(self.labels)
        self.state[0] = (start + len(keys)) % self.size
        self.state[1] = min(held + len(keys), self.size)

    def oldest_first(self) -> tuple[Tensor, Tensor]:
        """The keys held (N', D) and their labels (N',), oldest first; copies, so that enqueueing changes no graph."""
        start, held = self.state.tolist()
        at = (start - held + torch.arange(held, device=self.keys.device)) % self.size
        return self.keys[at], self.labels[at]

    @torch.no_grad()
    def dequeue(self, count: int) -> tuple[Tensor, Tensor]:
        """Take out the ``count`` oldest, or all when there are fewer: (C, D), (C,)."""
        keys, labels = self.oldest_first()
        count = min(max(count, 0), len(self))
        self.state[1] -= count
        return keys[:count], labels[:count]


def moco(
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    temperature: float | Tensor = 0.07,
    labels: Tensor | None = None,
    queue_labels: Tensor | None = None,
) -> Tensor:
    """InfoNCE of a query against its own key and the queue.

        L = mean_i −log exp(q_i·k_i/τ) / (exp(q_i·k_i/τ) + Σ_n exp(q_i·k_n/τ))

    Args:
        query: q, (B, D), unit length.
        key: k⁺, (B, D), unit length; no gradient goes there.
        queue: (N, D), unit length; N may be 0, and the loss is then 0.
        labels: (B,) what each query shows; with ``queue_labels`` (N,), keys of the same are no negatives, which MoCo
            doesn't know to leave out. −1 is like nothing.
    """
    right = (query * key.detach()).sum(-1, keepdim=True)  # (B, 1)
    wrong = query @ queue.detach().to(query).T  # (B, N)
    if labels is not None and queue_labels is not None:
        same = (labels[:, None] == queue_labels[None, :]) & (labels[:, None] >= 0)
        wrong = wrong.masked_fill(same, -torch.inf)
    logits = torch.cat([right, wrong], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long, device=query.device))
