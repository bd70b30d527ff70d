"""The learned judge of mentions: by hand, trained on a world of two senses, NIL, its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kg import EntityLinker, KnowledgeGraph, Literal
from kg.errors import InputError
from retrieval.linker_head import LinkerHead
from retrieval.retriever import Retriever
from tests.retrieval.small_world import LABEL, HashedWords

TEXTS = {"x:river": "bank: land beside a river", "x:money": "bank: a house that keeps money"}


class Windows(HashedWords):
    """A mention is read as the words around it."""

    def mentions(self, texts: Sequence[str], spans: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        around = [f"{text[:start]} {text[end:]}" for text, (start, end) in zip(texts, spans, strict=True)]
        return self.embed(around), self.embed(list(texts))


def describe(iris: list[str]) -> np.ndarray:
    return HashedWords().embed([TEXTS[iri] for iri in iris])


def trained() -> LinkerHead:
    text = Windows()
    said = [
        (f"the {word} of the bank {tail}", right)
        for right, words in enumerate((("water", "boat", "fish"), ("coin", "loan", "clerk")))
        for word in words
        for tail in ("is here", "was there")
    ]
    spans = [(one.index("bank"), one.index("bank") + 4) for one, _ in said]
    mentions, wholes = text.mentions([one for one, _ in said], spans)
    offered, priors = [[0, 1]] * len(said), [[1.0, 1.0]] * len(said)
    right = [number for _, number in said]
    return LinkerHead.train(text, describe, mentions, wholes, describe(list(TEXTS)), offered, priors, right, rounds=60)


def test_the_score_by_hand() -> None:
    two = np.eye(2, dtype=np.float32)
    weights = {"mention": two, "whole": 0 * two, "candidate": 4 * two[::-1], "scales": np.array([2, 3, -1], np.float32)}
    scores = LinkerHead(Windows(), describe, weights).scores(two[0], two[1], two)
    assert scores.tolist() == [
        2.0,
        7.0,
    ]  # 2 ⟨m, d⟩ + 3 ⟨s, d⟩ are 2 and 3; A m is the first axis, on which B puts 4 d_2


def test_trained_it_turns_the_linkers_choice_and_knows_none_of_them() -> None:
    head = trained()
    linker = EntityLinker([(iri, "bank", []) for iri in TEXTS])
    for text, entity in (("the boat of the bank", "x:river"), ("the loan of the bank", "x:money")):
        links = linker.link(text, context=head.context(text))
        assert links[0].entity == entity and sum(link.score for link in links) < 1
    head.weights["scales"][2] = 100.0  # so sure is nothing
    text = "the boat of the bank"
    assert linker.link(text, context=head.context(text))[0].score < 0.01


def test_a_retriever_asks_it_what_a_question_is_about(graph: KnowledgeGraph) -> None:
    with graph.edit(source="atlas") as edit:
        for iri in TEXTS:
            edit.add(iri, LABEL, Literal("bank"))
            edit.add(iri, "r:likes", "c:it")
    retriever = Retriever(graph, None, Windows(), linker_head=trained())
    for question, entity in (("the boat of the bank", "x:river"), ("the loan of the bank", "x:money")):
        assert retriever.link_text(question)[0].entity == entity


def test_saved_and_opened_it_judges_alike_and_a_damaged_file_is_one_clear_line(tmp_path: Path) -> None:
    head, path = trained(), tmp_path / "head.safetensors"
    head.save(path)
    opened = LinkerHead.open(path, Windows(), describe)
    for name, weight in head.weights.items():
        np.testing.assert_array_equal(weight, opened.weights[name])

    class Wider(Windows):
        dimension = 600

    with pytest.raises(InputError, match="width 512, not 600"):
        LinkerHead.open(path, Wider(), describe)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"not a linker head .*train it again"):
        LinkerHead.open(path, Windows(), describe)


def test_nothing_to_learn_from_is_said() -> None:
    none = np.zeros((0, 4), dtype=np.float32)
    with pytest.raises(InputError, match="none were given"):
        LinkerHead.train(Windows(), describe, none, none, none, [], [], [])
