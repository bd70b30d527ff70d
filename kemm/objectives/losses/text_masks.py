"""Which words of a text are hidden, and by what: single tokens, whole words, entities, scene-graph nodes, spans.

A **unit** is what is hidden or shown whole. ``units`` (B, T) numbers each row's units from 0 and is −1 where nothing
may be hidden (padding, marks of begin and end, words outside the scene graph); the choices below only differ in it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def token_units(is_word: Tensor) -> Tensor:
    """Every maskable token (B, T bool) is a unit of its own."""
    return (is_word.long().cumsum(1) - 1).masked_fill(~is_word, -1)


def hide_units(units: Tensor, share: float, generator: torch.Generator, weight: Tensor | None = None) -> Tensor:
    """Hide max(1, round(share · units)) units of each row, drawn without replacement: (B, T) bool, true at the hidden.

    With ``token_units`` BERT's masking (Devlin et al., 2019, arXiv:1810.04805; share .15), with words whole-word
    masking (ViLT, Kim et al., 2021, arXiv:2102.03334), with mentions entity masking (ERNIE, Sun et al., 2019,
    arXiv:1904.09223), with objects, attributes and relations scene-graph masking (ERNIE-ViL, Yu et al., 2021,
    arXiv:2006.16934; share .3). BERT counts the share in tokens and RoBERTa draws each alone; here it is counted in
    units, and exact. A row without units stays whole.

    Args:
        units: (B, T), see above.
        weight: (B, T), positive: a unit of weight 2 is drawn first twice as often as one of weight 1 (entity-aware
            masking: entities' words heavier). A unit has the weight of its heaviest token; of weight 0, it is last.
    """
    batch, _ = units.shape
    most = max(int(units.max()) + 1, 1) if units.numel() else 1
    slot = units.clamp(min=0)
    known = units >= 0
    heavy = torch.ones(units.shape) if weight is None else weight.float()
    of_unit = torch.zeros(batch, most).scatter_reduce(1, slot, heavy.masked_fill(~known, 0.0), "amax")
    exists = torch.zeros(batch, most).scatter_reduce(1, slot, known.float(), "amax") > 0
    # Gumbel: the order of log w − log(−log u) is that of drawing without replacement in proportion to w.
    noise = -torch.rand(batch, most, generator=generator).clamp(1e-30, 1 - 1e-7).log()
    order = (of_unit.clamp(min=1e-20).log() - noise.log()).masked_fill(~exists, -torch.inf)
    rank = order.argsort(1, descending=True).argsort(1)
    count = exists.sum(1)
    wanted = (share * count).round().clamp(min=1).minimum(count)
    return (rank < wanted[:, None]).gather(1, slot) & known


def hide_spans(
    words: Tensor, share: float, generator: torch.Generator, success: float = 0.2, longest: int = 10
) -> Tensor:
    """Hide spans of whole words until a share of the words is hidden: (B, T) bool.

        ℓ ~ Geo(success) cut at ``longest`` (mean 3.8 at .2 and 10),   start uniform

    SpanBERT (Joshi et al., 2020, arXiv:1907.10529). The last span is cut to the words still wanted, a length above
    ``longest`` becomes one below by renormalising, and a start that is hidden already is drawn again, as there.

    Args:
        words: (B, T) number of the word of each token from 0 on, −1 where there is none.
    """
    chance = success * (1 - success) ** torch.arange(longest)
    hidden = torch.zeros_like(words, dtype=torch.bool)
    for row, of_token in enumerate(words):
        count = int(of_token.max()) + 1 if len(of_token) else 0
        wanted = max(1, round(share * count)) if count else 0
        chosen = torch.zeros(count, dtype=torch.bool)
        while int(chosen.sum()) < wanted:
            length = int(torch.multinomial(chance, 1, generator=generator)) + 1
            start = int(torch.randint(count, (1,), generator=generator))
            length = min(length, wanted - int(chosen.sum()), count - start)
            if not chosen[start]:
                chosen[start : start + length] = True
        hidden[row] = chosen[of_token.clamp(min=0)] & (of_token >= 0) if count else False
    return hidden


def corrupt(
    ids: Tensor,
    hidden: Tensor,
    mask_id: int,
    ordinary: Tensor,
    generator: torch.Generator,
    units: Tensor | None = None,
    masked: float = 0.8,
    replaced: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """Put the mask's token at 80 % of the hidden places, any word at 10 %, and leave 10 % as they are (BERT).

    Args:
        ids: (B, T); ``hidden`` (B, T) bool.
        ordinary: (V′,) ids from which replacements are drawn: no special ones.
        units: tokens of one unit share their fate (SpanBERT does this by span); none: each token has its own.

    Returns:
        What the model reads (B, T), and what it is to say (B, T): the true id where hidden, −1 elsewhere.
    """
    drawn = torch.rand(ids.shape, generator=generator)
    if units is not None:
        drawn = drawn.gather(1, units.clamp(min=0))
    words = ordinary[torch.randint(len(ordinary), ids.shape, generator=generator)]
    read = torch.where(hidden & (drawn < masked), mask_id, ids)
    read = torch.where(hidden & (drawn >= masked) & (drawn < masked + replaced), words, read)
    return read, ids.masked_fill(~hidden, -1)
