"""Things known in any of several modalities: the one record that pre-training data come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from kemm.data.batch import Facts

UNKNOWN = -1
NUM_ENTITIES = 1 << 40  # more than there are


class Movable:
    """A dataclass of tensors that goes to a device whole."""

    def to(self, device: torch.device | str) -> Any:
        moved: dict[str, Any] = {}
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if isinstance(value, Tensor | Movable):
                moved[item.name] = value.to(device)
            elif isinstance(value, dict):
                moved[item.name] = {key: part.to(device) for key, part in value.items()}
        return replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True)
class Part(Movable):
    """One modality of B things.

    Attributes:
        present: (B,) bool; the rest of an absent row means nothing.
        raw: pictures (B, S, S, 3) uint8; ids of words (B, T) int64; log-mel spectrograms (B, F, M) float; frames
            (B, F, S, S, 3) uint8. None where ``states`` stand for them.
        states: (B, L, D_m), what a frozen tower made of them, from its cache. None: the model runs the tower, or has
            none.
        mask: (B, L) bool, true at real words or frames; None: all are.
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
        parts: "vision", "language", "audio", "video" → that modality, of all B rows; only those that any row has.
        facts: the evidence of each row, where it has any.
        entity: (B,) number of what is shown or told of, among the run's pictured entities; ``UNKNOWN`` for none.
        label: (B,) number of its class; ``UNKNOWN`` for none.
        further: role → other texts of the B rows: "tags" names what is shown, "rewritten" says something wrong of it,
            "retrieved" something else that is right, "next" goes on where the text ends, "linked" is of a document that
            the text's own links to.
    """

    parts: dict[str, Part]
    entity: Tensor
    label: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    facts: Facts | None = None
    further: dict[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.label) != len(self.entity):
            object.__setattr__(self, "label", torch.full_like(self.entity, UNKNOWN))

    def __len__(self) -> int:
        return len(self.entity)

    @property
    def shown(self) -> Tensor:
        """(B,) equal where two rows show the same: their entity, or class where that is not known; else ``UNKNOWN``."""
        by_class = torch.where(self.label >= 0, self.label + NUM_ENTITIES, UNKNOWN)
        return torch.where(self.entity >= 0, self.entity, by_class)

    def has(self, *names: str) -> Tensor:
        """(B,) bool: the rows in which all of these modalities, and texts of these roles, are present."""
        found, known = torch.ones(len(self), dtype=torch.bool, device=self.entity.device), self.parts | self.further
        for name in names:
            found = found & known[name].present if name in known else torch.zeros_like(found)
        return found

    def take(self, rows: Tensor) -> Samples:
        """Some rows (N,), without facts."""
        parts, further = ({name: part.take(rows) for name, part in of.items()} for of in (self.parts, self.further))
        return Samples(parts, self.entity[rows], self.label[rows], further=further)


def join(all_samples: Sequence[Samples]) -> Samples | None:
    """The rows of several sources one after another; None of no rows. Texts and sounds are padded to the longest."""
    all_samples = [samples for samples in all_samples if len(samples)]
    if not all_samples:
        return None
    if len(all_samples) == 1:
        return all_samples[0]
    assert all(samples.facts is None for samples in all_samples), "samples with facts are batches of their own"
    sizes = [len(samples) for samples in all_samples]

    def joined(of: Sequence[dict[str, Part]]) -> dict[str, Part]:
        names = dict.fromkeys(name for parts in of for name in parts)
        return {name: _join_parts([parts.get(name) for parts in of], sizes) for name in names}

    return Samples(
        joined([samples.parts for samples in all_samples]),
        torch.cat([samples.entity for samples in all_samples]),
        torch.cat([samples.label for samples in all_samples]),
        further=joined([samples.further for samples in all_samples]),
    )


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
