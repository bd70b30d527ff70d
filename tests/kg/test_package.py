from __future__ import annotations

import subprocess
import sys

import pytest

import kg
from kg.errors import InputError
from kg.registry import resolve


def test_importing_kg_imports_nothing_heavy() -> None:
    heavy = ["sqlalchemy", "numpy", "torch", "rdflib", "pyoxigraph", "networkx"]
    code = f"import sys, kg; print([name for name in {heavy} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_every_exported_name_is_there() -> None:
    assert all(getattr(kg, name) is not None for name in kg.__all__)
    with pytest.raises(AttributeError, match="no attribute 'KnowledgeGraf'"):
        kg.KnowledgeGraf  # noqa: B018


def test_a_part_is_imported_by_its_name() -> None:
    assert resolve({"sqrt": "math:sqrt"}, "sqrt", "root")(9) == 3


def test_an_unknown_part_names_the_nearest_and_all() -> None:
    with pytest.raises(InputError, match=r"no root 'sqr'; did you mean 'sqrt'\? \(there are: sqrt, cbrt\)"):
        resolve({"sqrt": "math:sqrt", "cbrt": "math:cbrt"}, "sqr", "root")
