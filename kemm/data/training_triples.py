"""The facts between entities that a world's questions leave for training, as triples for ``kemm kg train``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kemm.data.questions import Holdout
from kg.embeddings.triples import number
from kg.errors import InputError
from kg.records import BOOKKEEPING_RELATIONS
from kg.store.graph import KnowledgeGraph


def write_training_triples(
    graph: KnowledgeGraph, holdout: Holdout, folder: Path, valid: float = 0.01
) -> dict[str, int]:
    """Write the triples that entity vectors may learn from to a folder that ``kemm kg train`` reads.

    A model trained on all edges of the store has seen the answers of the held-out questions: its vector of a country
    tells the capital that is asked for. So the facts held out for ``test`` and ``dev`` are left out, and with them
    every other edge between the same two entities, either way: of (a, hypernym, b), (b, hyponym, a) tells as much.

    Args:
        holdout: what is held out, by the settings and the seed of the run that will use the vectors.
        folder: made, or written anew; see ``kg.embeddings.triples.Triples.save``.
        valid: share of the pairs of entities left, drawn with the holdout's seed, to choose the best epoch by.

    Returns:
        ``edges`` of the store, ``held_out`` of them, ``train``, ``valid``, ``entities``.

    Raises:
        InputError: nothing is left, or the folder holds something else.
    """
    edges = graph.edges()
    heads, relations, tails = (np.asarray(column) for column in (edges.heads, edges.relations, edges.tails))
    names = graph.iris(np.unique(np.concatenate([heads, relations, tails])).tolist())
    counts = np.array([names[key] not in BOOKKEEPING_RELATIONS for key in relations.tolist()], dtype=bool)
    heads, relations, tails = heads[counts], relations[counts], tails[counts]
    asked, place = np.unique(np.stack([heads, relations], axis=1), axis=0, return_inverse=True)
    for_training = np.array([holdout.fact(names[h], names[r]) == "train" for h, r in asked.tolist()], dtype=bool)
    pairs = np.stack([np.minimum(heads, tails), np.maximum(heads, tails)], axis=1)
    _, pair = np.unique(pairs, axis=0, return_inverse=True)
    is_told = np.zeros(int(pair.max(initial=-1)) + 1, dtype=bool)
    is_told[pair[~for_training[place.reshape(-1)]]] = True
    is_valid = np.random.default_rng(holdout.seed).random(len(is_told)) < valid
    if is_told.all():
        raise InputError(f"the store {graph.database.name} has no edge that is not held out: nothing to train on")

    def named(rows: np.ndarray) -> list[tuple[str, str, str]]:
        return [
            (names[h], names[r], names[t])
            for h, r, t in zip(heads[rows].tolist(), relations[rows].tolist(), tails[rows].tolist(), strict=True)
        ]

    splits = {"train": named(~is_told[pair] & ~is_valid[pair]), "valid": named(~is_told[pair] & is_valid[pair])}
    triples = number(splits, unseen="drop", names=f"the edges of {graph.database.name} that are not held out")
    triples.save(folder)
    return {
        "edges": len(heads),
        "held_out": int(is_told[pair].sum()),
        **{split: len(rows) for split, rows in triples.splits.items()},
        "entities": triples.num_entities,
    }
