"""Search over facts: a question alone finds the fact that answers it, without any entity being linked.

    words ─┐
           ├─► candidates ─► fused by reciprocal rank, or judged by a `FactRanker` ─► hits, each with what found it
    dense ─┘

A fact is a document, "Italy, capital: Rome"; a literal tail (a number, a date) is said like any other.
`retrieval.fact_index` makes one of a store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from retrieval.embed import TokenEmbedder
from retrieval.fact_ranker import FactRanker
from retrieval.index import Hit
from retrieval.index.dense import DenseIndex
from retrieval.index.lexical import LexicalIndex
from retrieval.late_interaction import LateInteraction
from retrieval.mining import mine
from retrieval.ranking import fused

#: Facts that each search hands over to be ranked.
DEPTH = 50


class FactSearch:
    """Facts by words and by vector, under ids of the caller's.

    Args:
        say: id → the fact's text, as it was indexed.
        ranker: judges the candidates; without one they are fused by reciprocal rank, the late interaction of their
            tokens as the third ranking.
        depth: candidates from each search.
    """

    def __init__(
        self,
        text: TokenEmbedder,
        dense: DenseIndex,
        words: LexicalIndex,
        say: Callable[[int], str],
        ranker: FactRanker | None = None,
        depth: int = DEPTH,
    ) -> None:
        self.text, self.dense, self.words, self.say, self.depth = text, dense, words, say, depth
        self.ranker = ranker
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
        ids = [hit.id for hit in both]
        facts = [self.say(one) for one in ids]
        if self.ranker is None:
            explained, _ = self._late.scores(question, facts, regions)
            order = np.argsort(-explained, kind="stable").tolist()
            late = [Hit(ids[row], float(explained[row])) for row in order]
            by = {hit.id: hit.found_by for hit in both}
            return [Hit(hit.id, hit.score, by[hit.id]) for hit in fused({**found, "late": late}, k)]
        by_words = {hit.id: hit.score for hit in found["lexical"]}
        lexical = np.array([by_words.get(one, 0.0) for one in ids], dtype=np.float32)
        logits = self.ranker.logits(question, facts, vectors(ids), lexical, regions)
        best = np.argsort(-logits, kind="stable")[:k].tolist()
        chances = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        return [Hit(ids[row], float(chances[row]), both[row].found_by) for row in best]

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
