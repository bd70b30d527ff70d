"""The names of a load, folded as ``kg.names.fold`` does it, column by column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from kg.names import fold
from kg.store.blocks import Array
from kg.store.finding import prefix_number
from kg.store.terms import LONGEST_NAME
from kg.store.texts import Texts

#: White space that ``fold`` would make one blank.
_BLANKS = r"[\x00-\x1f]|  |^ | $"


def folded(values: pl.Series) -> pl.Series:
    """Return texts folded: ASCII in one go, the others one by one."""
    frame = values.to_frame("value").select(
        pl.col("value"),
        pl.col("value").str.to_lowercase().alias("folded"),
        (
            (pl.col("value").str.len_bytes() != pl.col("value").str.len_chars()) | pl.col("value").str.contains(_BLANKS)
        ).alias("is_odd"),
    )
    odd = np.flatnonzero(frame["is_odd"].to_numpy())
    if not len(odd):
        return frame["folded"]
    changed = pl.Series([fold(value) for value in frame["value"].gather(odd).to_list()], dtype=pl.String)
    return frame["folded"].scatter(odd, changed)


def _arrow(texts: Texts) -> pa.LargeStringArray:
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(texts.offsets), pa.py_buffer(texts.run))


class Names:
    """Names waiting to be written: what is found under which text."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []

    def add(self, ids: Array, contents: Texts) -> None:
        """Take literals; those with a datatype or a unit, and long ones, are no names."""
        frame = pl.DataFrame({"id": ids, "content": pl.Series(_arrow(contents), dtype=pl.String)})
        frame = frame.filter(pl.col("content").str.starts_with("\x1f"))
        frame = frame.select(pl.col("id"), pl.col("content").str.splitn("\x1f", 4).struct.unnest())
        frame = frame.filter((pl.col("field_2") == "") & (pl.col("field_3").str.len_chars() <= LONGEST_NAME))
        if len(frame):
            self._parts.append(pl.DataFrame({"id": frame["id"], "folded": folded(frame["field_3"])}))

    def blocks(self, size: int) -> Iterator[tuple[int, int, bytes, Array]]:
        """Yield (number of the first name, count, run, lengths): folded names in order, then their ids as text."""
        if not self._parts:
            return
        frame = pl.concat(self._parts).unique("id").sort("folded", "id")
        for start in range(0, len(frame), size):
            part = frame[start : start + size]
            texts = pl.concat([part["folded"], part["id"].cast(pl.String)])
            run = "".join(texts.to_list()).encode()
            yield prefix_number(part["folded"][0]), len(part), run, texts.str.len_bytes().to_numpy().astype(np.int64)
