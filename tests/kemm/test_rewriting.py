"""Captions made wrong, and documents cut into sentences."""

from __future__ import annotations

import numpy as np

from kemm.data.documents import followed, sentences
from kemm.data.rewriting import Rewriter
from kg.records import Literal, Statement

CAPTIONS = {
    "abra": ["a picture of Abra, made by Holzmann", "Abra"],
    "bolo": ["a picture of Bolo, made by Barley", "Bolo"],
    "cuno": ["a picture of Cuno, made by Holzmann", "Cuno"],
}


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_rewritten_caption_is_never_one_of_the_things_own() -> None:
    rewrite, seen = Rewriter(CAPTIONS), set()
    for seed in range(60):
        found = rewrite("abra", CAPTIONS["abra"][0], drawn(seed))
        assert found is not None and found not in CAPTIONS["abra"]
        seen.add(found)
    assert "a picture of Abra, made by Barley" in seen  # a phrase: the same kind of fact
    assert "a picture of Cuno, made by Holzmann" in seen  # a sentence: the likest
    assert len(seen) > 4


def test_a_sentence_is_the_likest_of_others_and_a_word_the_rarest() -> None:
    rewrite = Rewriter(CAPTIONS)
    likest = {rewrite.sentence("abra", CAPTIONS["abra"][0], drawn(seed)) for seed in range(20)}
    assert likest == {"a picture of Cuno, made by Holzmann"}
    words = {rewrite.word("abra", "Abra", drawn(seed)) for seed in range(20)}
    assert words <= {"bolo", "cuno", "barley"} and {"bolo", "cuno"} <= words


def test_where_there_is_no_other_thing_nothing_is_rewritten() -> None:
    assert Rewriter({"abra": ["Abra"]})("abra", "Abra", drawn()) is None
    assert Rewriter({"abra": ["Abra"], "bolo": ["Abra"]})("abra", "Abra", drawn()) is None


def test_a_documents_sentences_are_its_description_and_then_its_facts() -> None:
    label = {"r:madeBy": "made by", "r:weight": "weight", "maker:x": "Holzmann"}
    statements = [Statement("toy:0", "r:madeBy", "maker:x"), Statement("toy:0", "r:weight", Literal("100"))]
    found = sentences("A red toy. It rolls; fast.", statements, label.__getitem__)
    assert found == ["A red toy", "It rolls", "fast", "made by Holzmann", "weight 100"]
    pairs = {followed(found, drawn(seed)) for seed in range(50)}
    assert pairs == {(found[i], found[i + 1]) for i in range(4)}
    assert followed(["one"], drawn()) is None and sentences("", [], str) == []
