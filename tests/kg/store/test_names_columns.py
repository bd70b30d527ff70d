"""Names are folded as one by one, and come in the order of their bytes."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np

from kg.names import fold
from kg.store.finding import prefix_number
from kg.store.names_columns import Names, folded_names, sorting
from kg.store.texts import Texts

PARTS = ["a", "B", "Zz", " ", "  ", "\t", "é", "ß", "が", "\xa0", "1", "İ"]


def test_names_are_those_without_datatype_and_unit_folded_and_sorted() -> None:
    draw = random.Random(0)
    values = ["".join(draw.choices(PARTS, k=draw.choice([0, 1, 3, 8, 9, 17, 120]))) for _ in range(2_000)]
    said = [(draw.choice(["", "", "x:d"]), draw.choice(["", "en"]), draw.choice(["", "", "km"])) for _ in values]
    contents = Texts.of("\x1f".join([*parts, value]) for parts, value in zip(said, values, strict=True))
    wanted = {
        place: fold(value)
        for place, ((datatype, _, unit), value) in enumerate(zip(said, values, strict=True))
        if not datatype and not unit and len(value) <= 120
    }
    texts, places = folded_names(contents)
    assert dict(zip(places.tolist(), texts.to_list(), strict=True)) == wanted

    names, found = Names(), []
    names.add(np.arange(100, 100 + len(values)), contents)
    names.add(np.array([100]), contents.take(np.array([0])))  # one literal, again
    for number, count, run, lengths in names.blocks(64):
        bounds = np.concatenate([[0], np.cumsum(lengths)]).tolist()
        texts_and_ids = [run[start:stop].decode() for start, stop in pairwise(bounds)]
        assert number == prefix_number(texts_and_ids[0])
        found += zip(texts_and_ids[:count], map(int, texts_and_ids[count:]), strict=True)
    assert found == sorted(((name, 100 + at) for at, name in wanted.items()), key=lambda p: (p[0].encode(), p[1]))


def test_texts_that_begin_alike_are_sorted_by_what_follows() -> None:
    texts = ["a" * 16 + "b", "a" * 16, "a" * 15, "", "a" * 16 + "a", "b", "a" * 16]
    assert sorting(Texts.of(texts)).tolist() == [3, 2, 1, 6, 4, 0, 5]
