"""Re-ranking: what a search found first is read again by a judge that sees question and fact together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from retrieval.index import Hit

#: First hits that are read again.
RERANKED = 20
#: What a hit that was read again says in ``found_by``.
CROSS = "cross"


class PairJudge(Protocol):
    """Judges facts for a question, reading both together; the facts come as the search ranked them."""

    def scores(self, question: str, facts: Sequence[str]) -> np.ndarray: ...


def rerank(
    question: str, hits: Sequence[Hit], say: Callable[[int], str], judge: PairJudge, most: int = RERANKED
) -> list[Hit]:
    """Put the first ``most`` hits in the judge's order, each saying so; the others stay behind them.

    The best one is believed as much as the search believed its best; how far the others are behind is the judge's view.
    """
    first, rest = list(hits[:most]), list(hits[most:])
    if not first:
        return []
    logits = judge.scores(question, [say(hit.id) for hit in first])
    order = np.argsort(-logits, kind="stable").tolist()
    again = [Hit(first[n].id, float(logits[n]), (*first[n].found_by, CROSS)) for n in order]
    again = believed(again, max(hit.score for hit in first))
    return again + [Hit(hit.id, min(hit.score, again[-1].score), hit.found_by) for hit in rest]


def believed(hits: Sequence[Hit], top: float) -> list[Hit]:
    """Hits whose scores are logits, best first, as beliefs: ``top`` exp(logit − max logit)."""
    most = hits[0].score if hits else 0.0
    return [Hit(hit.id, top * float(np.exp(hit.score - most)), hit.found_by) for hit in hits]
