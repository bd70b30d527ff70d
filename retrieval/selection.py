"""Which of the candidate facts are kept: those whose path sounds most like the question, and those it names.

    odds(f) = o_hop · r / (1 − r),   r = max(0, cos(q, path_f)),   relevance = odds / (1 + odds)
    score(f) = P(anchor_f) · relevance(f)

q and the path text ("capital of borders") are embedded by the same text embedder; a learned judge may stand for the
cosine. o_hop is 1 for one hop and less for two: what lies nearer is meant more often. It multiplies the odds, since a
judge that is sure of two hops must be able to say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kg.mentions import STOP_WORDS
from kg.names import words_of
from kg.records import Link
from retrieval.evidence import EvidenceFact
from retrieval.index.graph_walk import GraphWalk, Neighbourhood, PathVectors

#: Rows of the known paths (P,) → how likely each is what the question asks for, (P,) in [0, 1].
Judge = Callable[[np.ndarray], np.ndarray]

SECOND_HOP_ODDS = 0.9
_WORDS = 8  # of a label looked for in the question


def by_cosine(question: np.ndarray, paths: PathVectors) -> Judge:
    """The judge that needs no training: the cosine of a question's vector (D,) and a path's, 0 where it is negative."""
    return lambda rows: np.clip(paths.vectors[rows] @ question, 0.0, 1.0)


def relevance(near: Sequence[Neighbourhood], judge: Judge | None) -> np.ndarray:
    """How much each fact's path sounds like the question, float32 (F,) in [0, 1]; r = ½ without a question.

    F counts the facts of all neighbourhoods, one after the other; a path that several have is judged once.
    """
    paths, place = np.unique(np.concatenate([one.path_rows for one in near]), return_inverse=True)  # (P,)
    of_path = np.full(len(paths), 0.5) if judge is None else judge(paths)
    starts = np.cumsum([0, *(len(one.path_rows) for one in near)])
    judged = np.concatenate([of_path[place[start + one.path]] for start, one in zip(starts, near, strict=False)])
    prior = np.where(np.concatenate([one.hop for one in near]) == 1, 1.0, SECOND_HOP_ODDS)
    return (prior * judged / (1.0 - judged + prior * judged)).astype(np.float32)


def named(walk: GraphWalk, near: Sequence[Neighbourhood], question: str) -> list[list[int]]:
    """Of each neighbourhood, the rows whose far end is another anchor, then those of ends spelt out in the question."""
    words = words_of(question).split()
    runs = [
        " ".join(words[start:end])
        for start in range(len(words))
        for end in range(start + 1, min(start + _WORDS, len(words)) + 1)
        if end - start > 1 or (words[start] not in STOP_WORDS and len(words[start]) > 1)
    ]
    order: dict[int, int] = {}  # far end → the earlier, the sooner it comes
    for one in near:
        order.setdefault(one.anchor, len(order))
    if runs:
        for run in dict.fromkeys(runs):
            for number in walk.linker.called(run):
                order.setdefault(number, len(order))
        values = {number for one in near for number in one.far[one.far < 0].tolist()}
        said = walk.values(list(values)) if values else {}
        for run in dict.fromkeys(runs if said else ()):
            for number in said.get(run, ()):
                order.setdefault(number, len(order))
    sought = np.array(sorted(order), dtype=np.int64)
    found = []
    for one in near:
        place = np.minimum(np.searchsorted(sought, one.far), len(sought) - 1)
        rows = np.flatnonzero((sought[place] == one.far) & (one.far != one.anchor)).tolist()
        found.append(sorted(rows, key=lambda row: order[int(one.far[row])]))
    return found


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
    offsets = np.cumsum([0, *(len(one) for one in near)])
    if not offsets[-1] or k < 1:
        return []
    owner = np.repeat(np.arange(len(near)), np.diff(offsets))
    scores = np.array([link.score for link in anchors])[owner] * relevance(near, judge)
    hop = np.concatenate([one.hop for one in near])
    kept = _keep(walk, near, offsets, owner, scores, hop, k, text)
    order = sorted(kept, key=lambda row: (hop[row], -scores[row], row))
    place = {row: index for index, row in enumerate(order)}
    taken = [(near[number], row - int(offsets[number])) for row in order for number in (int(owner[row]),)]
    facts = []
    for row, (one, local), statement in zip(order, taken, walk.statements(taken), strict=True):
        number, parent = int(owner[row]), int(one.parent[local])
        facts.append(
            EvidenceFact(
                statement=statement,
                score=min(1.0, max(0.0, float(scores[row]))),
                forward=bool(one.step[local] % 2 == 0),
                hop=int(hop[row]),
                anchor=number,
                parent=-1 if parent < 0 else place[parent + int(offsets[number])],
                found_by=found_by[number] if found_by else ("graph",),
            )
        )
    return facts


def _keep(
    walk: GraphWalk,
    near: Sequence[Neighbourhood],
    offsets: np.ndarray,
    owner: np.ndarray,
    scores: np.ndarray,
    hop: np.ndarray,
    k: int,
    text: str,
) -> list[int]:
    """The rows to keep, over the neighbourhoods laid end to end."""
    wanted = [int(offsets[i]) + row for i, rows in enumerate(named(walk, near, text)) for row in rows]
    wanted.sort(key=lambda row: (hop[row], -scores[row]))
    # Two anchors of one region are joined by many two-step paths; a few of them say all there is to say.
    first = [row for row in wanted if hop[row] == 1] + [row for row in wanted if hop[row] == 2][: max(1, k // 4)]
    kept: dict[int, None] = {}
    seen: set[tuple[int, int, int]] = set()
    for row in (*first, *np.argsort(-scores, kind="stable").tolist()):
        if len(kept) >= k:
            break
        one, start = near[owner[row]], int(offsets[owner[row]])
        fact = one.fact(row - start)
        if row in kept or fact in seen:
            continue
        parent = int(one.parent[row - start])
        if parent >= 0 and parent + start not in kept:
            if len(kept) + 2 > k:
                continue
            kept[parent + start] = None
            seen.add(one.fact(parent))
        kept[row] = None
        seen.add(fact)
    return list(kept)
