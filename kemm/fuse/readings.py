"""What a model makes of the modalities of some samples before they are fused, each part computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from kemm.data.samples import Part, Samples
from kemm.encoders.encoder import mean_over
from kemm.fuse.model import KEMM


class Readings:
    """States, tokens and vectors of B samples; rows of what is absent are zeros.

    Args:
        calls: counts runs of towers and fusions.
        others: of another model on the same samples, whose frozen towers' states are taken; of the same, all states.
        shifts: modality → (B, S + L, D), added to its tokens.
        dropped: modality → (B, P) bool, patches that nothing sees.
    """

    def __init__(
        self,
        model: KEMM,
        samples: Samples,
        calls: Counter[str],
        others: Readings | None = None,
        shifts: Mapping[str, Tensor] | None = None,
        dropped: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.model, self.samples, self.calls, self.others = model, samples, calls, others
        self.shifts, self.dropped = shifts or {}, dropped or {}
        self._states: dict[str, Tensor] = {}
        self._tokens: dict[str, Tensor] = {}
        self._pooled: dict[str, Tensor] = {}
        self._alone: dict[str, Tensor] = {}

    def states(self, name: str) -> Tensor:
        """(B, L, D_m) of the tower, or the raw itself."""
        if name not in self._states:
            others = self.others
            if others is not None and (others.model is self.model or self.model.entrance(name).is_frozen):
                return others.states(name)
            self._states[name] = self.states_of(name)
        return self._states[name]

    def states_of(self, name: str, raw: Tensor | None = None) -> Tensor:
        """The same, of ``raw`` (B, …) in the place of the samples' own; a tower runs on the rows that are present."""
        part, entrance = self.samples.parts[name], self.model.entrance(name)
        is_cached = raw is None and part.states is not None and entrance.is_frozen
        if is_cached or not entrance.pooled_width:
            return entrance.read(part, raw)
        self.calls[f"{name} tower"] += 1
        if bool(part.present.all()):
            return entrance.read(part, raw)
        rows = part.present.nonzero().squeeze(1)
        chosen = part.take(rows)
        found = entrance.read(Part(chosen.present, chosen.raw, None, chosen.mask), None if raw is None else raw[rows])
        return found.new_zeros(len(part.present), *found.shape[1:]).index_copy(0, rows, found)

    def tokens(self, name: str) -> Tensor:
        """(B, S + L, D)."""
        if name not in self._tokens:
            is_known = name == "knowledge"
            tokens = self.facts() if is_known else self.model.entrance(name)(self.states(name))
            self._tokens[name] = self.shifted(name, tokens)
        return self._tokens[name]

    def facts(self, masked_nodes: Tensor | None = None) -> Tensor:
        """(B, K, D) of the samples' facts, some entities hidden; no summary stands before them."""
        assert self.samples.facts is not None
        self.calls["graph encoder"] += 1
        return self.model.knowledge(self.samples.facts, masked_nodes)

    def biases(self, *names: str) -> dict[str, Tensor]:
        """Modality → (B, L): facts are read by how sure it is whom they are about."""
        facts = self.samples.facts
        return {"knowledge": facts.lay_out(facts.log_score)} if facts is not None and "knowledge" in names else {}

    def shifted(self, name: str, tokens: Tensor) -> Tensor:
        """Tokens, and what an adversary adds to them."""
        return tokens + self.shifts[name] if name in self.shifts else tokens

    def places(self, name: str) -> tuple[Tensor, Tensor]:
        """A vector each word or patch before modalities meet, (B, L, D_m) as ``pooled``; which are there (B, L)."""
        entrance, part = self.model.entrance(name), self.samples.parts[name]
        if entrance.pooled_width:
            states = self.states(name)
            there = part.present[:, None].expand(states.shape[:2])
            return states, there if part.mask is None else there & part.mask
        return self.alone(name)[:, entrance.summaries :], self.mask(name)[:, entrance.summaries :]

    def mask(self, name: str) -> Tensor:
        """(B, S + L) bool, true at what is there."""
        if name == "knowledge":
            assert self.samples.facts is not None
            return self.samples.facts.mask
        entrance = self.model.entrance(name)
        mask = entrance.mask(self.samples.parts[name])
        if name in self.dropped:
            mask = mask & functional.pad(~self.dropped[name], (entrance.summaries, 0), value=True)
        return mask

    def followed(self, rows: Tensor, by: Readings, its_rows: Tensor, segment: Tensor) -> tuple[Tensor, Tensor]:
        """Texts with other texts after them, told apart by ``segment`` (D,): tokens (N, L, D) and mask (N, L).

        Each has been read by itself, so neither tower nor table runs again for another pairing.
        """
        tokens = torch.cat([self.tokens("language")[rows], by.tokens("language")[its_rows] + segment], dim=1)
        return tokens, torch.cat([self.mask("language")[rows], by.mask("language")[its_rows]], dim=1)

    def alone(self, name: str) -> Tensor:
        """(B, S + L, D) of the modality read by the fusion encoder without any other, as BEiT-3's two encoders."""
        if name not in self._alone:
            self.calls["fusion"] += 1
            self._alone[name] = self.model.fuse({name: self.tokens(name)}, {name: self.mask(name)})[name]
        return self._alone[name]

    def pooled(self, name: str) -> Tensor:
        """One vector each: of the tower (B, D_m), or without one the summary of ``alone`` (B, D).

        Of facts the mean (B, D) of them alone, the entity that they are about hidden: its name would tell all.
        """
        if name not in self._pooled and name == "knowledge":
            facts = self.samples.facts
            assert facts is not None
            self.calls["fusion"] += 1
            tokens = {name: self.facts(facts.node_marks[:, 0] > 0)}
            fused = self.model.fuse(tokens, {name: facts.mask}, self.biases(name))[name]
            self._pooled[name] = mean_over(fused, facts.mask)
        if name not in self._pooled:
            entrance = self.model.entrance(name)
            if entrance.pooled_width:
                self._pooled[name] = entrance.pooled(self.states(name), self.samples.parts[name])
            else:
                self._pooled[name] = self.alone(name)[:, 0]
        return self._pooled[name]

    def fuse(self, masked_nodes: Tensor | None = None) -> dict[str, Tensor]:
        """All that the samples have, their facts too, in one forward."""
        names = [name for name, part in self.samples.parts.items() if bool(part.present.any())]
        tokens = {name: self.tokens(name) for name in names}
        masks = {name: self.mask(name) for name in names}
        if self.samples.facts is not None:
            tokens["knowledge"], masks["knowledge"] = self.facts(masked_nodes), self.samples.facts.mask
        return self.model.fuse(tokens, masks, self.biases(*tokens))


@torch.inference_mode()
def read_once(model: KEMM, samples: Samples) -> dict[str, Tensor]:
    """Fuse some samples with their facts, for answering."""
    return Readings(model, samples, Counter()).fuse()
