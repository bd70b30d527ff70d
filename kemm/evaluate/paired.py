"""The difference of two models on the same questions, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def paired_difference(mine: Sequence[ArrayLike], theirs: Sequence[ArrayLike]) -> dict[str, object]:
    """How much oftener one is right than another, both asked the same questions.

    Args:
        mine, theirs: for each seed, whether each of its questions was answered right.

    Returns:
        ``difference`` of the accuracies, the mean over the seeds, and its ``ci95``; see `paired_interval`.
    """
    differences = [np.asarray(m) - np.asarray(t) for m, t in zip(mine, theirs, strict=True)]
    mean = float(np.mean([values.mean() for values in differences]))
    return {"difference": round(mean, 4), "ci95": paired_interval(differences)}


def paired_interval(differences: Sequence[np.ndarray], draws: int = 10_000) -> list[float]:
    """The 95 % interval of the mean difference: seeds drawn with replacement, then questions within each seed drawn.

    Of one seed it holds the questions' chance alone, so it is too narrow for what another seed would give.
    """
    rng = np.random.default_rng(0)
    seeds = rng.integers(len(differences), size=(draws, len(differences)))
    means = np.empty(seeds.shape)
    for seed, values in enumerate(differences):
        kinds, counts = np.unique(values, return_counts=True)  # of 1 and 0 at most three: drawn by how often each comes
        drawn = rng.multinomial(len(values), counts / len(values), size=seeds.shape) @ kinds / len(values)
        means = np.where(seeds == seed, drawn, means)
    return [round(float(end), 4) for end in np.quantile(means.mean(1), [0.025, 0.975])]
