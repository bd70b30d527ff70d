"""Which relation path a question means, learned from answers alone.

    F1(π) = 2 |E_π ∩ A| / (|E_π| + |A|),   π(q) = argmax_π mean over the questions worded as q of F1(π)

E_π are the ends of path π from the question's entity, A the answers that are known. Other paths lead to the answers of
one question by chance; seldom to those of all questions of one wording. Of equal paths the shorter is meant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from retrieval.index.path_walk import Level, PathWalk

Steps = tuple[tuple[int, bool], ...]

#: A path is gone on from while it leads to at most so many entities.
_SMALL = 2_000


def path_scores(walk: PathWalk, entity: str, answers: Iterable[str]) -> dict[Steps, float]:
    """F1 of every path from an entity that leads to one of the answers; entities are IRIs, values their text."""
    anchor = walk.number(entity)
    if anchor < 0:
        return {}
    wanted = set(answers)
    ids = walk.graph.ids(wanted)
    numbers = walk.snapshot.index_of(list(ids.values())) if ids else np.zeros(0, dtype=np.int64)
    numbers = numbers[numbers >= 0]

    def is_small(level: Level) -> bool:
        return len(level.nodes) <= _SMALL

    scores: dict[Steps, float] = {}
    for trail in walk.all_trails(anchor, is_small):
        last = trail.levels[-1]
        if last.values:
            ends = {statement.tail.value for statement in last.values if not isinstance(statement.tail, str)}
            found, size = len(ends & wanted), len(ends)
        else:
            found, size = int(np.isin(numbers, last.nodes).sum()), len(last.nodes)
        if found:
            scores[trail.steps] = 2 * found / (size + len(wanted))
    return scores


def mean_scores(
    walk: PathWalk,
    questions: Iterable[tuple[str, str, Iterable[str]]],
    progress: Callable[[int], object] | None = None,
) -> dict[str, dict[Steps, float]]:
    """The mean F1 of each path for each wording; paths that lead to none of its answers are left out.

    Args:
        questions: (wording, its mention replaced by "this"; the entity it is about; the answers).
    """
    total: dict[str, dict[Steps, float]] = defaultdict(lambda: defaultdict(float))
    asked: dict[str, int] = defaultdict(int)
    for wording, entity, answers in questions:
        asked[wording] += 1
        for steps, score in path_scores(walk, entity, answers).items():
            total[wording][steps] += score
        if progress is not None:
            progress(1)
    return {
        wording: {steps: score / asked[wording] for steps, score in scores.items()} for wording, scores in total.items()
    }


def meant_paths(means: dict[str, dict[Steps, float]], least: float = 0.5) -> dict[str, Steps]:
    """The path that each wording means, by `mean_scores`; a wording is left out if its best has less than ``least``."""
    best = {}
    for wording, scores in means.items():
        steps = max(scores, key=lambda path: (round(scores[path], 6), -len(path)))
        if scores[steps] >= least:
            best[wording] = steps
    return best
