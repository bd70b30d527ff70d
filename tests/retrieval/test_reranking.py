"""Hits read again: in the judge's order, saying so; the rest behind them; weights of rankings; slopes like scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from kg import KnowledgeGraph
from kg.errors import InputError
from retrieval.fact_index import FactIndex, build_facts
from retrieval.fusion import LearnedFusion
from retrieval.index import Hit
from retrieval.judge_training import Encoded, late_interaction
from retrieval.late_interaction import LateInteraction
from retrieval.reranking import rerank
from tests.retrieval.small_world import HashedWords


class Shortest:
    """Prefers short facts: one letter less is a factor e."""

    def scores(self, question: str, facts: Sequence[str]) -> np.ndarray:
        return np.array([-len(fact) for fact in facts], dtype=np.float32)


def test_the_first_hits_are_put_in_the_judges_order_and_say_so() -> None:
    hits = [Hit(0, 0.8, ("dense",)), Hit(1, 0.5, ("lexical",)), Hit(2, 0.4, ("dense",))]
    again = rerank("q", hits, ["four", "one", "x"].__getitem__, Shortest(), most=2)
    assert [(hit.id, hit.found_by) for hit in again] == [
        (1, ("lexical", "cross")),
        (0, ("dense", "cross")),
        (2, ("dense",)),
    ]
    assert [hit.score for hit in again] == pytest.approx([0.8, 0.8 / np.e, 0.8 / np.e])
    assert rerank("q", [], str, Shortest()) == []


def test_a_fact_index_takes_what_was_learned_and_stays_as_it_was_itself(graph: KnowledgeGraph, tmp_path: Path) -> None:
    text = HashedWords()
    build_facts(graph, tmp_path / "facts", text.embed, text.dimension)
    index = FactIndex(tmp_path / "facts", graph, graph.version, text)
    question = "What is the capital of Italy"
    words_alone = LearnedFusion({"lexical": (1.0, 0.0)})
    weighed = index.judged(None, words_alone).search(question, 3)
    lexical = index.of_index.candidates(question)["lexical"]
    assert [hit.id for _, hit in weighed] == [hit.id for hit in lexical[:3]]
    assert weighed[1][1].score == pytest.approx(np.exp(lexical[1].score - lexical[0].score), abs=1e-5)
    read = [hit for _, hit in index.judged(None, cross=Shortest()).search(question, 5)]
    lengths = [len(index.table[hit.id][1]) for hit in read]
    assert lengths == sorted(lengths) and lengths[0] == len("Italy, capital: Rome")
    assert all("cross" in hit.found_by for hit in read)
    assert all("cross" not in hit.found_by for _, hit in index.search(question, 5))


def test_weights_of_searches_come_back_from_their_file_or_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "fusion.json"
    LearnedFusion({"dense": (0.5, 2.0)}).save(path)
    assert LearnedFusion.open(path).weights == {"dense": (0.5, 2.0)}
    for content in ("", "[1]", '{"dense": 3}'):
        path.write_text(content)
        with pytest.raises(InputError, match=r"fusion\.json: not weights of searches \(.+\); train them again$"):
            LearnedFusion.open(path)


def test_late_interaction_with_slopes_is_the_one_that_is_searched_with() -> None:
    text, facts = HashedWords(), ["Italy, capital: Rome", "euro", "Japan, capital: Tokyo in the east"]
    questions, draw = ["capital of Japan", "what pays Italy now"], np.random.default_rng(0)
    projection = draw.normal(size=(8, 512)).astype(np.float32)
    weights = [draw.normal(size=512).astype(np.float32) for _ in range(2)]
    both = late_interaction(
        Encoded.of(text, questions), Encoded.of(text, facts), *map(torch.from_numpy, (projection, *weights))
    )
    for row, question in enumerate(questions):
        expected = LateInteraction(text, projection, *weights).scores(question, facts)
        for mine, theirs in zip(both, expected, strict=True):
            np.testing.assert_allclose(mine[row], theirs, atol=2e-3)  # there in float16
