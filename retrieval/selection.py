"""Which of the candidate facts are kept: those whose path sounds most like the question, and those it names.

    odds(f) = o_hop · r / (1 − r),   r = max(0, cos(q, path_f)),   relevance = odds / (1 + odds)
    score(f) = P(anchor_f) · relevance(f)

q and the path text ("capital of borders") are embedded by the same text embedder; a learned judge may stand for the
cosine. o_hop is 1 for one hop and less for two: what lies nearer is meant more often. It multiplies the odds, since a
judge that is sure of two hops must be able to say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit

from kg.mentions import STOP_WORDS
from kg.names import words_of
from kg.records import Link
from retrieval.evidence import EvidenceFact
from retrieval.index.graph_walk import GraphWalk
from retrieval.index.neighbourhood import FAR, NEAR, OWNER, PARENT, PATH, STEP, Neighbourhood, joined
from retrieval.index.path_vectors import PathVectors

#: Rows of the known paths (P,) → how likely each is what the question asks for, (P,) in [0, 1].
Judge = Callable[[np.ndarray], np.ndarray]

SECOND_HOP_ODDS = 0.9
_WORDS = 8  # of a label looked for in the question


def by_cosine(question: np.ndarray, paths: PathVectors) -> Judge:
    """The judge that needs no training: the cosine of a question's vector (D,) and a path's, 0 where it is negative."""
    return lambda rows: np.minimum(np.maximum(paths.vectors[rows] @ question, 0.0), 1.0)


def select(
    walk: GraphWalk,
    near: Sequence[Neighbourhood],
    anchors: Sequence[Link],
    judge: Judge | None,
    k: int,
    text: str = "",
    found_by: Sequence[tuple[str, ...]] = (),
) -> list[EvidenceFact]:
    """Keep at most ``k`` facts of the neighbourhoods, one a different anchor each.

    First what the question names, then path by path in order of score. A hop-2 fact brings its parent with it. A
    statement reached twice is kept once, unless a kept fact was reached through the other reading. A path that several
    anchors have is judged once; without a judge, r = ½.

    Returns:
        Facts, hop 1 before hop 2 (so parents before children), falling in score within a hop.
    """
    if k < 1 or not any(map(len, near)):
        return []
    found = joined(near, len(walk.paths.texts))
    judged = np.full(len(found.path_rows), 0.5) if judge is None else judge(found.path_rows)
    links = np.array([link.score for link in anchors])
    rows, scores = _choose(found.facts, judged, links, *_sought(walk, found, near, text), k)
    place = {row: index for index, row in enumerate(rows.tolist())}
    columns = np.clip(scores, 0.0, 1.0), found.forward[rows], *found.facts[PARENT : OWNER + 1, rows]
    return [
        EvidenceFact(
            statement,
            score,
            forward,
            1 if parent < 0 else 2,
            number,
            -1 if parent < 0 else place[parent],
            found_by[number] if found_by else ("graph",),
        )
        for statement, score, forward, parent, _, number in zip(
            walk.statements(found, rows), *(column.tolist() for column in columns), strict=True
        )
    ]


def _sought(
    walk: GraphWalk, found: Neighbourhood, near: Sequence[Neighbourhood], question: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the question names: term ids ascending, the order in which it does, and of each anchor what doesn't count.

    Those are the other anchors, and what is spelt out in the question; what an entity says of itself names no other.
    """
    words = words_of(question).split()
    runs = [
        " ".join(words[start:end])
        for start in range(len(words))
        for end in range(start + 1, min(start + _WORDS, len(words)) + 1)
        if end - start > 1 or (words[start] not in STOP_WORDS and len(words[start]) > 1)
    ]
    anchors = [one.anchor for one in near]
    spelt: list[int] = []
    if runs:
        far = found.far
        called, said = walk.linker.called, walk.values(far[far < 0].tolist())
        for run in dict.fromkeys(runs):
            spelt += called(run)
            spelt += said.get(run, ())
    order = {number: place for place, number in enumerate(dict.fromkeys([*anchors, *spelt]))}
    sought = sorted(order)
    of_itself = [0 if anchor in spelt else anchor for anchor in anchors]  # 0 is nobody's id
    return np.array(sought), np.array([order[number] for number in sought]), np.array(of_itself)


@njit(cache=True)
def _choose(facts: Any, judged: Any, links: Any, sought: Any, place: Any, of_itself: Any, k: int) -> Any:
    """The rows that are kept, as evidence stands, and their scores, float64.

    Args:
        judged: r of every path; links: P of every anchor.
        sought, place, of_itself: as `_sought` gives them.
    """
    scores = _scores(facts, judged, links)
    wanted = _named(facts, scores, sought, place, of_itself, k)
    kept = wanted[:0]
    if 4 * k < len(scores):  # those are enough nearly always
        best = np.flatnonzero(scores >= np.partition(scores, len(scores) - 4 * k)[len(scores) - 4 * k])
        kept = _first_of(facts, np.concatenate((wanted, best[_falling(scores[best])])), k)
    if len(kept) < k:
        kept = _first_of(facts, np.concatenate((wanted, _falling(scores))), k)
    kept = np.sort(kept)
    kept = kept[_falling(scores[kept])]
    kept = kept[_rising(facts[PARENT, kept] >= 0)]
    return kept, scores[kept]


@njit(cache=True)
def _scores(facts: Any, judged: Any, links: Any) -> Any:
    """The score of every fact, float64 (F,)."""
    scores = np.empty(facts.shape[1])
    for row in range(len(scores)):
        odds, sure = SECOND_HOP_ODDS if facts[PARENT, row] >= 0 else 1.0, np.float64(judged[facts[PATH, row]])
        scores[row] = links[facts[OWNER, row]] * odds * sure / (1.0 - sure + odds * sure)
    return scores


@njit(cache=True)
def _named(facts: Any, scores: Any, sought: Any, place: Any, of_itself: Any, k: int) -> Any:
    """The rows whose far end is sought, hop 1 first, then by score, anchor and order in the question.

    Two anchors of one region are joined by many two-step paths; a few of them say all there is to say.
    """
    rows, ranks = np.empty(facts.shape[1], dtype=np.int64), np.empty(facts.shape[1], dtype=np.int64)
    number = 0
    for row in range(facts.shape[1]):
        far = facts[FAR, row]
        at = np.searchsorted(sought, far)
        if at < len(sought) and sought[at] == far and far != of_itself[facts[OWNER, row]]:
            rows[number], ranks[number] = row, place[at]
            number += 1
    rows = rows[:number]
    rows = rows[_rising(ranks[:number])]
    rows = rows[_rising(facts[OWNER, rows])]
    rows = rows[_falling(scores[rows])]
    is_far = facts[PARENT, rows] >= 0
    return np.concatenate((rows[~is_far], rows[is_far][: max(1, k // 4)]))


@njit(cache=True)
def _rising(keys: Any) -> Any:
    return np.argsort(keys, kind="mergesort")  # the stable one


@njit(cache=True)
def _falling(keys: Any) -> Any:
    return np.argsort(-keys, kind="mergesort")


@njit(cache=True)
def _first_of(facts: Any, order: Any, k: int) -> Any:
    """At most ``k`` rows in this order, each with its parent before it, no statement twice."""
    kept, number = np.empty(k, dtype=np.int64), 0
    for row in order:
        if number >= k:
            break
        if _is_held(facts, kept[:number], row):
            continue
        parent = facts[PARENT, row]
        if parent >= 0 and not np.any(kept[:number] == parent):
            if number + 2 > k:
                continue
            kept[number] = parent
            number += 1
        kept[number] = row
        number += 1
    return kept[:number].copy()


@njit(cache=True)
def _is_held(facts: Any, kept: Any, row: int) -> bool:
    """Whether the statement of a row is that of a kept one, however they are walked."""
    for other in kept:
        if facts[STEP, row] >> 1 == facts[STEP, other] >> 1:
            near, far = (NEAR, FAR) if (facts[STEP, row] ^ facts[STEP, other]) & 1 == 0 else (FAR, NEAR)
            if facts[NEAR, row] == facts[near, other] and facts[FAR, row] == facts[far, other]:
                return True
    return False
