"""Tables of parts: a name stands for "module:attribute", imported when the part is first asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from kg.errors import InputError


def resolve(table: Mapping[str, str], name: str, kind: str) -> Any:
    """Return the part that ``table`` calls ``name``.

    Args:
        table: name → "package.module:attribute", as written out in a package's ``__init__.py``.
        name: what the user asked for.
        kind: what the table holds, in the singular ("reader", "objective"), for the error.

    Raises:
        InputError: no part of that name; the text gives the nearest name and all that exist.
    """
    if name not in table:
        near = difflib.get_close_matches(str(name), table, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise InputError(f"there is no {kind} '{name}'{hint} (there are: {', '.join(table) or 'none'})")
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
