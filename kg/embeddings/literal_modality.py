"""The literals of entities as a modality: one row an entity, a stretch of columns for each relation.

    names, vectors, relations = literal_vectors(facts)           # facts: (entity, relation, Literal)
    write_modality("features/literals.npy", names, vectors)      # as a text's or a picture's vectors are

A relation's stretch holds the features of its number (28) or of its date (12), whichever most of its values are, or 0
where an entity has none; relations of texts are left out, since texts are a modality of their own. Numbers are brought
to their quantity's own unit, so grams and kilograms mean the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from kg.embeddings.literals import as_date, as_number, date_features, number_features, unit_row
from kg.embeddings.triples import Array
from kg.records import Literal


def literal_vectors(facts: Iterable[tuple[str, str, Literal]], most: int = 32) -> tuple[list[str], Array, list[str]]:
    """Return names of entities, their vectors (N, W) float32, and the relations whose stretches stand in them.

    Several values of one relation are averaged. Entities without any of the relations are left out.

    Args:
        most: relations that are taken, those of most facts first.
    """
    numbers: dict[str, list[tuple[str, float]]] = {}
    dates: dict[str, list[tuple[str, tuple[int, int, int]]]] = {}
    for entity, relation, literal in facts:
        if (value := as_number(literal)) is not None:
            numbers.setdefault(relation, []).append((entity, value * unit_row(literal.unit)[1]))
        elif (date := as_date(literal)) is not None:
            dates.setdefault(relation, []).append((entity, date))
    counts = Counter({name: max(len(numbers.get(name, [])), len(dates.get(name, []))) for name in {*numbers, *dates}})
    relations = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]]
    stretches: list[tuple[list[str], Array]] = []
    for name in relations:
        of_number, of_date = numbers.get(name, []), dates.get(name, [])
        if len(of_number) >= len(of_date):
            stretches.append(([entity for entity, _ in of_number], number_features([value for _, value in of_number])))
        else:
            stretches.append(([entity for entity, _ in of_date], date_features([date for _, date in of_date])))
    names = list(dict.fromkeys(entity for entities, _ in stretches for entity in entities))
    row_of = {name: row for row, name in enumerate(names)}
    columns = []
    for entities, features in stretches:
        rows = np.array([row_of[entity] for entity in entities])
        total = np.zeros((len(names), features.shape[1]), dtype=np.float32)
        np.add.at(total, rows, features)
        columns.append(total / np.maximum(np.bincount(rows, minlength=len(names)), 1)[:, None])
    vectors = np.concatenate(columns, axis=1) if columns else np.zeros((0, 0))
    return names, vectors.astype(np.float32), relations
