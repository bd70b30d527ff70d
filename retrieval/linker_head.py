"""A learned judge of what a mention means where it stands: its state in the sentence beside each candidate's text.

    logit(e) = log w_e + a ⟨m, d_e⟩ + b ⟨s, d_e⟩ + ⟨A m + C s, B d_e⟩,   logit(none of them) = z

m is the mean state of the mention's tokens in the frozen text tower, s the vector of the whole text, d_e that of the
candidate's label and description; w_e is the linker's own weight of name, casing and popularity (`kg.link`). It is a
bi-encoder as in BLINK (Wu et al., 2020, arXiv:1911.03814) on frozen towers, so that candidates are encoded once. For
"none of them" it is trained with the right candidate left out now and then. A and C begin at zero: what is learned is
only how to mend the towers' own likeness, since mentions to learn from are few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kg.errors import InputError
from kg.link import TEMPERATURE, Context
from retrieval.learned import open_weights

WIDTH = 64  # K
_GAIN = 10.0  # of B before training: vectors of length 1 are small
_DROPPED = 0.3
_LEFT_OUT = 0.15  # of the training mentions, the right candidate is hidden
_SHAPES = {"mention": 2, "whole": 2, "candidate": 2, "scales": 1}


class MentionEmbedder(Protocol):
    """Gives the mean state of a mention's tokens and the vector of its text, unit length, (N, D) each."""

    @property
    def dimension(self) -> int: ...

    def mentions(self, texts: Sequence[str], spans: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]: ...


class LinkerHead:
    """Re-scores the candidates of a mention.

    Args:
        text: encodes mentions.
        describe: IRIs → unit vectors of their labels and descriptions (N, D), by the same tower.
        weights: ``mention`` A, ``whole`` C and ``candidate`` B (K, D); ``scales`` a, b and z.
    """

    def __init__(
        self, text: MentionEmbedder, describe: Callable[[list[str]], np.ndarray], weights: dict[str, np.ndarray]
    ) -> None:
        self.text, self.describe, self.weights = text, describe, weights

    def context(self, text: str) -> Context:
        """What `EntityLinker.link` takes as ``context`` for one text; the last score is that of none of them."""

        def judge(iris: list[str], span: tuple[int, int]) -> Sequence[float]:
            mention, whole = self.text.mentions([text], [span])
            scores = self.scores(mention[0], whole[0], self.describe(iris))
            return (TEMPERATURE * np.append(scores, self.weights["scales"][2])).tolist()

        return judge

    def scores(self, mention: np.ndarray, whole: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Logits of candidates (N, D) without their prior, (N,)."""
        a, b = self.weights["scales"][:2].tolist()
        asked = self.weights["mention"] @ mention + self.weights["whole"] @ whole  # (K,)
        return candidates @ (a * mention + b * whole + self.weights["candidate"].T @ asked)

    @classmethod
    def train(
        cls,
        text: MentionEmbedder,
        describe: Callable[[list[str]], np.ndarray],
        mentions: np.ndarray,
        wholes: np.ndarray,
        candidates: np.ndarray,
        offered: Sequence[Sequence[int]],
        priors: Sequence[Sequence[float]],
        right: Sequence[int],
        rounds: int = 1200,
        seed: int = 0,
    ) -> LinkerHead:
        """Learn from mentions whose entity is known.

        Args:
            mentions, wholes: their states and those of their texts, (N, D) each.
            candidates: vectors of all entities that are offered, (C, D).
            offered: for each mention the rows of its candidates; priors: their weights w_e.
            right: for each mention the place of its entity in ``offered``.
            rounds: batches of 128.

        Raises:
            InputError: there is no mention to learn from.
        """
        import torch
        from torch.nn import functional as F

        if not len(right):
            raise InputError("a linker head is trained on mentions whose entity is known: none were given")
        generator = torch.Generator().manual_seed(seed)
        width = mentions.shape[1]
        of_mention, of_whole = (torch.zeros(WIDTH, width).requires_grad_() for _ in range(2))
        of_candidate = (torch.randn(WIDTH, width, generator=generator) * (_GAIN / width**0.5)).requires_grad_()
        scales = torch.tensor([10.0, 10.0, 2.0]).requires_grad_()
        rows, mask, prior = _padded(offered, priors)
        m, s, d = (torch.from_numpy(np.asarray(part, dtype=np.float32)) for part in (mentions, wholes, candidates))
        wanted = torch.tensor(list(right))
        bilinear = {"params": [of_mention, of_whole, of_candidate], "weight_decay": 0.1}
        optimizer = torch.optim.AdamW([bilinear, {"params": [scales], "lr": 0.05}], lr=1e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds)
        for _ in range(rounds):
            chosen = torch.randint(len(wanted), (128,), generator=generator)
            number = int(mask[chosen].sum(1).max())
            said = d[rows[chosen, :number]]  # (B, C, D)
            there, target = mask[chosen, :number].clone(), wanted[chosen].clone()
            hidden = torch.rand(len(chosen), generator=generator) < _LEFT_OUT
            there[hidden, target[hidden]] = False
            target[hidden] = number  # none of them
            asked = _dropped(m[chosen], generator) @ of_mention.T + _dropped(s[chosen], generator) @ of_whole.T
            asked = asked @ of_candidate  # (B, D)
            near = scales[0] * m[chosen] + scales[1] * s[chosen]
            logits = torch.einsum("bd,bcd->bc", near, said) + prior[chosen, :number]
            logits = logits + torch.einsum("bd,bcd->bc", asked, _dropped(said, generator))
            logits = logits.masked_fill(~there, -1e9)
            logits = torch.cat([logits, scales[2].expand(len(chosen), 1)], 1)
            loss = F.cross_entropy(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        fitted = (of_mention, of_whole, of_candidate, scales)
        arrays = [part.detach().contiguous().numpy() for part in fitted]
        return cls(text, describe, dict(zip(_SHAPES, arrays, strict=True)))

    def save(self, path: Path) -> None:
        """Write the weights as safetensors."""
        from safetensors.numpy import save_file

        save_file(self.weights, path)

    @classmethod
    def open(cls, path: Path, text: MentionEmbedder, describe: Callable[[list[str]], np.ndarray]) -> LinkerHead:
        """Read the weights.

        Raises:
            InputError: the file holds something else, or weights for another text tower.
        """
        weights = open_weights(path, _SHAPES, "a linker head", "train it again")
        if (width := weights["mention"].shape[1]) != text.dimension:
            raise InputError(f"{path}: made for a text tower of width {width}, not {text.dimension}; train it again")
        return cls(text, describe, weights)


def _dropped(rows: Any, generator: Any) -> Any:
    """Rows with some numbers set to 0, the others raised to make up for it."""
    import torch

    return rows * (torch.rand(rows.shape, generator=generator) >= _DROPPED) / (1 - _DROPPED)


def _padded(offered: Sequence[Sequence[int]], priors: Sequence[Sequence[float]]) -> tuple[Any, Any, Any]:
    """Rows of candidates (N, C), which are there, and the logarithms of their weights."""
    import torch

    most = max(map(len, offered))
    rows = torch.zeros(len(offered), most, dtype=torch.long)
    mask, prior = torch.zeros(len(offered), most), torch.zeros(len(offered), most)
    for number, (some, weights) in enumerate(zip(offered, priors, strict=True)):
        rows[number, : len(some)] = torch.tensor(list(some))
        mask[number, : len(some)] = 1
        prior[number, : len(some)] = torch.tensor(list(weights)).log()
    return rows, mask.bool(), prior
