"""The difference of two models on the same questions, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def paired_difference(mine: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> dict[str, object]:
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
    """The 95 % interval of the mean difference: questions drawn with replacement within each seed, seeds averaged."""
    rng = np.random.default_rng(0)
    means = np.mean([np.array([rng.choice(d, len(d)).mean() for _ in range(draws)]) for d in differences], axis=0)
    return [round(float(end), 4) for end in np.quantile(means, [0.025, 0.975])]
