"""Search over facts: a question alone finds the fact that answers it, without any entity being linked.

    words ─┐
           ├─► candidates ─► fused by rank, or judged by a `FactRanker` ─► the first read again ─► hits, each with
    dense ─┘                                                                                     what found it

A fact is a document, "Italy, capital: Rome"; a literal tail (a number, a date) is said like any other.
`retrieval.fact_index` makes one of a store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from retrieval.embed import TokenEmbedder
from retrieval.fact_ranker import FactRanker
from retrieval.fusion import LearnedFusion
from retrieval.index import Hit
from retrieval.index.dense import DenseIndex
from retrieval.index.lexical import LexicalIndex
from retrieval.late_interaction import LateInteraction
from retrieval.mining import mine
from retrieval.ranking import fused
from retrieval.reranking import RERANKED, PairJudge, believed, rerank

#: Facts that each search hands over to be ranked.
DEPTH = 50


class FactSearch:
    """Facts by words and by vector, under ids of the caller's.

    Args:
        say: id → the fact's text, as it was indexed.
        ranker: judges the candidates; without one they are fused by reciprocal rank, the late interaction of their
            tokens as the third ranking.
        depth: candidates from each search.
        fusion: learned weights of the rankings "lexical", "dense", and "ranker" or "late".
        cross: reads the first hits again, each together with the question; they say "cross".
    """

    def __init__(
        self,
        text: TokenEmbedder,
        dense: DenseIndex,
        words: LexicalIndex,
        say: Callable[[int], str],
        ranker: FactRanker | None = None,
        depth: int = DEPTH,
        fusion: LearnedFusion | None = None,
        cross: PairJudge | None = None,
    ) -> None:
        self.text, self.dense, self.words, self.say, self.depth = text, dense, words, say, depth
        self.ranker, self.fusion, self.cross = ranker, fusion, cross
        self._late = LateInteraction(text)

    def candidates(self, question: str) -> dict[str, list[Hit]]:
        """What each search finds, best first: search → hits."""
        return {
            "lexical": self.words.search(question, self.depth),
            "dense": self.dense.search(self.text.embed([question])[0], self.depth),
        }

    def search(self, question: str, k: int, regions: np.ndarray | None = None) -> list[Hit]:
        """The ``k`` facts that answer a question best; ``found_by`` says which of the searches brought each.

        Args:
            regions: (n, D), what a picture shows, in the space of the text's tokens: more tokens of the question.
        """
        return self.rank(question, self.candidates(question), self.dense.vectors, k, regions)

    def rank(
        self,
        question: str,
        found: Mapping[str, Sequence[Hit]],
        vectors: Callable[[Sequence[int]], np.ndarray],
        k: int,
        regions: np.ndarray | None = None,
    ) -> list[Hit]:
        """The best ``k`` of candidates whose pooled vectors (N, D) can be asked for."""
        both = fused(found)
        if not both or k < 1:
            return []
        if self.cross is None:
            return self._judged(question, found, both, vectors, k, regions)
        hits = self._judged(question, found, both, vectors, max(k, RERANKED), regions)
        return rerank(question, hits, self.say, self.cross)[:k]

    def _judged(
        self,
        question: str,
        found: Mapping[str, Sequence[Hit]],
        both: Sequence[Hit],
        vectors: Callable[[Sequence[int]], np.ndarray],
        k: int,
        regions: np.ndarray | None,
    ) -> list[Hit]:
        lists = self.rankings(question, found, vectors, regions)
        if self.fusion is not None:
            best: Sequence[Hit] = believed(
                self.fusion.fuse(lists, k), lists["ranker"][0].score if self.ranker is not None else 1.0
            )
        else:
            best = lists["ranker"][:k] if self.ranker is not None else fused(lists, k)
        by = {hit.id: hit.found_by for hit in both}
        return [Hit(hit.id, hit.score, by[hit.id]) for hit in best]

    def rankings(
        self,
        question: str,
        found: Mapping[str, Sequence[Hit]],
        vectors: Callable[[Sequence[int]], np.ndarray],
        regions: np.ndarray | None = None,
    ) -> dict[str, Sequence[Hit]]:
        """What was found, and besides it in the order of the "ranker" or, without one, of the "late" interaction."""
        lists, ids = dict(found), list(dict.fromkeys(hit.id for hits in found.values() for hit in hits))
        facts = [self.say(one) for one in ids]
        if self.ranker is None:
            lists["late"] = _ranked(ids, self._late.scores(question, facts, regions)[0])
        else:
            by_words = {hit.id: hit.score for hit in found["lexical"]}
            lexical = np.array([by_words.get(one, 0.0) for one in ids], dtype=np.float32)
            logits = self.ranker.logits(question, facts, vectors(ids), lexical, regions)
            lists["ranker"] = _ranked(ids, 1 / (1 + np.exp(-np.clip(logits, -30, 30))))
        return lists

    def learn(self, questions: Sequence[str], right: Sequence[int], steps: int = 200, seed: int = 0) -> FactRanker:
        """Train a ranker on questions whose right fact has the id ``right``, against what this index wrongly finds."""
        found = [self.candidates(question) for question in questions]
        ranked = dict(zip(questions, ([*one["lexical"], *one["dense"]] for one in found), strict=True))
        wrong = mine(ranked.__getitem__, questions, [{one} for one in right], self.say, 2 * self.depth)
        used = sorted({*right, *(one for ones in wrong for one in ones)})
        row = {one: number for number, one in enumerate(used)}
        self.ranker = FactRanker.train(
            self.text,
            questions,
            [row[one] for one in right],
            [self.say(one) for one in used],
            [[row[one] for one in dict.fromkeys(ones)] for ones in wrong],
            [{row[hit.id]: hit.score for hit in one["lexical"] if hit.id in row} for one in found],
            steps,
            seed,
        )
        return self.ranker


def _ranked(ids: Sequence[int], scores: np.ndarray) -> list[Hit]:
    return [Hit(ids[row], float(scores[row])) for row in np.argsort(-scores, kind="stable").tolist()]
