"""A text tower as cross-encoder: question and fact read as one text, each token seeing all of both.

    logit(q, d) = u (−log rank(d)) + s cos(q̂, d̂) + ⟨v, c⟩,   [c; q_1 … ; d_1 …] = tower([CLS] q [SEP] d [SEP])
    L = −log softmax over the facts drawn for q of logit(q, d⁺)

q̂ and d̂ are the means of the joint states of question and fact, c that of the first token. As monoBERT (Nogueira and
Cho, 2019, arXiv:1901.04085), with the last layers of a small tower trained and the search's own ranking beside it. It
starts as a judge already: u = 1, s = 10, v = 0.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kg.errors import InputError
from retrieval.learned import open_weights

if TYPE_CHECKING:
    from kemm.encoders.text import HuggingFaceText

MAX_TOKENS = 32  # of a question, and of a fact
TRAINED = 3  # last layers
NEGATIVES = 5  # a question and step
BATCH = 8  # questions a step
_AT_ONCE = 32  # pairs read together
_SCALES = (1.0, 10.0)  # u and s before training


class CrossEncoder:
    """Judges facts for a question, reading both together; `retrieval.fact_search` asks for it.

    Args:
        tower: a BERT; its weights are copied.
        weights: by name, those of the trained layers and ``head`` (D,) and ``scales`` (2,); none before training.

    Raises:
        InputError: the tower has no layers to be read through jointly.
    """

    def __init__(self, tower: HuggingFaceText, weights: dict[str, np.ndarray] | None = None) -> None:
        layers = getattr(getattr(getattr(tower, "body", None), "encoder", None), "layer", None)
        if layers is None:
            raise InputError(f"the text tower {tower.name} is no BERT: there is no cross-encoder of it")
        self.tower, self.name = tower, f"{tower.name}/cross"
        self.body: nn.Module = copy.deepcopy(tower.body).float().eval()
        self.head, self.scales = nn.Parameter(torch.zeros(tower.width)), nn.Parameter(torch.tensor(_SCALES))
        first = len(layers) - TRAINED
        self._frozen = max(first, 0)
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad_(any(f"encoder.layer.{n}." in name for n in range(self._frozen, len(layers))))
        if weights is not None:
            with torch.no_grad():
                for name, parameter in self._trained().items():
                    parameter.copy_(torch.from_numpy(weights[name]))

    def _trained(self) -> dict[str, nn.Parameter]:
        layers = {name: one for name, one in self.body.named_parameters() if one.requires_grad}
        return layers | {"head": self.head, "scales": self.scales}

    def logits(self, pairs: Sequence[tuple[str, str]], ranks: Tensor) -> Tensor:
        """float32 (N,), of pairs of a question and a fact that a search put at ``ranks`` (N,), from 1."""
        asked = self.tower.tokenize([question for question, _ in pairs], MAX_TOKENS)
        said = [ids[1:] for ids in self.tower.tokenize([fact for _, fact in pairs], MAX_TOKENS + 1)]
        ids, mask = self.tower.pad([[*q, *d] for q, d in zip(asked, said, strict=True)])  # (N, T)
        starts = torch.tensor([len(q) for q in asked])[:, None]
        is_fact = torch.arange(ids.shape[1]) >= starts
        states = self.body(
            input_ids=ids, attention_mask=mask.long(), token_type_ids=is_fact.long()
        ).last_hidden_state  # (N, T, D)
        question, fact = (_mean(states, part) for part in (mask & ~is_fact, mask & is_fact))
        likeness = F.cosine_similarity(question, fact, dim=-1)
        return -self.scales[0] * ranks.log() + self.scales[1] * likeness + states[:, 0] @ self.head

    def scores(self, question: str, facts: Sequence[str]) -> np.ndarray:
        """Logits of facts, best first as a search found them, float32 (N,)."""
        order = sorted(range(len(facts)), key=lambda row: len(facts[row]))  # of one length: little to pad
        out = np.zeros(len(facts), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), _AT_ONCE):
                rows = order[start : start + _AT_ONCE]
                ranks = torch.tensor([row + 1.0 for row in rows])
                out[rows] = self.logits([(question, facts[row]) for row in rows], ranks).numpy()
        return out

    @classmethod
    def train(
        cls,
        tower: HuggingFaceText,
        questions: Sequence[str],
        right: Sequence[str],
        found: Sequence[Sequence[str]],
        rounds: float = 1.0,
        seed: int = 0,
        tick: Callable[[int], object] | None = None,
    ) -> CrossEncoder:
        """Learn from what a search that has not learned from these questions finds for each, best first.

        AdamW, learning rate 5e-5 (5e-3 for head and scales), both falling to 0 along a cosine.

        Args:
            right: the fact that answers each question; where ``found`` has it not, nothing is learned from it.
            rounds: how often each question is read.

        Raises:
            InputError: nothing right was found, or the tower is no BERT.
        """
        rows = [row for row, hits in enumerate(found) if right[row] in hits and len(hits) > 1]
        if not rows:
            raise InputError(
                "no search found a right fact beside wrong ones: there is nothing to learn to re-rank from"
            )
        generator = torch.Generator().manual_seed(seed)
        judge = cls(tower)
        layers = [one for name, one in judge._trained().items() if name.startswith("encoder")]
        groups: list[dict[str, Any]] = [
            {"params": layers},
            {"params": [judge.head, judge.scales], "lr": 5e-3, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=5e-5, weight_decay=0.01)
        steps = max(1, round(rounds * len(rows) / BATCH))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        order = torch.cat([torch.randperm(len(rows), generator=generator) for _ in range(int(rounds) + 1)])
        for step in range(steps):
            pairs: list[tuple[str, str]] = []
            ranks: list[float] = []
            sizes: list[int] = []
            for place in order[BATCH * step : BATCH * (step + 1)].tolist():
                row = rows[place]
                wrong = [rank for rank, fact in enumerate(found[row]) if fact != right[row]]
                drawn = torch.randperm(len(wrong), generator=generator)[:NEGATIVES].tolist()
                chosen = [found[row].index(right[row]), *(wrong[one] for one in drawn)]
                pairs += [(questions[row], found[row][rank]) for rank in chosen]
                ranks += [rank + 1.0 for rank in chosen]
                sizes.append(len(chosen))
            logits = judge.logits(pairs, torch.tensor(ranks)).split(sizes)
            loss = torch.stack([-one.log_softmax(0)[0] for one in logits]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if tick is not None:
                tick(len(sizes))
        return judge

    def save(self, path: Path) -> None:
        """Write what was trained as safetensors."""
        from safetensors.numpy import save_file

        save_file({name: one.detach().contiguous().numpy() for name, one in self._trained().items()}, path)

    @classmethod
    def open(cls, path: Path, tower: HuggingFaceText) -> CrossEncoder:
        """Read what was trained, for the tower that it was trained from.

        Raises:
            InputError: the file holds something else, or weights of another tower.
        """
        judge = cls(tower)
        shapes = {name: parameter.ndim for name, parameter in judge._trained().items()}
        weights = open_weights(path, shapes, f"a cross-encoder of {tower.name}", "train it again")
        if weights["head"].shape != judge.head.shape:
            width = len(weights["head"])
            raise InputError(f"{path}: made for a text tower of width {width}, not {tower.width}; train it again")
        return cls(tower, weights)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask[..., None].float()  # (N, T, 1)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
