"""Hard negatives: what is put beside each sample's picture, and beside its text, to be told from its own."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from kemm.data.samples import UNKNOWN, Samples, join
from kemm.fuse.encoded import Encoded
from kemm.fuse.readings import Readings
from kemm.objectives.contrastive import positives
from kemm.objectives.gathering import gather
from kemm.objectives.losses.matching import hard_negatives

TEMPERATURE = 0.1  # of the cosines that negatives are drawn by


class Candidates(NamedTuple):
    """C things of one modality, the batch's own first: ``tokens`` (C, S + L, D), ``mask`` (C, S + L) of what is there,
    ``pooled`` (C, D_m) by which they are alike, ``entity`` (C,) what it shows. Past ones have tokens once read.
    """

    tokens: Tensor
    mask: Tensor
    pooled: Tensor
    entity: Tensor

    @classmethod
    def of(
        cls, encoded: Encoded, name: str, rows: Tensor, everywhere: bool = False, is_hidden: bool = False
    ) -> Candidates:
        """Those of ``rows`` (N,).

        Args:
            everywhere: of all processes, as VLMo (Bao et al., 2022, arXiv:2111.02358).
            is_hidden: their tokens as the step's joint masked forward reads them.
        """
        tokens, mask = _tokens(encoded, name, is_hidden)
        own = cls(
            tokens[rows],
            mask[rows],
            encoded.pooled(name, rows).detach().float(),
            encoded.samples.shown[rows],
        )
        if not everywhere:
            return own
        return cls(gather(own.tokens), gather(own.mask), gather(own.pooled), gather(own.entity, UNKNOWN))


class Seen(NamedTuple):
    """N things of one modality as they enter the model: ``samples`` of that modality alone, ``mask`` (N, S + L) of what
    was there, ``pooled`` (N, D_m) by which they are alike.
    """

    samples: Samples
    mask: Tensor
    pooled: Tensor

    @classmethod
    def of(cls, encoded: Encoded, name: str, rows: Tensor) -> Seen:
        samples = encoded.samples
        alone = Samples({name: samples.parts[name]}, samples.entity, samples.label)
        return cls(alone.take(rows), encoded.read.mask(name)[rows], encoded.pooled(name, rows).detach().float())

    def take(self, rows: Tensor) -> Seen:
        return Seen(self.samples.take(rows), self.mask[rows], self.pooled[rows])


class Past:
    """The last ``size`` things of a modality that steps have seen; a resumed run starts anew.

    Kept is what enters the model: a step reads those it draws by its own weights, and trains the modality by them. Were
    tokens kept as they came out, a modality's own would be trained by two wrong pairs for each right one, and soon all
    pairs are called wrong (LOG.md, 2026-11-23).

    Attributes:
        steps: the newest first.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.steps: list[Seen] = []

    def take_in(self, new: Seen) -> None:
        steps, self.steps, room = [new, *self.steps], [], self.size
        for seen in steps:
            rows = torch.arange(len(seen.pooled), device=seen.mask.device)[:room]
            if len(rows):
                self.steps.append(seen if len(rows) == len(seen.pooled) else seen.take(rows))
            room -= len(rows)

    def listed(self, own: Candidates) -> Candidates:
        """Things of the batch, and these to draw among."""
        pooled, entity = [seen.pooled for seen in self.steps], [seen.samples.shown for seen in self.steps]
        return own._replace(pooled=torch.cat([own.pooled, *pooled]), entity=torch.cat([own.entity, *entity]))

    def read(self, encoded: Encoded, name: str, own: Candidates, drawn: Tensor) -> tuple[Candidates, Tensor]:
        """Things of the batch and those of these that are drawn (M,), read now; and the numbers drawn, among both."""
        is_past = drawn >= len(own.tokens)
        distinct, which = torch.unique(drawn[is_past], return_inverse=True)
        parts, first = [], len(own.tokens)
        for seen in self.steps:
            end = first + len(seen.pooled)
            parts.append(seen.take(distinct[(distinct >= first) & (distinct < end)] - first))
            first = end
        samples = join([part.samples for part in parts])
        if samples is None:
            return own, drawn
        tokens = Readings(encoded.model, samples, encoded.calls).tokens(name)
        masks = [own.mask, *(part.mask for part in parts)]
        length = max(each.shape[1] for each in (tokens, *masks))
        both = own._replace(
            tokens=torch.cat([_pad(each, length) for each in (own.tokens, tokens)]),
            mask=torch.cat([_pad(each, length) for each in masks]),
        )
        return both, drawn.masked_scatter(is_past, which + len(own.tokens))


class Pairs(NamedTuple):
    """Pairs, fused: modality → ``states`` (M, S + L, D), and ``mask`` (M, S + L) of what is there."""

    states: dict[str, Tensor]
    mask: dict[str, Tensor]


def draw(pooled: Tensor, entity: Tensor, generator: torch.Generator | None, num_rows: int | None = None) -> Tensor:
    """For each of the first N of C things another, of another entity, likelier when alike: (N,); −1 where none is.

    Args:
        pooled: (C, D_m). entity: (C,). num_rows: N; all unless given.
    """
    count = len(entity) if num_rows is None else num_rows
    unit = F.normalize(pooled.detach().float(), dim=-1)
    same = torch.cat([positives(entity[:count]), positives(entity[:count], entity[count:])], dim=1)
    return hard_negatives(unit[:count] @ unit.T / TEMPERATURE, same, generator)


def draw_pairs(
    candidates: dict[str, Candidates],
    count: int,
    generator: torch.Generator | None,
    wrong: Literal["both", "either"] = "both",
) -> dict[str, Tensor]:
    """Numbers of candidates, (M,) a modality: N pairs with a wrong first part, then N with a wrong second.

    With ``either`` the wrong first parts are those of rows 0, 2, …, the wrong second ones those of rows 1, 3, …
    Fewer where nothing can be confused with a row. In ALBEF (Li et al., 2021, arXiv:2107.07651) a wrong text is drawn
    by its likeness to the picture under the contrastive heads; here by its likeness to the right text before any
    fusion, so that matching does not need ``itc``. What is of the same entity is never wrong.
    """
    (a, first), (b, second) = candidates.items()
    others_a, others_b = (draw(each.pooled, each.entity, generator, count) for each in (first, second))
    rows = torch.arange(count, device=others_a.device)
    has, owns = others_a >= 0, others_b >= 0
    if wrong == "either":
        has, owns = has & (rows % 2 == 0), owns & (rows % 2 == 1)
    return {a: torch.cat([others_a[has], rows[owns]]), b: torch.cat([rows[has], others_b[owns]])}


def right_pairs(encoded: Encoded, names: tuple[str, str], is_hidden: bool = False) -> Pairs:
    """The rows that have both, fused; ``is_hidden``: as the joint masked forward reads them.

    That forward itself is taken where it reads nothing besides the two, as wrong pairs have nothing else.
    """
    rows = encoded.rows(*names)
    if not is_hidden:
        return Pairs(encoded.fused(*names), {name: encoded.read.mask(name)[rows] for name in names})
    all_tokens, all_masks, _ = encoded.hidden_tokens()
    mask = {name: all_masks[name][rows] for name in names}
    if set(all_tokens) == set(names):
        return Pairs({name: states[rows] for name, states in encoded.masked().items()}, mask)
    return Pairs(encoded.together({name: all_tokens[name][rows] for name in names}, mask), mask)


def wrong_pairs(
    encoded: Encoded,
    names: tuple[str, str],
    among: Literal["batch", "global", "queue"] = "batch",
    past: dict[str, Past] | None = None,
    is_hidden: bool = False,
    wrong: Literal["both", "either"] = "both",
) -> Pairs | None:
    """Wrong pairs, fused once for all objectives that ask for the same; None where there are none."""

    key = ("wrong", names, among, None if past is None else id(past), is_hidden, wrong)

    def compute() -> Pairs | None:
        rows = encoded.rows(*names)
        found = {name: Candidates.of(encoded, name, rows, among == "global", is_hidden) for name in names}
        listed = {name: past[name].listed(own) if past is not None else own for name, own in found.items()}
        drawn = encoded.drawn(key, lambda: draw_pairs(listed, len(rows), encoded.generator, wrong))
        if not len(drawn[names[0]]):
            return None
        tokens, mask = {}, {}
        for name, chosen in drawn.items():
            things, places = past[name].read(encoded, name, found[name], chosen) if past else (found[name], chosen)
            tokens[name], mask[name] = things.tokens[places], things.mask[places]
        return Pairs(encoded.together(tokens, mask), mask)

    return encoded.once(("wrong pairs", key), compute)


def _tokens(encoded: Encoded, name: str, is_hidden: bool) -> tuple[Tensor, Tensor]:
    """(B, S + L, D) and (B, S + L): whole, or as the joint masked forward reads them."""
    if not is_hidden:
        return encoded.read.tokens(name), encoded.read.mask(name)
    tokens, masks, _ = encoded.hidden_tokens()
    return tokens[name], masks[name]


def _pad(values: Tensor, length: int) -> Tensor:
    """(C, L, …) → (C, length, …), zeros or false at the end."""
    if values.shape[1] == length:
        return values
    return torch.cat([values, values.new_zeros(len(values), length - values.shape[1], *values.shape[2:])], dim=1)
