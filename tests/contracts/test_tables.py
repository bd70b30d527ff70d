"""The tables of parts: every entry can be had and says what it is, and a misspelt name is told the nearest."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import pytest

from kemm.encoders import ENCODERS
from kemm.evaluate import BENCHMARKS
from kemm.fuse import FUSIONS
from kemm.objectives import OBJECTIVES
from kemm.settings import Objectives
from kemm.systems import SYSTEMS
from kg.embeddings import EMBEDDING_MODELS, FUSION_MODELS
from kg.errors import InputError
from kg.export import EXPORTERS
from kg.gnn import GNNS, GRAPH_ENCODERS
from kg.ingest import READERS
from kg.registry import resolve
from retrieval.index import INDEXES

TABLES: dict[str, Mapping[str, str]] = {
    "encoder": ENCODERS,
    "fusion": FUSIONS,
    "objective": OBJECTIVES,
    "published system": SYSTEMS,
    "graph encoder": GNNS,
    "whole-graph encoder": GRAPH_ENCODERS,
    "reader": READERS,
    "exporter": EXPORTERS,
    "index": INDEXES,
    "benchmark": BENCHMARKS,
    "embedding model": EMBEDDING_MODELS,
    "model of several modalities": FUSION_MODELS,
}
ENTRIES = [(kind, name) for kind, table in TABLES.items() for name in table]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_entry_is_a_class_or_function_of_that_module_with_a_docstring(kind: str, name: str) -> None:
    part = resolve(TABLES[kind], name, kind)
    module, _, attribute = TABLES[kind][name].partition(":")
    assert inspect.isclass(part) or inspect.isfunction(part)
    assert (part.__module__, part.__name__) == (module, attribute)
    assert part.__doc__  # its own: a class doesn't inherit one


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_a_misspelt_name_is_told_the_nearest_and_all_there_are(kind: str, name: str) -> None:
    misspelt = name + "q"
    with pytest.raises(InputError) as caught:
        resolve(TABLES[kind], misspelt, kind)
    says = str(caught.value)
    assert says.startswith(f"there is no {kind} '{misspelt}'") and "\n" not in says
    assert f"did you mean '{name}'?" in says
    assert all(each in says for each in TABLES[kind])


def test_a_name_like_none_gets_no_suggestion() -> None:
    with pytest.raises(InputError, match=r"there is no objective 'xxxxx' \(there are: itc, itm"):
        resolve(OBJECTIVES, "xxxxx", "objective")


def test_every_objective_has_its_section_of_the_settings_and_the_other_way_round() -> None:
    assert set(OBJECTIVES) == set(Objectives.model_fields)
