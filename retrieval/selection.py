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
from retrieval.index.neighbourhood import FAR, OWNER, PARENT, Neighbourhood, joined
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
    scores = _scores(found.facts, judged, np.array([link.score for link in anchors]))
    kept = _keep(found, scores, _named(walk, found, [one.anchor for one in near], scores, text), k)
    rows = kept[np.lexsort((kept, -scores[kept], found.facts[PARENT, kept] >= 0))]
    place = {row: index for index, row in enumerate(rows.tolist())}
    columns = np.clip(scores[rows], 0.0, 1.0), found.forward[rows], *found.facts[PARENT : OWNER + 1, rows]
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


def _named(walk: GraphWalk, found: Neighbourhood, anchors: list[int], scores: np.ndarray, question: str) -> np.ndarray:
    """The rows whose far end is another anchor, or is spelt out in the question: hop 1 first, then by score."""
    words = words_of(question).split()
    runs = [
        " ".join(words[start:end])
        for start in range(len(words))
        for end in range(start + 1, min(start + _WORDS, len(words)) + 1)
        if end - start > 1 or (words[start] not in STOP_WORDS and len(words[start]) > 1)
    ]
    spelt: list[int] = []
    if runs:
        far = found.far
        called, said = walk.linker.called, walk.values(far[far < 0].tolist())
        for run in dict.fromkeys(runs):
            spelt += called(run)
            spelt += said.get(run, ())
    order = {number: place for place, number in enumerate(dict.fromkeys([*anchors, *spelt]))}
    sought = np.array(sorted(order), dtype=np.int64)
    # What an entity says of itself names no other.
    of_itself = np.array([0 if anchor in spelt else anchor for anchor in anchors])  # 0 is nobody's id
    rows = _leading_to(found.facts, sought, of_itself)
    rank = np.array([order[number] for number in found.facts[FAR, rows].tolist()])
    return rows[np.lexsort((rows, rank, found.facts[OWNER, rows], -scores[rows], found.facts[PARENT, rows] >= 0))]


def _keep(found: Neighbourhood, scores: np.ndarray, wanted: np.ndarray, k: int) -> np.ndarray:
    """The rows to keep: first those that are wanted, then from the best on, of equal ones the first first."""
    # Two anchors of one region are joined by many two-step paths; a few of them say all there is to say.
    is_near = found.facts[PARENT, wanted] < 0
    first = np.concatenate([wanted[is_near], wanted[~is_near][: max(1, k // 4)]])
    if 4 * k < len(found):  # those are enough nearly always
        best = np.flatnonzero(scores >= np.partition(scores, -4 * k)[-4 * k])
        kept = _first_of(found.facts, np.concatenate([first, best[np.argsort(-scores[best], kind="stable")]]), k)
        if len(kept) >= k:
            return kept
    return _first_of(found.facts, np.concatenate([first, np.argsort(-scores, kind="stable")]), k)


@njit(cache=True)
def _scores(facts: Any, judged: Any, links: Any) -> Any:
    """The score of every fact, float64 (F,); ``judged`` of every path, ``links`` of every anchor."""
    scores = np.empty(facts.shape[1])
    for row in range(len(scores)):
        odds, sure = SECOND_HOP_ODDS if facts[4, row] >= 0 else 1.0, np.float64(judged[facts[5, row]])
        scores[row] = links[facts[6, row]] * odds * sure / (1.0 - sure + odds * sure)
    return scores


@njit(cache=True)
def _leading_to(facts: Any, sought: Any, of_itself: Any) -> Any:
    """The rows whose far end is among ``sought``, ascending, and is not what its anchor says of itself."""
    rows, number = np.empty(facts.shape[1], dtype=np.int64), 0
    for row in range(facts.shape[1]):
        far = facts[1, row]
        place = np.searchsorted(sought, far)
        if place < len(sought) and sought[place] == far and far != of_itself[facts[6, row]]:
            rows[number] = row
            number += 1
    return rows[:number].copy()


@njit(cache=True)
def _first_of(facts: Any, order: Any, k: int) -> Any:
    """At most ``k`` rows in this order, each with its parent before it, no statement twice."""
    kept, number = np.empty(k, dtype=np.int64), 0
    for row in order:
        if number >= k:
            break
        if _is_held(facts, kept[:number], row):
            continue
        parent = facts[4, row]
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
        if facts[2, row] >> 1 == facts[2, other] >> 1:
            near, far = (0, 1) if (facts[2, row] ^ facts[2, other]) & 1 == 0 else (1, 0)
            if facts[0, row] == facts[near, other] and facts[1, row] == facts[far, other]:
                return True
    return False
