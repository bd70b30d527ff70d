"""Name what a picture shows without a trained model: by ImageNet's classes and by the pictures of entities."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from kg.errors import InputError
from kg.records import Link
from retrieval.pictures.confidence import Confidence
from retrieval.pictures.linker import PictureLinker, Region

if TYPE_CHECKING:
    from kemm.encoders.vision import VisionTower
    from kg.store.graph import KnowledgeGraph
    from retrieval.entity_index import EntityIndex

LITE0 = "efficientnet-lite0"
#: Of first links into WordNet, fitted on Caltech-101's validation part (benchmarks/retrieval_pictures.py): of its test
#: photos that a class tells anything of, 66 % are linked, 62 % of these truly; of the others 65 % are refused.
ZERO_SHOT = Confidence(chance=0.771, offset=-0.509, threshold=0.357)
#: Of the nearest of 48 entities with one picture each, fitted likewise, and below which cosine a picture is strange:
#: 81 % of photos of these are linked, 85 % of them rightly; 79 % of photos of other things are refused.
NEAREST = Confidence(chance=0.875, offset=-0.466, weakest=0.45)


class PictureNaming:
    """Everything that can name a picture's entities in a store, behind one tower.

    Args:
        graph: where ImageNet's classes are looked for; they are WordNet's synsets.
        index: of the same store, whose pictures are looked among; made with the same tower.
        tower: EfficientNet-lite0, where ImageNet's classes are to count.

    Raises:
        InputError: the store has none of the classes, and there is no index with pictures.
    """

    def __init__(self, graph: KnowledgeGraph, tower: VisionTower, index: EntityIndex | None = None) -> None:
        from kemm.encoders.vision import EfficientNetLite0

        self.tower = tower
        self.linkers: list[PictureLinker] = []
        if tower.name == EfficientNetLite0.name:  # a tuned one's features are no longer those of ImageNet's classifier
            from kemm.encoders.imagenet import class_entities, class_weights
            from retrieval.pictures.classifier import EntityClassifier
            from retrieval.pictures.is_a import IsA

            classes = class_entities(graph)
            if any(classes):
                classifier = EntityClassifier(*class_weights(), IsA(graph, classes))
                self.linkers.append(PictureLinker(classifier, ZERO_SHOT))
        if index is not None and index.pictures:
            self.linkers.append(_by_pictures(index, graph))
        if not self.linkers:
            raise InputError(
                "nothing here can name a picture: the store has neither WordNet's synsets (`kemm ingest wordnet`) nor "
                "an index of pictures (`kemm media add`, then `kemm index`, then --index)"
            )

    def link_image(self, image: str | Path | Image.Image, k: int) -> list[Link]:
        """At most ``k`` entities that a picture shows, the surest first; [] for none of these.

        Raises:
            UnreadableImage: the picture can't be used.
        """
        pooled = _pooled(self.tower, image)
        return _surest([linker.links(pooled, k)[0] for linker in self.linkers])[:k]

    def regions(self, image: str | Path | Image.Image, k: int) -> list[Region]:
        """The parts of a picture that show something, the surest first, with at most ``k`` links each.

        Raises:
            UnreadableImage: the picture can't be used.
        """
        from kemm.encoders.vision import open_image

        features = self.tower.scene(open_image(image)).numpy()
        found = [region for linker in self.linkers for region in linker.regions(features, k)]
        return sorted(found, key=lambda region: -region.score)


def picture_tower(vision: str | None, index: Path | None) -> str:
    """The name of the tower to see with: that which is asked for, that of an index, or `LITE0`."""
    from retrieval.entity_index import tower_of

    return vision or (tower_of(index) if index is not None else None) or LITE0


def open_naming(graph: KnowledgeGraph, index: Path | None = None, vision: str | None = None) -> PictureNaming:
    """Name pictures' entities in a store that is open.

    Args:
        index: folder of an index of the store, to look among its pictures too.
        vision: the picture tower, as `picture_tower` chooses it.

    Raises:
        InputError, IndexStale: with what to do.
    """
    from kemm.encoders import build_encoder
    from kemm.encoders.vision import PictureEmbedder
    from retrieval.entity_index import EntityIndex

    tower = build_encoder(picture_tower(vision, index))
    found = EntityIndex.open(index, graph) if index is not None else None
    if found is not None and found.pictures:
        made, name = found.manifest["images"]["name"], PictureEmbedder(tower).name
        if made != name:
            raise InputError(f"{index} was built with {made}, not {name}: run `kemm index` again")
    return PictureNaming(graph, tower, found)


def linker_for(graph: KnowledgeGraph, index: EntityIndex, tower: VisionTower) -> Callable[[Any, int], list[Link]]:
    """How `retrieve` links a picture: by the pictures of its index, or without any by ImageNet's classes."""
    if index.pictures:
        linker = _by_pictures(index, graph)
        return lambda image, k: linker.links(_pooled(tower, image), k)[0]

    @functools.cache
    def naming() -> PictureNaming:
        return PictureNaming(graph, tower)

    return lambda image, k: naming().link_image(image, k)


def _by_pictures(index: EntityIndex, graph: KnowledgeGraph) -> PictureLinker:
    from retrieval.pictures.nearest import NearestPictures, in_index

    return PictureLinker(NearestPictures(in_index(index, graph)), NEAREST)


def _pooled(tower: VisionTower, image: str | Path | Image.Image) -> np.ndarray:
    """The mean features of one picture, (1, D)."""
    from kemm.encoders.vision import open_image

    return tower.frozen([tower.array(open_image(image))]).mean((2, 3)).numpy()


def _surest(found: Sequence[Sequence[Link]]) -> list[Link]:
    """Each way's links in their order, the ways by their first link; one link an entity."""
    best: dict[str, Link] = {}
    for links in sorted((links for links in found if links), key=lambda links: -links[0].score):
        for link in links:
            best.setdefault(link.entity, link)
    return list(best.values())
