"""Controls of knowledge: none has none, shuffled is never one's own, random is as many true facts from anywhere."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemm.data.fact_table import tabulate
from kemm.data.questions import Question
from kemm.data.text_bank import TextBank
from kemm.evaluate.conditions import CONDITIONS, deranged, tables_under
from kemm.predict.reader import Reader
from kg import KnowledgeGraph
from kg.errors import InputError
from kg.records import RDFS, Literal
from tests.kemm import tiny_batch
from tests.kemm.conftest import Trained
from tests.kemm.tiny_towers import TinyText

QUESTIONS = [Question(f"q{n}", "What?", ("x",), head=head) for n, head in enumerate(("a", "a", "b", "c"))]
FULL = tiny_batch.tables()


def under(condition: str, questions: list[Question] = QUESTIONS, reader: object = None) -> list:
    return tables_under(condition, reader, questions, FULL)  # type: ignore[arg-type]


def test_none_has_no_facts_and_full_has_all_that_were_found() -> None:
    assert [len(table) for table in under("none")] == [0, 0, 0, 0]
    assert under("full") == FULL


def test_shuffled_gives_every_question_the_facts_of_another_entity_each_once() -> None:
    given_to = [next(n for n, table in enumerate(FULL) if table is found) for found in under("shuffled")]
    assert sorted(given_to) == [0, 1, 2, 3]
    assert all(QUESTIONS[row].head != QUESTIONS[other].head for row, other in enumerate(given_to))


def test_questions_without_an_entity_are_told_apart_by_their_picture() -> None:
    asked = [Question(f"q{n}", "What?", ("x",), image=image) for n, image in enumerate("iijj")]
    given_to = [next(n for n, table in enumerate(FULL) if table is found) for found in under("shuffled", asked)]
    assert {given_to[0], given_to[1]} == {2, 3}


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12), st.integers(0, 5))
def test_as_few_as_can_be_get_their_own_group(groups: list[str], seed: int) -> None:
    order = deranged(groups, seed)
    assert sorted(order) == list(range(len(groups)))
    own = sum(groups[row] == groups[other] for row, other in enumerate(order))
    assert own == max(0, 2 * max(Counter(groups).values()) - len(groups))  # a group of 5 in 8 has 3 takers outside


def test_an_empty_list_is_shuffled_to_an_empty_list() -> None:
    assert deranged([], 0) == []


def test_random_knowledge_is_as_many_facts_of_the_store_and_none_about_names() -> None:
    with KnowledgeGraph.open("sqlite://") as graph:
        with graph.edit(source="atlas") as edit:
            for number in range(30):
                edit.add(f"c:{number}", "r:likes", f"c:{number + 1}")
                edit.add(f"c:{number}", RDFS + "label", Literal(f"country {number}"))
        bank = TextBank(TinyText(), 12)
        reader = SimpleNamespace(
            world=SimpleNamespace(graph=graph), tables=lambda found: [tabulate(evidence, bank) for evidence in found]
        )
        found = under("random", reader=reader)
        assert [len(table) for table in found] == [3, 5, 4, 3]
        assert {path for table in found for path in table.paths} == {("r:likes",)}
        drawn = {answer for table in found for answer in table.answers}
        assert len(drawn) > 5 and drawn <= {f"country {number}" for number in range(30)} | {"c:30"}
        again = under("random", reader=reader)
        assert [table.answers for table in again] == [table.answers for table in found]


def test_oracle_knowledge_needs_to_know_what_a_question_is_about() -> None:
    with pytest.raises(InputError, match="needs 'head' and 'path' of every question"):
        under("oracle", [Question("q", "What?", ("x",))] * 4)


def test_an_unknown_condition_names_those_there_are() -> None:
    with pytest.raises(InputError, match=", ".join(CONDITIONS)):
        under("perfect")


def test_oracle_knowledge_is_the_asked_path_around_the_entity_that_is_meant(tiny_run: Trained) -> None:
    reader = Reader.load(tiny_run.folder, tiny_run.world.settings)
    asked = [q for q in tiny_run.data.questions if q.type in ("one-hop", "two-hop") and q.head][:40]
    found = tables_under("oracle", reader, asked, [])
    hops = {question.type for question in asked}
    assert hops == {"one-hop", "two-hop"}
    for question, table in zip(asked, found, strict=True):
        assert len(table) == len(question.path)  # a toy has one maker, one weight; a maker one town
        assert table.paths == tuple(question.path[:hop] for hop in range(1, len(question.path) + 1))
        assert table.answers[-1] in question.answers
