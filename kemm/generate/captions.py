"""What a run that learned to write says of pictures, or of anything else that its ``captioning`` is written after."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kemm.data.samples import Samples
from kemm.fuse.model import KEMM
from kemm.fuse.readings import Readings
from kemm.generate import WAYS, Generated
from kemm.generate.decoder import PrefixDecoder, Reading
from kemm.objectives.captioning import Captioning
from kg.errors import InputError
from kg.registry import resolve


class ModelEnds(nn.Module):
    """Words come in by the model's own table, as they did in training, and are said by the objective's head."""

    def __init__(self, model: KEMM, head: nn.Module) -> None:
        super().__init__()
        self.entrance, self.head = model.entrance("language"), head

    def enter(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Texts without padding before them; see ``Ends``."""
        words: Any = self.entrance
        return words.words(tokens, offset=real.shape[1] - tokens.shape[1])

    def leave(self, x: Tensor) -> Tensor:
        table: Any = self.entrance.table
        return self.head(x, table)


class CaptionWriter:
    """The captions that a trained objective writes, a word at a time, each word read once.

    Args:
        model: trained with the objective.
        captioning: ``task.objectives["captioning"]``, or ``grounded_writing`` after pictures.

    Raises:
        InputError: it is written after facts, whose scores bias the attention in training and could not here.
    """

    def __init__(self, model: KEMM, captioning: Captioning) -> None:
        if "knowledge" in captioning.prefix or not captioning.prefix:
            raise InputError("captions are written after pictures, sounds or films: set objectives.captioning.prefix")
        self.model, self.objective = model, captioning
        self.decoder = PrefixDecoder(ModelEnds(model, captioning.head), model.fusion)

    def start(self, samples: Samples) -> Reading:
        """Read what is written after, of B samples that have all of it: the cache to begin with."""
        read, queries = Readings(self.model, samples, Counter()), self.objective.queries
        tokens = {name: read.tokens(name) for name in self.model.fusion.order if name in self.objective.prefix}
        masks = {name: read.mask(name) for name in tokens}
        if queries is None:
            return self.decoder.start(tokens, masks)
        first = next(iter(tokens))
        tokens[first] = torch.cat([queries.expand(len(samples), -1, -1), tokens[first]], dim=1)
        masks[first] = F.pad(masks[first], (len(queries), 0), value=True)
        return self.decoder.start(tokens, masks, through=len(queries))

    @torch.no_grad()
    def write(
        self, samples: Samples, begin: int, end: int, longest: int = 20, way: str = "greedy", **options: Any
    ) -> Generated:
        """Write a caption of each of B samples.

        Args:
            begin, end: the marks that texts begin and end with.
            longest: most words, the end counted; the model has places for ``model.text_tokens``, ``begin`` among them.
            way, options: of ``kemm.generate.WAYS``.
        """
        self.model.eval()
        tokens = torch.full((len(samples), 1), begin, device=samples.entity.device)
        longest = min(longest, self.model.settings.text_tokens)
        found: Generated = resolve(WAYS, way, "way to write")(
            self.decoder, tokens, self.start(samples), end=end, longest=longest, **options
        )
        return found
