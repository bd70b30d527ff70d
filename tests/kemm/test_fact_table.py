"""Evidence as arrays: a hand-made walk of two hops, one of its steps against the arrow, read off cell by cell."""

from __future__ import annotations

import numpy as np
import pytest

from kemm.data.fact_table import FactTable, tabulate, texts_of
from kemm.data.text_bank import TextBank
from kg.records import Link, Literal, Statement
from retrieval.evidence import Evidence, EvidenceFact
from tests.kemm import tiny_batch
from tests.kemm.tiny_towers import TinyText

LABELS = {"c:it": "Italy", "c:fr": "France", "p:rome": "Rome", "p:paris": "Paris", "m:euro": "euro"}
LABELS |= {"r:capital": "capital", "r:borders": "borders", "r:currency": "currency", "r:area": "area"}


def evidence() -> Evidence:
    """Italy (shown, 0.8) and France (named, 0.5): five facts about them, the fourth reached through the second."""
    facts = (
        EvidenceFact(Statement("c:it", "r:capital", "p:rome"), score=0.4, anchor=0),
        EvidenceFact(Statement("c:fr", "r:borders", "c:it"), score=0.2, forward=False, anchor=0),
        EvidenceFact(Statement("c:it", "r:area", Literal("302073")), score=0.08, anchor=0),
        EvidenceFact(Statement("c:fr", "r:capital", "p:paris"), score=0.1, hop=2, anchor=0, parent=1),
        EvidenceFact(Statement("c:fr", "r:currency", "m:euro"), score=0.5, anchor=1),
    )
    return Evidence(facts, (Link("c:it", 0.8), Link("c:fr", 0.5, "France")), 3, LABELS)


@pytest.fixture
def bank() -> TextBank:
    return TextBank(TinyText(), 12)


def test_a_walk_goes_from_near_to_far_whichever_way_its_facts_point(bank: TextBank) -> None:
    table = tabulate(evidence(), bank)
    nodes = ["Italy", "Rome", "France", "302073", "Paris", "euro"]  # in the order in which the walk meets them
    assert table.node_text.tolist() == bank.rows(nodes).tolist()
    assert table.near.tolist() == [0, 0, 0, 2, 2]
    assert table.far.tolist() == [1, 2, 3, 4, 5]
    assert table.forward.tolist() == [True, False, True, True, True]
    assert table.parent.tolist() == [-1, -1, -1, 1, -1]
    assert table.answers == ("Rome", "France", "302073", "Paris", "euro")


def test_paths_are_the_relations_from_the_anchor_and_are_said_in_words(bank: TextBank) -> None:
    table = tabulate(evidence(), bank)
    assert table.paths == (("r:capital",), ("r:borders",), ("r:area",), ("r:borders", "r:capital"), ("r:currency",))
    said = ["capital", "is borders of", "area", "capital of what it is borders of", "currency"]
    assert table.path.tolist() == bank.rows(said).tolist()
    assert table.relation.tolist() == bank.rows(["capital", "borders", "area", "capital", "currency"]).tolist()


def test_marks_tell_relevance_hop_direction_and_what_the_far_end_is(bank: TextBank) -> None:
    table = tabulate(evidence(), bank)
    expected: list[
        list[float]
    ] = [  # score / anchor's, second hop, forward, far end is another anchor, is a literal, anchor was named
        [0.5, 0, 1, 0, 0, 0],
        [0.25, 0, 0, 1, 0, 0],
        [0.1, 0, 1, 0, 1, 0],
        [0.125, 1, 1, 0, 0, 0],
        [1.0, 0, 1, 0, 0, 1],
    ]
    np.testing.assert_allclose(table.marks, expected, rtol=1e-6)
    np.testing.assert_allclose(table.log_score, np.log([0.8, 0.8, 0.8, 0.8, 0.5]), rtol=1e-6)
    anchors: list[list[float]] = [[1, 0, 0.8], [0, 0, 0], [1, 0, 0.5], [0, 1, 0], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(table.node_marks, anchors, rtol=1e-6)


def test_an_anchor_scored_zero_gives_finite_marks(bank: TextBank) -> None:
    nothing = Evidence(
        (EvidenceFact(Statement("c:it", "r:capital", "p:rome"), score=0.0),), (Link("c:it", 0.0),), 1, LABELS
    )
    table = tabulate(nothing, bank)
    assert np.isfinite(table.marks).all() and np.isfinite(table.log_score).all()


def test_evidence_without_facts_is_an_empty_table(bank: TextBank) -> None:
    table = tabulate(Evidence((), (Link("c:it", 0.8),), 1, LABELS), bank)
    assert len(table) == 0 and table.node_marks.shape == (0, 3) and table.marks.shape == (0, 6)


def test_every_text_a_table_needs_is_announced_beforehand(bank: TextBank) -> None:
    bank.rows(texts_of(evidence()))
    known = bank.tower.num_encoded
    tabulate(evidence(), bank)
    assert bank.tower.num_encoded == known


# ── keeping some of the facts ─────────────────────────────────────────────────────────────────────────────────────


def test_a_fact_whose_parent_is_gone_goes_too_and_parents_are_renumbered(bank: TextBank) -> None:
    table = tabulate(evidence(), bank)
    assert table.keep([0, 2, 3, 4]).answers == ("Rome", "302073", "euro")  # Paris came through France
    kept = table.keep([4, 3, 1])
    assert kept.answers == ("France", "Paris", "euro")  # in the table's order
    assert kept.parent.tolist() == [-1, 0, -1]
    assert kept.near.tolist() == [0, 2, 2] and kept.paths[1] == ("r:borders", "r:capital")
    np.testing.assert_array_equal(kept.marks, table.marks[[1, 3, 4]])


def test_losing_a_parent_takes_a_whole_chain_along() -> None:
    chain = tiny_batch.table([0, 1, 2], [1, 2, 3], [-1, 0, 1])
    assert len(chain.keep([1, 2])) == 0
    assert len(chain.keep([0, 2])) == 1


def test_keeping_all_or_nothing(bank: TextBank) -> None:
    table = tabulate(evidence(), bank)
    whole, empty = table.keep(range(5)), table.keep([])
    assert whole.answers == table.answers and whole.parent.tolist() == table.parent.tolist()
    assert len(empty) == 0 and empty.answers == () and empty.marks.shape == (0, 6)


# ── giving a fact another answer ──────────────────────────────────────────────────────────────────────────────────


def changed_rows(before: FactTable, after: FactTable) -> set[int]:
    columns = ("near", "far", "forward", "relation", "path", "marks", "log_score", "parent")
    changed = {
        row
        for name in columns
        for row in range(len(before))
        if not np.array_equal(getattr(before, name)[row], getattr(after, name)[row])
    }
    texts = zip(before.answers, before.paths, after.answers, after.paths, strict=True)
    return changed | {row for row, (a, p, b, q) in enumerate(texts) if (a, p) != (b, q)}


def test_another_answer_changes_the_asked_row_and_no_other(bank: TextBank) -> None:
    table = tabulate(evidence(), bank)
    text = int(bank.rows(["Milan"])[0])
    other = table.with_answer([0], "Milan", text)
    assert changed_rows(table, other) == {0}
    assert other.answers[0] == "Milan" and other.node_text[other.far[0]] == text
    assert other.node_marks[other.far[0]].tolist() == [0, 0, 0]
    assert table.answers[0] == "Rome" and len(table.node_text) == 6  # the old one stands as it was


def test_another_number_stays_a_literal_and_another_entity_is_no_anchor(bank: TextBank) -> None:
    table = tabulate(evidence(), bank)
    row = int(bank.rows(["7"])[0])
    number = table.with_answer([2], "7", row)
    assert number.node_marks[number.far[2]].tolist() == [0, 1, 0]
    country = table.with_answer([1], "Spain", row)
    assert country.marks[1].tolist() == [0.25, 0, 0, 0, 0, 0] and changed_rows(table, country) == {1}


def test_several_rows_get_one_new_node(bank: TextBank) -> None:
    table = tabulate(evidence(), bank)
    other = table.with_answer([0, 3], "Milan", 9)
    assert other.far[0] == other.far[3] == 6 and len(other.node_text) == len(other.node_marks) == 7
    assert changed_rows(table, other) == {0, 3}
