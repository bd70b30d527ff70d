"""What a term is stored as: one text, from which exactly that term is read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kg.records import Literal
from kg.store.terms import content, literal_of

PART = st.none() | st.text(st.sampled_from(["a", "\x1f", "\\", "s"]), min_size=1, max_size=5)


def test_the_content_of_a_literal_by_hand() -> None:
    assert content(Literal("12", "x:int", unit="km")) == "x:int\x1f\x1fkm\x1f12"
    assert content(Literal("a", unit="\x1f")) == "\x1f\x1f\\s\x1fa"


@pytest.mark.parametrize("value", ["", "\x1f", "\\s", "a\x1fb\\"])
@given(datatype=PART, language=PART, unit=PART)
def test_any_literal_is_read_as_it_was(
    value: str, datatype: str | None, language: str | None, unit: str | None
) -> None:
    literal = Literal(value, datatype, language, unit)
    assert literal_of(content(literal)) == literal
