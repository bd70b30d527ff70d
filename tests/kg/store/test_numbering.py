"""Terms become ids by the digests that one term alone has, each once, and two are never taken for one."""

from __future__ import annotations

import numpy as np
import pytest

from kg import KnowledgeGraph, Literal
from kg.errors import StoreError
from kg.store import terms
from kg.store.numbering import Numbering, Remembered, digests
from kg.store.texts import Texts


def test_digests_are_those_of_hashlib_at_every_length() -> None:
    texts = ["é" * (n // 2) + "x" * (n % 2) for n in range(300)]  # a block of BLAKE2b has 128 bytes
    for is_literal in (False, True):
        keys, checks = digests(Texts.of(texts), is_literal)
        for text, key, check in zip(texts, keys.tolist(), checks.tolist(), strict=True):
            digest = terms.digest(text.encode())
            wanted = int.from_bytes(digest[:8], "little", signed=True)
            assert (key, check) == (~wanted if is_literal else wanted, int.from_bytes(digest[8:], "little"))


def test_a_text_has_one_id_within_a_batch_and_between_batches() -> None:
    with KnowledgeGraph.open("sqlite://") as graph, graph.database.read() as connection:
        numbering = Numbering(connection)
        iris, literals, new = numbering.number(Texts.of(["a", "b", "a"]), Texts.of(["a"]))
        assert (iris.tolist(), literals.tolist()) == ([1, 2, 1], [-1])
        assert (new.iris.to_list(), new.literals.to_list(), new.keys.ids.tolist()) == (["a", "b"], ["a"], [1, 2, -1])
        iris, literals, new = numbering.number(Texts.of(["c", "b"]), Texts.of(["a", "b"]))
        assert (iris.tolist(), literals.tolist(), new.first_iri, new.first_literal) == ([3, 2], [-1, -2], 3, 2)


@pytest.mark.parametrize("in_segments", [True, False])
def test_what_the_store_knows_keeps_its_id_also_when_it_comes_twice(in_segments: bool) -> None:
    from kg.store import bulk

    with KnowledgeGraph.open("sqlite://") as graph:
        facts = [(f"x:{n}", "x:r", Literal(str(n))) for n in range(bulk.SMALL + 1 if in_segments else 3)]
        bulk.load(graph, facts, source="one")
        known = graph.ids(["x:1", "x:2"])
        with graph.database.read() as connection:
            iris, _, new = Numbering(connection).number(Texts.of(["x:2", "x:new", "x:1", "x:2"]), Texts.of(["y"]))
        assert iris[[0, 2, 3]].tolist() == [known["x:2"], known["x:1"], known["x:2"]]
        assert new.iris.to_list() == ["x:new"]


def test_the_table_grows_and_forgets_nothing() -> None:
    remembered, rng = Remembered(), np.random.default_rng(0)
    keys = rng.integers(-(1 << 63), 1 << 63, 30_000)
    checks = rng.integers(0, 1 << 32, 30_000)
    for start in range(0, 30_000, 7_000):
        part = slice(start, start + 7_000)
        found = np.zeros(len(keys[part]), np.int64)
        assert len(remembered.add(keys[part], checks[part], found, start + 1, 1)) == len(found)
    assert (remembered.find(keys, checks) == np.arange(1, 30_001)).all()
    assert not remembered.find(keys + 1, checks).any()


def test_two_texts_of_one_key_are_refused() -> None:
    keys, checks = np.array([7, 8, 7]), np.array([1, 1, 2])
    with pytest.raises(StoreError, match="share a content key"):
        Remembered().add(keys, checks, np.zeros(3, np.int64), 1, 1)
    remembered = Remembered()
    remembered.add(keys[:2], checks[:2], np.zeros(2, np.int64), 1, 1)
    with pytest.raises(StoreError, match="share a content key"):
        remembered.find(keys[2:], checks[2:])


def test_runs_of_keys_are_merged_into_one_that_finds_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from kg.store import bulk, key_runs, writing
    from kg.store.segments import view

    monkeypatch.setattr(bulk, "SMALL", 0)
    monkeypatch.setattr(writing, "KEYS_IN_BLOCK", 7)
    monkeypatch.setattr(key_runs, "PIECE", 2)
    with KnowledgeGraph.open("sqlite://") as graph:
        names: list[str] = []
        for load, size in enumerate((300, 90, 40, 80, 5)):
            new = [f"x:{load}-{n}" for n in range(size)]
            bulk.load(graph, [(name, "x:r", "x:b") for name in new], source=str(load))
            names += new
        with graph.database.read() as connection:
            runs = view(connection).runs(connection)
            counts = [sum(directory.counts) for _, directory in runs]
            assert sum(counts) == len(names) + 2 and len(runs) < 5
            for _, directory in runs:
                assert directory.begins == sorted(directory.begins) and set(directory.counts[:-1]) <= {7}
        ids = graph.ids([*names, "x:r", "x:b"])
        assert len(ids) == len(names) + 2 and graph.iris(ids.values()) == {n: iri for iri, n in ids.items()}
