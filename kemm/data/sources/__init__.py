"""Where samples come from, named in ``SOURCES``: each a few rows a step, drawn by the step's generator.

How many rows a step takes of one is the setting ``train.<name>``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from kemm.data.samples import Samples

#: name → "module:Class", built from what training has prepared (``TrainingData``)
SOURCES = {
    "pairs": "kemm.data.sources.captioned:CaptionedPictures",
    "texts": "kemm.data.sources.texts:Texts",
    "pictures": "kemm.data.sources.pictures:PicturesAlone",
    "media": "kemm.data.sources.media:MediaTable",
    "knowledge": "kemm.data.sources.told:ToldFacts",
    "links": "kemm.data.sources.linked:LinkedDescriptions",
}


class Source(Protocol):
    """The contract of a source.

    Attributes:
        modalities: what each of its rows has; empty where the run has no such data.
    """

    modalities: frozenset[str]

    def sample(self, rng: np.random.Generator, size: int) -> Samples:
        """Up to ``size`` rows to train on; fewer where there are no more."""
        ...

    def held_out(self, rng: np.random.Generator, size: int) -> Samples | None:
        """Up to ``size`` rows that are never trained on; None where nothing is held out."""
        ...
