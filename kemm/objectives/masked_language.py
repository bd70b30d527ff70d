"""Masked words, of texts alone and of captions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.encoders.momentum import MomentumCopy
from kemm.fuse.encoded import Encoded
from kemm.objectives.hiding import WordHiding
from kemm.objectives.losses.distillation import momentum_distillation
from kemm.objectives.objective import Context, Objective


class WordsHead(nn.Module):
    """Logits of words by the model's own table: E g(W h) + b; E (V, D_w) is the model's, W and b the head's."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.transform = nn.Sequential(
            nn.Linear(context.width, context.word_width), nn.GELU(), nn.LayerNorm(context.word_width)
        )
        self.bias = nn.Parameter(Tensor(context.num_words).zero_())

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """(…, D) and (V, D_w) → (…, V)."""
        states = self.transform(states)
        return F.linear(states, table.to(states.device, states.dtype), self.bias.to(states.dtype))


def word_table(encoded: Encoded) -> Tensor:
    """(V, D_w), the words of the model: of its frozen tower, or learned with it."""
    table: Tensor = encoded.model.inputs["language"].table  # type: ignore[assignment, union-attr]
    return table


def commonest(targets: Tensor) -> float:
    """How often the commonest of some targets (N,) is right: what a guess that knows nothing reaches."""
    return (targets.bincount().max() / len(targets)).item() if len(targets) else 0.0


class MaskedLanguage(Objective):
    """Predict hidden words of a text from the rest and the picture, where there is one (``mlm``).

        L = CE(E g(W h_t) + b, w_t) over hidden t,   E: the text tower's own embedding table, or the model's

    BERT's objective (Devlin et al., 2019, arXiv:1810.04805); unless set otherwise every chosen token is masked (no
    80/10/10). A tower runs on the masked text, so that nothing of a hidden word reaches its neighbours. With ``alpha``
    a slow copy's judgement of the same masked text is learned beside the word itself: ALBEF's momentum distillation (Li
    et al., 2021, arXiv:2107.07651), (1 − α) CE − α Σ_c q_c log p_c.
    """

    needs = ("language",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.head = WordsHead(context)
        self.hides = WordHiding(settings.rate, settings.rate_alone, settings.units, settings.masked, settings.replaced)
        self.wants_momentum = settings.alpha > 0
        if self.wants_momentum:
            self.slow = MomentumCopy(self.head)

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """(M, V) of the hidden words, and what they are (M,)."""
        self.rows(encoded)
        assert isinstance(self.hides, WordHiding)
        targets = encoded.hidden_words(self.hides).targets
        hidden = targets >= 0  # (B, T)
        states = encoded.masked(words=self.hides)["language"][:, 1:][hidden]
        return self.head(states, word_table(encoded)), targets[hidden]

    def forward(self, encoded: Encoded) -> Tensor:
        logits, targets = self.logits(encoded)
        if not len(targets):
            return logits.sum()
        if not self.wants_momentum:
            return F.cross_entropy(logits.float(), targets)
        with torch.no_grad():
            hidden = encoded.hidden_words(self.hides).targets >= 0  # type: ignore[arg-type]
            states = encoded.slow.masked(words=self.hides)["language"][:, 1:][hidden]  # type: ignore[arg-type]
            teacher = self.slow(states, word_table(encoded.slow))
        return momentum_distillation(logits.float(), teacher.float(), targets, self.settings.alpha)

    def after_step(self) -> None:
        if self.wants_momentum:
            self.slow.update(self.head)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        logits, targets = self.logits(encoded)
        if not len(targets):
            return {}
        return {"accuracy": (logits.argmax(1) == targets).float().mean().item(), "chance": commonest(targets)}
