"""Things known in any of several modalities: the one record that pre-training data come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor

from kemm.data.facts import Facts, join_facts
from kemm.data.movable import Movable
from kemm.data.ties import Links, Mentions

UNKNOWN = -1
Tie = TypeVar("Tie", Mentions, Links)
NUM_ENTITIES = 1 << 40  # more than there are


@dataclass(frozen=True)
class Part(Movable):
    """One modality of B things.

    Attributes:
        present: (B,) bool; the rest of an absent row means nothing.
        raw: pictures (B, S, S, 3) uint8, or what enters the first trained block of their tower, (B, …) float; ids of
            words (B, T) int64; log-mel spectrograms (B, F, M) float; frames (B, F, S, S, 3) uint8; regions (B, R,
            D_f + 4 + C) float, the detector's features, box as shares of the picture, and chances of its classes.
            None where ``states`` stand for them.
        states: (B, L, D_m), what a frozen tower made of them, from its cache. None: the model runs the tower, or has
            none.
        mask: (B, L) bool, true at real words, frames or regions; None: all are.
    """

    present: Tensor
    raw: Tensor | None = None
    states: Tensor | None = None
    mask: Tensor | None = None

    def take(self, rows: Tensor) -> Part:
        """Some rows (N,), repeats allowed."""
        chosen = {name: value[rows] for name, value in _tensors(self).items()}
        return replace(self, **chosen)


@dataclass(frozen=True)
class Samples(Movable):
    """B things; what is not known of one of them is not ``present`` there.

    A text alone, a picture alone, a picture with its caption, a picture with a sound and a name: all are rows of this
    record, and one record may hold all of them.

    Attributes:
        parts: "vision", "language", "audio", "video", "regions" → that modality, of all B rows; only those that any
            row has.
        facts: the evidence of each row, where it has any: the modality "knowledge".
        mentions: where the rows' texts name nodes of their facts; ``links``: how some rows are joined in the graph.
        entity: (B,) number of what is shown or told of, among the run's pictured entities; ``UNKNOWN`` for none.
        label: (B,) number of its class; ``UNKNOWN`` for none.
        span: (B, 2) first and last frame of the film during which the text is spoken; ``UNKNOWN`` for none.
        further: role → other texts of the B rows: "tags" names what is shown, "rewritten" says something wrong of it,
            "retrieved" something else that is right, "next" goes on where the text ends, "linked" is of a document that
            the text's own links to.
    """

    parts: dict[str, Part]
    entity: Tensor
    label: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    span: Tensor = field(default_factory=lambda: torch.zeros(0, 2, dtype=torch.long))
    facts: Facts | None = None
    mentions: Mentions | None = None
    links: Links | None = None
    further: dict[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.label) != len(self.entity):
            object.__setattr__(self, "label", torch.full_like(self.entity, UNKNOWN))
        if len(self.span) != len(self.entity):
            object.__setattr__(self, "span", torch.full_like(self.entity, UNKNOWN)[:, None].repeat(1, 2))

    def __len__(self) -> int:
        return len(self.entity)

    @property
    def shown(self) -> Tensor:
        """(B,) equal where two rows show the same: their entity, or class where that is not known; else ``UNKNOWN``."""
        by_class = torch.where(self.label >= 0, self.label + NUM_ENTITIES, UNKNOWN)
        return torch.where(self.entity >= 0, self.entity, by_class)

    def has(self, *names: str) -> Tensor:
        """(B,) bool: the rows in which all of these modalities, and texts of these roles, are present."""
        found = torch.ones(len(self), dtype=torch.bool, device=self.entity.device)
        for name in names:
            found = found & self.present(name)
        return found

    def present(self, name: str) -> Tensor:
        """(B,) bool: the rows that have this modality, or a text of this role, or a "label", or a "span"."""
        if name == "label":
            return self.label >= 0
        if name == "span":
            return self.span[:, 0] >= 0
        if name == "knowledge" and self.facts is not None:
            return self.facts.mask.any(1)
        known = self.parts | self.further
        return known[name].present if name in known else torch.zeros_like(self.entity, dtype=torch.bool)

    def take(self, rows: Tensor) -> Samples:
        """Some rows (N,), without what ties them to the graph."""
        parts, further = ({name: part.take(rows) for name, part in of.items()} for of in (self.parts, self.further))
        return Samples(parts, self.entity[rows], self.label[rows], self.span[rows], further=further)


def join(all_samples: Sequence[Samples]) -> Samples | None:
    """The rows of several sources one after another; None of no rows. Texts and sounds are padded to the longest."""
    all_samples = [samples for samples in all_samples if len(samples)]
    if not all_samples:
        return None
    if len(all_samples) == 1:
        return all_samples[0]
    sizes = [len(samples) for samples in all_samples]
    nodes = [len(samples.facts.node_vectors) if samples.facts is not None else 0 for samples in all_samples]
    befores = [(sum(sizes[:place]), sum(nodes[:place])) for place in range(len(sizes))]

    def joined(of: Sequence[dict[str, Part]]) -> dict[str, Part]:
        names = dict.fromkeys(name for parts in of for name in parts)
        return {name: _join_parts([parts.get(name) for parts in of], sizes) for name in names}

    return Samples(
        joined([samples.parts for samples in all_samples]),
        torch.cat([samples.entity for samples in all_samples]),
        torch.cat([samples.label for samples in all_samples]),
        torch.cat([samples.span for samples in all_samples]),
        join_facts([samples.facts for samples in all_samples], sizes),
        _only([s.mentions and s.mentions.shifted(*before) for s, before in zip(all_samples, befores, strict=True)]),
        _only([s.links and s.links.shifted(before[0]) for s, before in zip(all_samples, befores, strict=True)]),
        further=joined([samples.further for samples in all_samples]),
    )


def _only(records: Sequence[Tie | None]) -> Tie | None:
    known = [record for record in records if record is not None]
    assert len(known) < 2, "two sources tie their rows to the graph"
    return known[0] if known else None


def _join_parts(parts: Sequence[Part | None], sizes: Sequence[int]) -> Part:
    """Rows of one modality; a source without it gives absent rows."""
    known: dict[str, Tensor] = {}
    for part in parts:
        known = (_tensors(part) if part is not None else {}) | known
    known.pop("present")
    present = [
        part.present if part is not None else torch.zeros(size, dtype=torch.bool)
        for part, size in zip(parts, sizes, strict=True)
    ]
    joined = {}
    for name, like in known.items():
        values = []
        for part, size in zip(parts, sizes, strict=True):
            value = getattr(part, name) if part is not None else None
            assert value is not None or part is None or not part.present.any(), f"a source gives no {name}"
            values.append(like.new_zeros(size, *like.shape[1:]) if value is None else value)
        longest = max(value.shape[1] for value in values)
        joined[name] = torch.cat([_pad(value, longest) for value in values])
    return Part(torch.cat(present), **joined)


def _pad(values: Tensor, length: int) -> Tensor:
    """(B, L, …) → (B, length, …), zeros or false at the end."""
    if values.shape[1] == length:
        return values
    return torch.cat([values, values.new_zeros(len(values), length - values.shape[1], *values.shape[2:])], dim=1)


def _tensors(part: Part) -> dict[str, Tensor]:
    return {name: value for name, value in vars(part).items() if isinstance(value, Tensor)}
