"""Statements are distinct and sorted in every order, as Python sorts them, whether one number holds them or not."""

from __future__ import annotations

import numpy as np
import pytest

from kg.store.blocks import pack_columns, unpack_columns
from kg.store.statements import Statements


@pytest.mark.parametrize("most", [50, 10**6, 1 << 40])  # 1 << 40 takes 82 bits and more
def test_statements_are_distinct_and_sorted_in_every_order(most: int) -> None:
    rng = np.random.default_rng(0)
    parts = [(rng.integers(1, most, 900), rng.integers(5, 9, 900), rng.integers(-most, most, 900)) for _ in range(3)]
    parts.append(parts[0])
    wanted = sorted({row for part in parts for row in zip(*(column.tolist() for column in part), strict=True)})
    statements = Statements(parts)
    assert len(statements) == len(wanted)
    assert list(zip(*(column.tolist() for column in statements.columns()), strict=True)) == wanted
    for places in ((2, 0, 1), (1, 0, 2)):
        blocks = list(statements.blocks(places, 77))
        assert {len(block[0]) for block in blocks[:-1]} == {77}
        found = [row for block in blocks for row in zip(*(column.tolist() for column in block), strict=True)]
        assert found == sorted(tuple(row[place] for place in places) for row in wanted)


def test_some_are_kept_and_none_is_fine() -> None:
    statements = Statements([(np.array([1, 2, 1]), np.array([9, 9, 9]), np.array([-3, 4, -3]))])
    statements.keep(np.array([False, True]))
    assert [column.tolist() for column in statements.columns()] == [[2], [9], [4]]
    nothing = Statements([])
    assert len(nothing) == 0 and [len(column) for column in nothing.columns()] == [0, 0, 0]
    assert list(nothing.blocks((2, 0, 1), 5)) == []


def test_columns_of_any_numbers_come_back() -> None:
    ends = [-(1 << 63), (1 << 63) - 1]
    rng = np.random.default_rng(0)
    for column in (ends, ends[::-1], [5], [], [0, 255], [0, 256], [7, 7, 1 << 40], [1, 1 << 33, 2]):
        for more in (column, rng.integers(*ends, len(column)).tolist()):
            columns = [np.array(column, np.int64), np.array(more, np.int64)]
            found = unpack_columns(pack_columns(columns), len(column))
            assert [one.tolist() for one in found] == [one.tolist() for one in columns] or not column
