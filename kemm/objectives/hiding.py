"""What is hidden of words, patches and facts in masked modelling; equal choices share one forward of a step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from kemm.data.facts import Facts
from kemm.data.lexicon import Lexicon
from kemm.data.ties import ANCHOR, RELATION, Mentions
from kemm.objectives.losses.picture_masks import as_tubes, hide_blocks, hide_random, hide_unattended
from kemm.objectives.losses.picture_targets import features_on
from kemm.objectives.losses.structure_mask import mask_chances
from kemm.objectives.losses.text_masks import corrupt, hide_spans, hide_units, token_units
from kg.errors import InputError


class HiddenWords(NamedTuple):
    """Texts with words hidden: ``ids`` (B, T) to be read, ``targets`` (B, T) the hidden ids, −1 elsewhere."""

    ids: Tensor
    targets: Tensor


@dataclass(frozen=True)
class WordHiding:
    """Which words are hidden.

    Attributes:
        rate: share of the units of a text, at least one; ``rate_alone``: of a text that nothing stands beside.
        units: single tokens (BERT), whole words (ViLT), spans of words (SpanBERT); mentions whole, drawn three times as
            often as other words (ERNIE); names of things, relations and attributes alone, where a text has them
            (ERNIE-ViL's scene-graph tokens); the thing itself and, twice as often as the rest, what the graph tells of
            it (ROSITA's structural knowledge masking).
        masked, replaced: of the hidden, how many show the mask's token and how many any other word.
    """

    rate: float
    rate_alone: float | None = None
    units: Literal["token", "word", "span", "entity", "scene", "structure"] = "token"
    masked: float = 1.0
    replaced: float = 0.0

    def draw(
        self,
        ids: Tensor,
        real: Tensor,
        is_alone: Tensor,
        lexicon: Lexicon,
        generator: torch.Generator | None,
        mentions: Mentions | None = None,
    ) -> HiddenWords:
        """Hide words of ``ids`` (B, T), whose padding ``real`` (B, T) bool names; drawn on the CPU.

        Args:
            is_alone: (B,) bool, texts that nothing stands beside.
            mentions: what the texts name of the graph; without any, words are words.

        Raises:
            InputError: the tokenizer has no word for what is hidden.
        """
        if lexicon.mask_id is None:
            raise InputError("this text model's tokenizer has no mask token, so no word can be hidden: set model.text")
        generator = generator or torch.Generator().manual_seed(0)
        ids, real, is_alone, device = ids.cpu(), real.cpu(), is_alone.cpu(), ids.device
        is_word = real & ~lexicon.is_special[ids]
        words = ((is_word & ~lexicon.continues[ids]).long().cumsum(1) - 1).clamp(min=0).masked_fill(~is_word, -1)
        units = token_units(is_word) if self.units == "token" else words
        weight = None
        if mentions is not None and self.units in ("entity", "scene"):
            units, weight = _named(words, mentions, self.units == "scene")

        def hide(rate: float) -> Tensor:
            if self.units == "span":
                return hide_spans(units, rate, generator)
            if self.units == "structure" and mentions is not None:
                return _structural(words, mentions, rate, generator)
            return hide_units(units, rate, generator, weight)

        hidden = hide(self.rate)
        if self.rate_alone is not None and bool(is_alone.any()):
            hidden = torch.where(is_alone[:, None], hide(self.rate_alone), hidden)
        if self.units == "span":  # all words of a span share their fate, as SpanBERT's
            starts = hidden & ~torch.nn.functional.pad(hidden[:, :-1], (1, 0))
            units = starts.long().cumsum(1)
        read, targets = corrupt(
            ids, hidden, lexicon.mask_id, lexicon.ordinary, generator, units, self.masked, self.replaced
        )
        return HiddenWords(read.to(device), targets.to(device))


def _units(words: Tensor, mentions: Mentions) -> tuple[Tensor, Tensor]:
    """Words (B, T) with each mention as one unit, numbered by its first token; and the mention of each token, or −1."""
    named = mentions.units(*words.shape).masked_fill(words < 0, -1)
    kinds = torch.where(named >= 0, named + words.shape[1], words)  # beyond the numbers of words
    first = (kinds[:, :, None] == kinds[:, None, :]).int().argmax(2)
    return first.masked_fill(words < 0, -1), named


def _named(words: Tensor, mentions: Mentions, is_scene: bool) -> tuple[Tensor, Tensor]:
    """Units (B, T) and weights: 3 of mentions, 1 of other words. Of a scene mentions alone, in rows that have any."""
    units, named = _units(words, mentions)
    is_named = named >= 0
    if is_scene:
        units = units.masked_fill(is_named.any(1, keepdim=True) & ~is_named, -1)
    return units, 1.0 + 2.0 * is_named


def _structural(words: Tensor, mentions: Mentions, rate: float, generator: torch.Generator) -> Tensor:
    """(B, T) bool: the anchor of each row, its relations and tails by twice the rate, other words by it.

    A text without an anchor has whole words hidden.
    """
    units, named = _units(words, mentions)
    kind = torch.where(named >= 0, mentions.kind.cpu()[named.clamp(min=0)], ANCHOR - 1)
    anchor, told, is_node = kind == ANCHOR, kind >= RELATION, words >= 0
    chances = mask_chances(anchor, told[:, :, None] & anchor[:, None, :], is_node, rate, min(1.0, 2 * rate))
    drawn = torch.rand(words.shape, generator=generator).gather(
        1, units.clamp(min=0)
    )  # a unit's parts share their fate
    return torch.where(anchor.any(1, keepdim=True), drawn < chances, hide_units(words, rate, generator))


@dataclass(frozen=True)
class PatchHiding:
    """Which patches of pictures, sounds or films are hidden.

    Attributes:
        rate: share of the patches of each, at least one.
        how: one by one; in rectangles (BEiT); the same of every frame (tubes: VideoMAE); what a teacher attends to most
            (VIOLET), or least (UMT). That is drawn by the sum of squares of the frozen tower's features, which stands
            for attention where a tower has none (Zagoruyko and Komodakis, 2017, arXiv:1612.03928).
        drop: the encoder doesn't see them at all (MAE) instead of a mask's token in their places; "everywhere": in
            no other forward of the step either (FLIP, Li et al., 2023, arXiv:2212.00794).
        of: whose.
    """

    rate: float
    how: Literal["single", "blocks", "tubes", "attended", "unattended"] = "single"
    drop: bool | Literal["everywhere"] = False
    of: str = "vision"

    def draw(
        self,
        batch: int,
        grid: tuple[int, int],
        generator: torch.Generator | None,
        frames: int = 1,
        states: Tensor | None = None,
    ) -> Tensor:
        """(B, F·P) bool, true at the hidden; as many in every picture.

        Args:
            frames: F. states: (B, P', D_v), a tower's features.

        Raises:
            InputError: what a teacher attends to is asked for, and there are no features.
        """
        generator = generator or torch.Generator().manual_seed(0)
        patches = grid[0] * grid[1]
        rate = max(self.rate, 1 / patches)
        if self.how == "blocks":
            drawn = [hide_blocks(batch, *grid, rate, generator, min(16, max(1, patches // 8))) for _ in range(frames)]
            return torch.cat(drawn, dim=1)
        if self.how == "tubes":
            return as_tubes(hide_random(batch, patches, rate, generator), frames)
        if self.how == "single":
            return hide_random(batch, frames * patches, rate, generator)
        if states is None:
            raise InputError(
                f"patches can't be hidden by how '{self.how}' they are: that needs the frozen vision tower"
            )
        attention = features_on(states, grid).float().square().sum(-1).cpu()
        return hide_unattended(attention if self.how == "unattended" else 1 / (attention + 1e-6), rate, generator)


class HiddenFacts(NamedTuple):
    """Facts with parts hidden, (N,) and (M,) of all of them.

    Attributes:
        nodes: (N,) bool, their names are hidden; ``given``: (N,) the node whose name stands there, itself unless
            replaced.
        relations: (M,) bool, hidden; ``edges``: (M,) bool, taken out whole.
    """

    nodes: Tensor
    given: Tensor
    relations: Tensor
    edges: Tensor

    def shown(self, facts: Facts) -> Facts:
        """What may be read: without the edges that are out, other names where they are replaced."""
        replaced = replace(
            facts, node_vectors=facts.node_vectors[self.given], node_entity=facts.node_entity[self.given]
        )
        return replaced.without(self.edges)

    @property
    def relations_of_shown(self) -> Tensor:
        """``relations`` of the facts that are ``shown``."""
        return self.relations[~self.edges]


@dataclass(frozen=True)
class FactHiding:
    """What is hidden of facts: shares of their nodes, but never the one they are about; of relations; of edges.

    Attributes:
        nodes: names hidden; ``replaced``: names that are another node's (ERNIE: .15 and .05).
        relations: hidden, the entities seen; ``edges``: taken out whole (DRAGON: .15).
    """

    nodes: float = 0.0
    replaced: float = 0.0
    relations: float = 0.0
    edges: float = 0.0

    def joined(self, other: FactHiding | None) -> FactHiding:
        """The larger share of each."""
        if other is None:
            return self
        return FactHiding(*(max(getattr(self, name), getattr(other, name)) for name in vars(self)))

    def draw(self, facts: Facts, generator: torch.Generator | None) -> HiddenFacts:
        """Drawn on the CPU; a fact loses one thing at most, and the first of a row is never taken out."""
        device, generator = facts.far.device, generator or torch.Generator().manual_seed(0)
        num_nodes = len(facts.node_vectors)
        of_node = torch.rand(num_nodes, generator=generator).to(device)
        is_free = facts.node_marks[:, 0] == 0
        nodes = is_free & (of_node < self.nodes)
        swapped = is_free & (of_node >= self.nodes) & (of_node < self.nodes + self.replaced)
        step = torch.randint(1, max(num_nodes, 2), (num_nodes,), generator=generator).to(device)
        own = torch.arange(num_nodes, device=device)
        given = torch.where(swapped, (own + step) % num_nodes, own)
        whole = ~(nodes | swapped)[facts.far]
        of_fact = torch.rand(len(facts.far), generator=generator).to(device)
        edges = whole & (of_fact < self.edges)
        relations = whole & (of_fact >= self.edges) & (of_fact < self.edges + self.relations)
        row = facts.row
        first = torch.full((len(facts.mask),), len(row), device=device).scatter_reduce(
            0, row, torch.arange(len(row), device=device), "amin"
        )
        edges[first[first < len(row)]] = False
        return HiddenFacts(nodes, given, relations, edges)


@dataclass(frozen=True)
class Plan:
    """What one joint forward of a step hides: of words, of patches of each modality, and of facts; ``nodes``: of
    questions' facts.
    """

    words: WordHiding | None = None
    patches: tuple[PatchHiding, ...] = ()
    nodes: float = 0.0
    facts: FactHiding | None = None
