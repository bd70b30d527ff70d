"""The table of searches and the package's exports exist as written, and cost nothing until used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import retrieval
from kg.registry import resolve
from retrieval.index import INDEXES


@pytest.mark.parametrize("name", INDEXES)
def test_every_search_of_the_table_can_be_had(name: str) -> None:
    assert resolve(INDEXES, name, "index").__name__ == INDEXES[name].rpartition(":")[2]


@pytest.mark.parametrize("name", retrieval.__all__)
def test_every_export_can_be_had(name: str) -> None:
    assert getattr(retrieval, name) is not None


def test_importing_retrieval_imports_nothing_heavy() -> None:
    code = (
        "import sys, retrieval; print(*sorted({'numpy', 'faiss', 'tantivy', 'torch', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
