"""Which of the candidate facts are kept: those whose path sounds most like the question, and those it names.

    odds(f) = o_hop · r / (1 − r),   r = max(0, cos(q, path_f)),   relevance = odds / (1 + odds)
    score(f) = P(anchor_f) · relevance(f)

q and the path text ("capital of borders") are embedded by the same text embedder; a learned judge may stand for the
cosine. o_hop is 1 for one hop and less for two: what lies nearer is meant more often. It multiplies the odds, since a
judge that is sure of two hops must be able to say so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from kg.mentions import STOP_WORDS
from kg.names import words_of
from kg.records import Link
from retrieval.evidence import EvidenceFact
from retrieval.index.graph_walk import GraphWalk, Neighbourhood, PathVectors, joined

#: Rows of the known paths (P,) → how likely each is what the question asks for, (P,) in [0, 1].
Judge = Callable[[np.ndarray], np.ndarray]

SECOND_HOP_ODDS = 0.9
_WORDS = 8  # of a label looked for in the question


def by_cosine(question: np.ndarray, paths: PathVectors) -> Judge:
    """The judge that needs no training: the cosine of a question's vector (D,) and a path's, 0 where it is negative."""
    return lambda rows: np.clip(paths.vectors[rows] @ question, 0.0, 1.0)


def relevance(found: Neighbourhood, judge: Judge | None) -> np.ndarray:
    """How much each fact's path sounds like the question, float32 (F,) in [0, 1]; r = ½ without a question.

    A path that several anchors have is judged once.
    """
    paths, place = np.unique(found.path_rows, return_inverse=True)  # (P,)
    of_path = np.full(len(paths), 0.5) if judge is None else judge(paths)
    judged = of_path[place[found.path]]
    prior = np.where(found.hop == 1, 1.0, SECOND_HOP_ODDS)
    return (prior * judged / (1.0 - judged + prior * judged)).astype(np.float32)


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
    statement reached twice is kept once, unless a kept fact was reached through the other reading.

    Returns:
        Facts, hop 1 before hop 2 (so parents before children), falling in score within a hop.
    """
    if k < 1 or not any(map(len, near)):
        return []
    found, owner = joined(near)
    scores = np.array([link.score for link in anchors])[owner] * relevance(found, judge)
    wanted = _named(walk, found, [one.anchor for one in near], owner, scores, text)
    kept = _keep(found, scores, wanted, k)
    rows = kept[np.lexsort((kept, -scores[kept], found.hop[kept]))]
    place = {row: index for index, row in enumerate(rows.tolist())}
    columns = scores[rows], found.forward[rows], found.hop[rows], owner[rows], found.parent[rows]
    return [
        EvidenceFact(
            statement=statement,
            score=min(1.0, max(0.0, score)),
            forward=forward,
            hop=hop,
            anchor=number,
            parent=place.get(parent, -1),
            found_by=found_by[number] if found_by else ("graph",),
        )
        for statement, score, forward, hop, number, parent in zip(
            walk.statements(found, rows), *(column.tolist() for column in columns), strict=True
        )
    ]


def _named(
    walk: GraphWalk, found: Neighbourhood, anchors: list[int], owner: np.ndarray, scores: np.ndarray, question: str
) -> np.ndarray:
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
        called, said = walk.linker.called, walk.values(found.far[found.far < 0].tolist())
        spelt = [number for run in dict.fromkeys(runs) for number in (*called(run), *said.get(run, ()))]
    order = {number: place for place, number in enumerate(dict.fromkeys([*anchors, *spelt]))}
    sought = np.array(sorted(order), dtype=np.int64)
    is_named = sought[np.minimum(np.searchsorted(sought, found.far), len(sought) - 1)] == found.far
    # What an entity says of itself names no other.
    of_itself = np.array([0 if anchor in spelt else anchor for anchor in anchors])  # 0 is nobody's id
    is_named &= found.far != of_itself[owner]
    rows = np.flatnonzero(is_named)
    rank = np.array([order[number] for number in found.far[rows].tolist()])
    return rows[np.lexsort((rows, rank, owner[rows], -scores[rows], found.hop[rows]))]


def _keep(found: Neighbourhood, scores: np.ndarray, wanted: np.ndarray, k: int) -> np.ndarray:
    """The rows to keep: first those that are wanted."""
    # Two anchors of one region are joined by many two-step paths; a few of them say all there is to say.
    is_near = found.hop[wanted] == 1
    first = [*wanted[is_near].tolist(), *wanted[~is_near][: max(1, k // 4)].tolist()]
    kept: dict[int, None] = {}
    seen: set[tuple[int, int, int]] = set()
    for row in itertools.chain(first, _best_first(scores, 4 * k)):
        if len(kept) >= k:
            break
        fact = found.fact(row)
        if row in kept or fact in seen:
            continue
        parent = int(found.parent[row])
        if parent >= 0 and parent not in kept:
            if len(kept) + 2 > k:
                continue
            kept[parent] = None
            seen.add(found.fact(parent))
        kept[row] = None
        seen.add(fact)
    return np.array(list(kept), dtype=np.int64)


def _best_first(scores: np.ndarray, number: int) -> Iterator[int]:
    """All rows in falling order of score, of equal ones the first first; the best ``number`` are sorted alone."""
    least = np.partition(scores, -number)[-number] if number < len(scores) else -np.inf
    for rows in (np.flatnonzero(scores >= least), np.flatnonzero(scores < least)):
        yield from rows[np.argsort(-scores[rows], kind="stable")].tolist()
