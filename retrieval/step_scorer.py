"""A learned reader of questions that goes along a graph step by step: which relation is taken next, or is this the end?

    p(π | q) = Π_t p(r_t | q, r_<t),   the last r_t being "stop"
    α_t = softmax(Q W h_t / √K),   c_t = Qᵀ α_t,   Q = X A                              what of the question is read now
    p(r | ·) = softmax_r ⟨tanh(O [h_t; c_t]), B e_r⟩,   h_{t+1} = tanh(G [h_t; c_t; B e_{r_t}])

X (T, D) are the frozen text tower's states of the question's tokens; e_r is its vector of the step's words, "directed
by" forward and "is directed by of" backward, so that a relation never trained on has one too. Scoring step by step, as
SR does (Zhang et al., 2022, arXiv:2202.13296), lets a search over paths drop a bad beginning before it is walked, and
needs no vector of any path: with R relations there are 2R steps, but (2R)³ paths of three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kg.errors import InputError
from retrieval.embed import TokenEmbedder
from retrieval.learned import open_weights, padded
from retrieval.verbalise import path_text

if TYPE_CHECKING:
    import torch

#: A step along the graph: the relation's label, and whether it is taken from head to tail.
NamedStep = tuple[str, bool]

WIDTH = 96  # K
_SHAPES = {"tokens": 2, "steps": 2, "attend": 2, "say": 2, "go": 2, "start": 1, "stop": 1}


@dataclass(frozen=True, slots=True)
class Reading:
    """One question read against S steps: projected tokens (T, K), and the steps with "stop" as the last (S + 1, K)."""

    weights: dict[str, np.ndarray]
    tokens: np.ndarray
    steps: np.ndarray

    def start(self) -> np.ndarray:
        """The state before the first step, (1, K)."""
        return self.weights["start"][None]

    def next(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log probabilities of what comes after B states, (B, S + 1), and what was read for it, (B, K)."""
        likeness = states @ self.weights["attend"] @ self.tokens.T / np.sqrt(states.shape[1])  # (B, T)
        read = _softmax(likeness) @ self.tokens
        logits = np.tanh(np.concatenate([states, read], axis=1) @ self.weights["say"].T) @ self.steps.T
        shifted = logits - logits.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), read

    def go(self, states: np.ndarray, read: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """The states after taking steps, rows of ``steps``: (B, K)."""
        return np.tanh(np.concatenate([states, read, self.steps[taken]], axis=1) @ self.weights["go"].T)


class StepScorer:
    """Read questions as paths.

    Args:
        text: gives token states of questions and vectors of steps.
        weights: ``tokens`` A and ``steps`` B (K, D); ``attend`` W (K, K); ``say`` O (K, 2K); ``go`` G (K, 3K);
            ``start`` h_0 and ``stop`` (K,).
    """

    def __init__(self, text: TokenEmbedder, weights: dict[str, np.ndarray]) -> None:
        self.text, self.weights = text, weights
        self._steps: tuple[tuple[NamedStep, ...], np.ndarray] = ((), np.zeros((0, 0)))

    def read(self, question: str, steps: Sequence[NamedStep]) -> Reading:
        """Begin to read a question, its mentions replaced by "this"; the steps that the graph has are its words."""
        known = tuple(steps)
        if known != self._steps[0]:
            vectors = self.text.embed([path_text([step]) for step in known or (("", True),)])[: len(known)]
            projected = vectors.astype(np.float32) @ self.weights["steps"].T
            self._steps = known, np.concatenate([projected, self.weights["stop"][None]])
        states = self.text.tokens([question])[0].astype(np.float32)
        return Reading(self.weights, states @ self.weights["tokens"].T, self._steps[1])

    @classmethod
    def train(
        cls,
        text: TokenEmbedder,
        questions: Sequence[str],
        paths: Sequence[Sequence[NamedStep]],
        steps: Sequence[NamedStep] = (),
        rounds: int = 600,
        seed: int = 0,
        noise: float = 0.3,
    ) -> StepScorer:
        """Learn from questions and the path that each means.

        Args:
            questions: their mentions replaced by "this", as `read` gets them.
            steps: more steps than those of the paths, to learn not to take.
            rounds: batches of 64.
            noise: added to token states, in their standard deviations, and a fifth of the tokens goes unheard: there
                are fewer wordings to learn from than there will be.

        Raises:
            InputError: there is nothing to learn from.
        """
        import torch
        from torch.nn import functional as F

        if not questions or len(questions) != len(paths):
            raise InputError("a step scorer is trained on questions with a path each: none were given")
        generator = torch.Generator().manual_seed(seed)
        known = list(dict.fromkeys([*(step for path in paths for step in path), *steps]))
        number = {step: place for place, step in enumerate(known)}
        distinct = list(dict.fromkeys(questions))
        row = {question: place for place, question in enumerate(distinct)}
        states, mask = padded(text.tokens(distinct))  # (N, T, D)
        deviation = states[mask].std(0)
        vectors = torch.from_numpy(text.embed([path_text([step]) for step in known]).astype(np.float32))  # (S, D)
        longest = max(map(len, paths)) + 1
        stop, none = len(known), -1
        targets = torch.full((len(paths), longest), none)
        for place, path in enumerate(paths):
            targets[place, : len(path) + 1] = torch.tensor([*(number[step] for step in path), stop])
        asked = torch.tensor([row[question] for question in questions])

        weights = _drawn(states.shape[2], generator)
        optimizer = torch.optim.AdamW(list(weights.values()), lr=2e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds)
        for _ in range(rounds):
            chosen = torch.randint(len(asked), (64,), generator=generator)
            whole = mask[asked[chosen]]
            heard = whole & (torch.rand(whole.shape, generator=generator) > 0.2)
            heard = torch.where(heard.any(1, keepdim=True), heard, whole)
            x = states[asked[chosen]]
            x = x + noise * deviation * torch.randn(x.shape, generator=generator)
            tokens = x @ weights["tokens"].T  # (B, T, K)
            e = torch.cat([vectors @ weights["steps"].T, weights["stop"][None]])  # (S + 1, K)
            h = weights["start"].expand(len(chosen), -1)
            loss = torch.zeros(())
            for at in range(longest):
                wanted = targets[chosen, at]
                likeness = torch.einsum("bk,btk->bt", h @ weights["attend"], tokens) / WIDTH**0.5
                share = likeness.masked_fill(~heard, -1e9).softmax(1)
                read = torch.einsum("bt,btk->bk", share, tokens)
                logits = torch.tanh(torch.cat([h, read], 1) @ weights["say"].T) @ e.T
                loss = loss + F.cross_entropy(logits, wanted, ignore_index=none, reduction="sum") / len(chosen)
                h = torch.tanh(torch.cat([h, read, e[wanted.clamp(min=0)]], 1) @ weights["go"].T)
                if bool((wanted == none).all()):
                    break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return cls(text, {name: weight.detach().contiguous().numpy() for name, weight in weights.items()})

    def save(self, path: Path) -> None:
        """Write the weights as safetensors."""
        from safetensors.numpy import save_file

        save_file(self.weights, path)

    @classmethod
    def open(cls, path: Path, text: TokenEmbedder) -> StepScorer:
        """Read the weights.

        Raises:
            InputError: the file holds something else, or weights for another text tower.
        """
        weights = open_weights(path, _SHAPES, "a step scorer", "train it again")
        if weights["steps"].shape[1] != text.dimension:
            width = weights["steps"].shape[1]
            raise InputError(f"{path}: made for a text tower of width {width}, not {text.dimension}; train it again")
        return cls(text, weights)


def _drawn(width: int, generator: torch.Generator) -> dict[str, Any]:
    """Weights before training."""
    import torch

    sizes = {
        "tokens": (WIDTH, width),
        "steps": (WIDTH, width),
        "attend": (WIDTH, WIDTH),
        "say": (WIDTH, 2 * WIDTH),
        "go": (WIDTH, 3 * WIDTH),
        "start": (WIDTH,),
        "stop": (WIDTH,),
    }
    drawn = {name: torch.randn(size, generator=generator) / size[-1] ** 0.5 for name, size in sizes.items()}
    drawn["steps"] *= WIDTH**0.5  # a vector of length 1 is small
    return {name: weight.requires_grad_() for name, weight in drawn.items()}


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
