"""A small world to retrieve from: four countries, ten facts that one can follow by hand, and two real embedders."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from kg import Literal
from kg.records import DESCRIPTION_RELATIONS, LABEL_RELATIONS

LABEL, DEFINITION = LABEL_RELATIONS[0], DESCRIPTION_RELATIONS[2]

FACTS = [
    ("c:it", "r:capital", "p:rome"),
    ("c:fr", "r:capital", "p:paris"),
    ("c:ch", "r:capital", "p:bern"),
    ("c:it", "r:borders", "c:fr"),
    ("c:it", "r:borders", "c:ch"),
    ("c:fr", "r:borders", "c:it"),
    ("c:jp", "r:capital", "p:tokyo"),
    ("c:it", "r:currency", "m:euro"),
    ("c:fr", "r:currency", "m:euro"),
    ("c:it", "r:population", Literal("58940000")),
]
NAMES = {
    "c:it": "Italy",
    "c:fr": "France",
    "c:ch": "Switzerland",
    "c:jp": "Japan",
    "p:rome": "Rome",
    "p:paris": "Paris",
    "p:bern": "Bern",
    "p:tokyo": "Tokyo",
    "m:euro": "euro",
    "r:capital": "capital",
    "r:borders": "borders",
    "r:currency": "currency",
    "r:population": "population",
}


class HashedWords:
    """Bag of words, each word a fixed coordinate: two texts are as alike as the words they share."""

    name = "hashed-words-512"
    dimension = 512

    def __init__(self) -> None:
        self.num_embedded = 0

    def embed(self, items: Sequence[Any]) -> np.ndarray:
        self.num_embedded += len(items)
        vectors = np.zeros((len(items), self.dimension), dtype=np.float32)
        for row, text in enumerate(items):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, 1 + zlib.crc32(word.encode()) % (self.dimension - 1)] += 1
            vectors[row, 0] = 0.01  # a text without words has a direction too
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def tokens(self, items: Sequence[str]) -> list[np.ndarray]:
        return [self.embed(re.findall(r"\w+", text.lower()) or [""]) for text in items]


class Thumbnail:
    """A picture as its 4 × 4 thumbnail."""

    name = "thumbnail-4x4"
    dimension = 48

    def __init__(self) -> None:
        self.num_embedded = 0

    def embed(self, items: Sequence[Any]) -> np.ndarray:
        self.num_embedded += len(items)
        pictures = [item if isinstance(item, Image.Image) else Image.open(item) for item in items]
        pixels = [
            np.asarray(picture.convert("RGB").resize((4, 4)), dtype=np.float32).ravel() + 1 for picture in pictures
        ]
        vectors = np.stack(pixels)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
