"""ImageNet's thousand classes as entities of a graph, and EfficientNet-lite0's own classifier over them.

The classes of ILSVRC-2012 (Russakovsky et al., 2015, arXiv:1409.0575) are noun synsets of WordNet 3.0, named by their
offset in its database; timm carries their list in the order of the classes, their lemmas and their glosses.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kg.errors import InputError
from kg.ingest.wordnet import SYNSET
from kg.names import fold

if TYPE_CHECKING:
    from kg.store.graph import KnowledgeGraph


def class_synsets() -> list[str]:
    """The IRIs of the 1000 classes' synsets, as ``kg.ingest.wordnet`` writes them, in the classifier's order."""
    return [f"{SYNSET}{line[1:]}-n" for line in _table("imagenet_synsets.txt")]  # n01440764 → …/01440764-n


def class_entities(graph: KnowledgeGraph) -> list[str]:
    """Which entity of a graph each class is, "" for none.

    By the synset's IRI where the graph has WordNet 3.0. Elsewhere by name and gloss: an entity called by one of the
    class's lemmas, whose description shares the most words with the gloss, at least one in five.
    """
    synsets = class_synsets()
    ids = graph.ids(synsets)
    there = np.isin([ids.get(iri, -1) for iri in synsets], graph.entity_ids())
    if there.any():
        return [iri if is_there else "" for iri, is_there in zip(synsets, there, strict=True)]
    lemmas, glosses = _described("imagenet_synset_to_lemma.txt"), _described("imagenet_synset_to_definition.txt")
    keys = _table("imagenet_synsets.txt")
    called: dict[str, list[int]] = {}
    for number, key in enumerate(keys):
        for lemma in lemmas[key].split(", "):
            called.setdefault(fold(lemma), []).append(number)
    best: list[tuple[float, str]] = [(0.2, "")] * len(keys)
    for entity in graph.entities():
        for name in {fold(name) for name in (entity.label, *entity.aliases)} & called.keys():
            for number in called[name]:
                likeness = _shared_words(glosses[keys[number]], entity.description)
                if likeness > best[number][0]:
                    best[number] = likeness, entity.iri
    return [iri for _, iri in best]


def class_weights() -> tuple[np.ndarray, np.ndarray]:
    """EfficientNet-lite0's last layer over its mean features: weights (1000, 1280) and bias (1000,) float32.

    Raises:
        InputError: the package with the weights is not installed.
    """
    from kemm.encoders.vision import lite0_weights

    state = lite0_weights()
    return state["_fc.weight"].numpy(), state["_fc.bias"].numpy()


def _shared_words(gloss: str, description: str) -> float:
    """The share of the longer words of the shorter text that the other has too."""
    a, b = ({word.strip(".,;()") for word in fold(text).split() if len(word) > 3} for text in (gloss, description))
    return len(a & b) / max(1, min(len(a), len(b)))


def _described(name: str) -> dict[str, str]:
    return dict(line.split("\t", 1) for line in _table(name))


def _table(name: str) -> list[str]:
    spec = importlib.util.find_spec("timm")  # found without importing it, which takes seconds
    for place in (spec and spec.submodule_search_locations) or ():
        path = Path(place) / "data" / "_info" / name
        if path.is_file():
            return path.read_text(encoding="utf-8").splitlines()
    raise InputError(f"{name} is not here: pip install timm")
