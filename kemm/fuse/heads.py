"""What models end in: a word for each token, a vector for the whole."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kemm.fuse.feed_forward import ACTIVATIONS

#: A label that no loss is computed for.
IGNORED = -100


class WordHead(nn.Module):
    """Logits of the word at each place: BERT's for masked words.

        z = E LN(a(W x)) + b,   E the table of word embeddings

    Args:
        words: E, shared with the input; its weight is not the head's own.
        eps: of the LayerNorm.
        activation: a; None: no W and no LayerNorm (GPT).
        width: of the tokens, where it is not that of E: W maps one to the other.
        bias: whether there is b.
    """

    def __init__(
        self,
        words: nn.Embedding,
        eps: float = 1e-12,
        activation: str | None = "gelu",
        width: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        vocabulary, inner = words.weight.shape
        self.transform = nn.Linear(width or inner, inner) if activation is not None else None
        self.norm = nn.LayerNorm(inner, eps=eps) if activation is not None else None
        self.activation = ACTIVATIONS[activation] if activation is not None else None
        self.words = words
        self.bias = nn.Parameter(torch.zeros(vocabulary)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, V)."""
        if self.transform is not None and self.activation is not None and self.norm is not None:
            x = self.norm(self.activation(self.transform(x)))
        return nn.functional.linear(x, self.words.weight, self.bias)


class FirstTokenPooler(nn.Module):
    """tanh(W x_0 + b): BERT's vector of a whole text."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) → (B, D)."""
        return torch.tanh(self.project(x[:, 0]))


def next_word_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross entropy of each label after what stands before it.

        L = − mean over labelled i of log softmax(z_{i−1})[y_i]

    Args:
        logits: (B, L, V).
        labels: (B, L), the tokens themselves; ``IGNORED`` where there is nothing to learn.
    """
    return word_loss(logits[:, :-1], labels[:, 1:], label_smoothing)


def word_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross entropy of (B, L, V) logits and (B, L) labels, over those that are not ``IGNORED``."""
    return nn.functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, label_smoothing=label_smoothing
    )
