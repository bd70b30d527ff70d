"""Rows of a cache: what a model remembers of each row moves with the row when beams change places or rows end."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def select_rows(cache: Any, rows: Tensor) -> Any:
    """Return the cache of some rows, in their order; a row may be asked for several times. The one given is used up.

    Args:
        cache: a tensor whose first dimension is the batch, None, a number or a text (shared by all rows), a tuple, list
            or dict of such, or anything with a method ``select(rows)`` that does this in place (``kemm.fuse.cache``).
        rows: ``(N,)`` int64.
    """
    if isinstance(cache, Tensor):
        return cache.index_select(0, rows)
    if isinstance(cache, dict):
        return {name: select_rows(part, rows) for name, part in cache.items()}
    if isinstance(cache, tuple | list):
        return type(cache)(select_rows(part, rows) for part in cache)
    if hasattr(cache, "select"):
        cache.select(rows)
    else:
        assert cache is None or isinstance(cache, int | float | str), f"{type(cache).__name__} has no method 'select'"
    return cache
