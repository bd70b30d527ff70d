"""How the judges of paths and of facts learn: the whole texts, the late interaction of their tokens, and negatives.

    logit(q, d) = s ⟨M q̄, d̄⟩ + a explained(q, d) + c found(q, d) [+ β more(q, d)] + b
    L = CE over the step's documents + BCE(logit) + 0.01 ‖M − I‖²

``explained`` and ``found`` are those of `retrieval.late_interaction`, here with slopes. Gaussian noise and a fifth of
the tokens left out stand for wordings that training has not heard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.late_interaction import ABSENT
from retrieval.learned import padded

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from retrieval.embed import TokenEmbedder

WIDTH = 64  # rows of A
_MOST_STATES = 20_000  # of tokens of documents, from which A's first axes are taken
_UNHEARD = 0.2
_RIGHT_WEIGHS = 8.0  # in the logistic loss, where one document of many is right

#: Rows of questions (B,) → rows of documents to tell from the right ones (n,).
Negatives = Callable[["Tensor", "Generator"], "Tensor"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """N texts in the frozen tower.

    Attributes:
        states: (N, T, D); mask: (N, T), which of the tokens are there; pooled: (N, D), of length 1.
    """

    states: Tensor
    mask: Tensor
    pooled: Tensor

    @classmethod
    def of(
        cls, text: TokenEmbedder, texts: Sequence[str], pooled: np.ndarray | None = None, most: int = 512
    ) -> Encoded:
        """Encode texts, of each its first ``most`` tokens; their pooled vectors (N, D) may be given."""
        import torch

        states, mask = padded([states[:most] for states in text.tokens(list(texts))])
        vectors = text.embed(list(texts)) if pooled is None else pooled
        return cls(states, mask, torch.from_numpy(np.asarray(vectors, dtype=np.float32)))

    def __getitem__(self, rows: Tensor) -> Encoded:
        """Some of the texts, as long as the longest of them."""
        longest = int(self.mask[rows].sum(1).max())
        return Encoded(self.states[rows, :longest], self.mask[rows, :longest], self.pooled[rows])


def late_interaction(
    questions: Encoded, documents: Encoded, projection: Tensor, question_weight: Tensor, document_weight: Tensor
) -> tuple[Tensor, Tensor]:
    """``explained`` and ``found`` of every pair of a question and a document, (B, C) each.

    Args:
        projection: A (K, D); question_weight, document_weight: (D,).
    """
    import torch
    from torch.nn import functional as F

    def shares(weight: Tensor, mask: Tensor) -> Tensor:
        importance = F.softplus(weight) * mask
        return importance / importance.sum(1, keepdim=True)

    def absent(mask: Tensor) -> Tensor:
        return torch.where(mask, 0.0, ABSENT)

    tokens = F.normalize(questions.states @ projection.T, dim=-1)  # (B, T, K)
    parts = F.normalize(documents.states @ projection.T, dim=-1)  # (C, J, K)
    likeness = tokens.flatten(0, 1) @ parts.flatten(0, 1).T
    likeness = likeness.view(*questions.mask.shape, *documents.mask.shape)  # (B, T, C, J)
    explained = (likeness + absent(documents.mask)).amax(3)  # (B, T, C)
    explained = torch.einsum("btc,bt->bc", explained, shares(questions.states @ question_weight, questions.mask))
    found = (likeness + absent(questions.mask)[:, :, None, None]).amax(1)  # (B, C, J)
    found = torch.einsum("bcj,cj->bc", found, shares(documents.states @ document_weight, documents.mask))
    return explained, found


def train_judge(
    text: TokenEmbedder,
    questions: Sequence[str],
    documents: Encoded,
    right: Sequence[int],
    negatives: Negatives,
    scales: Sequence[float],
    scales_rate: float,
    steps: int,
    batch: int,
    generator: Generator,
    noise: float,
    more: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> list[np.ndarray]:
    """Fit on questions, each answered by the document ``right``; Adam, learning rate 1e-3.

    Of questions in the same words the states are held once.

    Args:
        scales: s, a, c, β where there is ``more``, and b, before training; ``scales_rate`` is their learning rate.
        noise: in standard deviations of the token states.
        more: rows of questions (B,) and of documents (C,) → one number a pair more, (B, C).

    Returns:
        M (D, D), A (K, D), the weights of questions' and of documents' tokens (D,) each, and the scales.
    """
    import torch
    from torch.nn import functional as F

    worded = {question: number for number, question in enumerate(dict.fromkeys(questions))}
    wordings, wording = Encoded.of(text, list(worded)), torch.tensor([worded[question] for question in questions])
    identity, deviation = torch.eye(wordings.pooled.shape[1]), float(wordings.states[wordings.mask].std())
    flat = documents.states[documents.mask]
    flat = flat[torch.randperm(len(flat), generator=generator)[:_MOST_STATES]]
    axes = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:WIDTH]
    matrix, projection = identity.clone().requires_grad_(), axes.clone().requires_grad_()
    weights = [torch.zeros(len(identity), requires_grad=True) for _ in range(2)]
    scale = torch.tensor(list(scales), requires_grad=True)
    parameters = [matrix, projection, *weights, scale]
    groups: list[dict[str, Any]] = [{"params": parameters[:4]}, {"params": [scale], "lr": scales_rate}]
    optimizer = torch.optim.Adam(groups, lr=1e-3)
    target = torch.tensor(list(right))
    for _ in range(steps):
        rows = torch.randint(len(target), (min(batch, len(target)),), generator=generator)
        chosen, place = torch.unique(torch.cat([target[rows], negatives(rows, generator)]), return_inverse=True)  # (C,)
        place = place[: len(rows)]
        asked, said = _noisy(wordings[wording[rows]], noise * deviation, noise, generator), documents[chosen]
        parts = [F.normalize(asked.pooled @ matrix.T, dim=-1) @ said.pooled.T]
        parts += late_interaction(asked, said, projection, *weights)
        if more is not None:
            parts.append(more(rows, chosen))
        logits = sum((one * part for one, part in zip(scale, parts, strict=False)), scale[-1])  # (B, C)
        truth = F.one_hot(place, len(chosen)).float()
        logistic = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=torch.tensor(_RIGHT_WEIGHS))
        loss = F.cross_entropy(logits, place) + logistic + 0.01 * (matrix - identity).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [parameter.detach().contiguous().numpy() for parameter in parameters]


def _noisy(questions: Encoded, of_states: float, of_pooled: float, generator: Generator) -> Encoded:
    """Questions a little otherwise, with some tokens unheard, never all."""
    import torch

    heard = questions.mask & (torch.rand(questions.mask.shape, generator=generator) > _UNHEARD)
    mask = torch.where(heard.any(1, keepdim=True), heard, questions.mask)
    states = questions.states + of_states * torch.randn(questions.states.shape, generator=generator)
    pooled = questions.pooled
    pooled = pooled + of_pooled * torch.randn(pooled.shape, generator=generator) / pooled.shape[1] ** 0.5
    return Encoded(states, mask, pooled)


def drawn(of_each: Sequence[Sequence[int]], most: int) -> Negatives:
    """Draw up to ``most`` of the mined negatives of each question."""
    import torch

    def some(rows: Tensor, generator: Generator) -> Tensor:
        mined = []
        for row in rows.tolist():
            wrong = of_each[row]
            mined += [wrong[place] for place in torch.randperm(len(wrong), generator=generator)[:most].tolist()]
        return torch.tensor(mined, dtype=torch.long)

    return some
