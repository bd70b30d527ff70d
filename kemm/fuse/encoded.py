"""``Encoded``: what a step's model makes of a step's batch, each encoding computed when first asked for, and once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from kemm.data.batch import Batch
from kemm.data.lexicon import Lexicon
from kemm.data.samples import Samples
from kemm.fuse.masks import writing
from kemm.fuse.model import KEMM
from kemm.fuse.readings import Readings
from kemm.objectives.hiding import HiddenFacts, HiddenWords, PatchHiding, Plan, WordHiding
from kg.errors import InputError

Found = TypeVar("Found")


class MissingModality(InputError):
    """A batch lacks what an objective needs."""


class Encoded:
    """The encodings of one batch.

    Args:
        model: the model.
        batch: the step's data.
        generator: the step's randomness (what is hidden, which negatives), on the CPU.
        plan: what the joint masked forward hides.
        lexicon: of the model's words, where some are hidden.
        slow_model: a momentum copy of the model, where an objective asks for one.
        others: encodings of the same batch by another model, or by the same without ``shifts``: what is hidden there is
            hidden here, wrong pairs are the same, and frozen towers' states are theirs.
        shifts: modality → (B, S + L, D), what an adversary adds to the samples' tokens.

    Attributes:
        calls: how often each tower ran and tokens were fused: "vision tower", "language tower", "fusion", …
    """

    def __init__(
        self,
        model: KEMM,
        batch: Batch,
        generator: torch.Generator | None = None,
        plan: Plan | None = None,
        lexicon: Lexicon | None = None,
        slow_model: KEMM | None = None,
        others: Encoded | None = None,
        shifts: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.model, self.batch, self.generator, self.plan = model, batch, generator, plan or Plan()
        self.lexicon, self.slow_model = lexicon, slow_model
        self._others, self._shifts = others, shifts
        self._clean = others if others is not None and others.model is model else None
        self.calls: Counter[str] = Counter() if self._clean is None else self._clean.calls
        self._memo: dict[Any, Any] = {}

    # ── what is given ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def samples(self) -> Samples:
        """The rows of all sources.

        Raises:
            MissingModality: the batch has none.
        """
        if self.batch.samples is None:
            raise MissingModality("this step's batch has no samples")
        return self.batch.samples

    @cached_property
    def read(self) -> Readings:
        """States, tokens and vectors of the samples, by modality: (B, …) of all rows.

        Without what the plan drops everywhere.
        """
        hidden = [how for how in self.plan.patches if how.drop == "everywhere" and how.of in self.samples.parts]
        dropped = {how.of: self.hidden_patches(how) for how in hidden}
        others = self._others.read if self._others else None
        return Readings(self.model, self.samples, self.calls, others, self._shifts, dropped)

    def random(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)

    def rows(self, *names: str) -> Tensor:
        """(N,) numbers of the rows in which all of these modalities are present; empty where there are none."""
        if self.batch.samples is None:
            return torch.zeros(0, dtype=torch.long)
        return self.batch.samples.has(*names).nonzero().squeeze(1)

    def pooled(self, name: str, rows: Tensor) -> Tensor:
        """One vector a thing before fusion, (N, D_m): the tower's, or of the modality encoded alone (N, D)."""
        return self.read.pooled(name)[rows]

    def further(self, role: str) -> Readings:
        """The samples' texts of a role (``Samples.further``), read as "language": (B, …) of all rows.

        Raises:
            MissingModality: the batch has none.
        """
        if role not in self.samples.further:
            raise MissingModality(f"this step's batch has no {role} texts")
        if self._clean is not None:
            return self._clean.further(role)
        others = self._others.further(role) if self._others else None
        texts = Samples({"language": self.samples.further[role]}, self.samples.entity)
        return self.once(("further", role), lambda: Readings(self.model, texts, self.calls, others))

    # ── together ──────────────────────────────────────────────────────────────────────────────────────────────────

    def fused(self, *names: str) -> dict[str, Tensor]:
        """The rows that have all of these modalities, N of them, fused: modality → (N, S + L, D)."""
        return self.once(("fused", names), lambda: self.pair({name: self.rows(*names) for name in names}))

    def pair(self, rows: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fuse each modality's ``rows`` (N,), of whatever samples: right pairs and wrong ones. Computed anew."""
        tokens = {name: self.read.tokens(name)[chosen] for name, chosen in rows.items()}
        masks = {name: self.read.mask(name)[chosen] for name, chosen in rows.items()}
        biases = {name: bias[rows[name]] for name, bias in self.read.biases(*rows).items()}
        return self.together(tokens, masks, biases)

    def together(
        self, tokens: dict[str, Tensor], masks: dict[str, Tensor], biases: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Fuse tokens (N, L_m, D) that an objective has put together, masks (N, L_m) of what is there."""
        self.calls["fusion"] += 1
        return self.model.fuse(tokens, masks, biases)

    # ── hidden ────────────────────────────────────────────────────────────────────────────────────────────────────

    def hidden_words(self, how: WordHiding) -> HiddenWords:
        """The samples' texts with words hidden, (B, T) each."""

        def draw() -> HiddenWords:
            part = self.samples.parts["language"]
            assert part.raw is not None and part.mask is not None and self.lexicon is not None
            beside = [self.samples.present(name) for name in (*self.samples.parts, "knowledge") if name != "language"]
            is_alone = ~torch.stack(beside).any(0)
            real = part.mask & part.present[:, None]
            return how.draw(part.raw, real, is_alone, self.lexicon, self.generator, self.samples.mentions)

        return self.drawn(how, draw)

    def hidden_patches(self, how: PatchHiding) -> Tensor:
        """(B, P) bool: which patches of the samples' pictures, sounds or films are hidden; none of what is absent."""

        def draw() -> Tensor:
            part, entrance = self.samples.parts[how.of], self.model.entrance(how.of)
            there = entrance.mask(part)[:, entrance.summaries :]
            frames = there.shape[1] // (entrance.grid[0] * entrance.grid[1])
            drawn = how.draw(len(part.present), entrance.grid, self.generator, frames, part.states)
            return drawn.to(there.device) & there

        return self.drawn(how, draw)

    @cached_property
    def hidden_facts(self) -> HiddenFacts | None:
        """What the plan hides of the samples' facts; None where there are none, or nothing is to be hidden."""
        how, facts = self.plan.facts, self.batch.samples.facts if self.batch.samples is not None else None
        if how is None or facts is None:
            return None
        return self.drawn(how, lambda: how.draw(facts, self.generator))

    def masked(self, words: WordHiding | None = None, patches: PatchHiding | None = None) -> dict[str, Tensor]:
        """All samples with what they have of pictures, words and facts, some of it hidden: modality → (B, S + L, D).

        What the plan hides is hidden in one forward for all, as FLAVA's; another choice costs a forward of its own.
        """

        def fuse() -> dict[str, Tensor]:
            return self.together(*self.hidden_tokens(words, patches))

        return self.once(("masked", *self._planned(words, patches)), fuse)

    def hidden_tokens(
        self, words: WordHiding | None = None, patches: PatchHiding | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """What ``masked`` fuses: tokens (B, S + L, D), masks (B, S + L) of what is there, and biases, by modality."""
        planned = self._planned(words, patches)
        return self.once(("hidden tokens", *planned), lambda: self._hidden_tokens(*planned))

    def _planned(
        self, words: WordHiding | None, patches: PatchHiding | None
    ) -> tuple[WordHiding | None, tuple[PatchHiding, ...]]:
        """The plan's, where what is asked for is of it; else that alone."""
        plan, asked = self.plan, () if patches is None else (patches,)
        is_joint = words in (None, plan.words) and set(asked) <= set(plan.patches)
        return (plan.words, plan.patches) if is_joint else (words, asked)

    def _hidden_tokens(
        self, words: WordHiding | None, patches: tuple[PatchHiding, ...]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        tokens, masks = {}, {}
        for name, part in self.samples.parts.items():
            if not bool(part.present.any()):
                continue
            entrance, hidden = self.model.entrance(name), None
            states, mask = self.read.states, self.read.mask(name)
            how = next((each for each in patches if each.of == name), None)
            if how is not None:
                hidden = self.hidden_patches(how)
                if how.drop:
                    shown = torch.nn.functional.pad(~hidden, (entrance.summaries, 0), value=True)
                    mask, hidden = mask & shown, None
            if name == "language" and words is not None:
                tokens[name] = self.read.shifted(name, entrance(self._hidden_states(words)))
            elif hidden is not None:
                tokens[name] = self.read.shifted(name, entrance(states(name), hidden))
            else:
                tokens[name] = self.read.tokens(name)
            masks[name] = mask
        facts, hidden_facts = self.samples.facts, self.hidden_facts
        if facts is None:
            biases = {}
        elif hidden_facts is None:
            tokens["knowledge"], masks["knowledge"] = self.read.tokens("knowledge"), facts.mask
            biases = self.read.biases("knowledge")
        else:
            left = hidden_facts.shown(facts)
            self.calls["graph encoder"] += 1
            tokens["knowledge"] = self.model.knowledge(left, hidden_facts.nodes, hidden_facts.relations_of_shown)
            masks["knowledge"], biases = left.mask, {"knowledge": left.lay_out(left.log_score)}
        return tokens, masks, biases

    def _hidden_states(self, words: WordHiding) -> Tensor:
        """(B, T, D_m) of the texts with words hidden; by an adversary's encodings those of the clean ones."""
        if self._clean is not None:
            return self._clean._hidden_states(words)
        return self.once(
            ("hidden states", words), lambda: self.read.states_of("language", self.hidden_words(words).ids)
        )

    # ── written ───────────────────────────────────────────────────────────────────────────────────────────────────

    def causal(
        self, prefix: Sequence[str] = ("vision",), given: Tensor | None = None, through: Tensor | None = None
    ) -> Tensor:
        """States (N, T, D) of texts that read what stands before them and their ``prefix``, which reads itself.

        Of the rows that have a text and all of the prefix; the state at t knows words up to t, so it says the next.

        Args:
            prefix: modalities; none for text alone.
            given, through: see ``written``.
        """

        def compute() -> Tensor:
            rows, part = self.rows("language", *prefix), self.samples.parts["language"]
            assert part.raw is not None and part.mask is not None
            entrance: Any = self.model.entrance("language")
            return self.written(rows, prefix, entrance.words(part.raw[rows]), part.mask[rows], given, through)

        key = ("causal", tuple(prefix), *(None if each is None else id(each) for each in (given, through)))
        return self.once(key, compute)

    def written(
        self,
        rows: Tensor,
        prefix: Sequence[str],
        words: Tensor,
        mask: Tensor,
        given: Tensor | None = None,
        through: Tensor | None = None,
    ) -> Tensor:
        """States (N, T, D) of words (N, T, D) that an objective has put together, each knowing those up to itself.

        Args:
            rows: (N,) whose prefix stands before them. mask: (N, T) bool, the real words.
            given: (N,) how many of the first words are read by all, both ways (prefix language models).
            through: (K, D) tokens that stand before the prefix and are all of it that words read (BLIP-2's queries).
        """
        tokens = {name: self.read.tokens(name)[rows] for name in prefix}
        masks = {name: self.read.mask(name)[rows] for name in prefix}
        biases = {name: bias[rows] for name, bias in self.read.biases(*prefix).items()}
        if through is not None:
            first, count = next(name for name in self.model.fusion.order if name in tokens), len(through)
            queries = through.to(tokens[first]).expand(len(rows), -1, -1)
            tokens[first] = torch.cat([queries, tokens[first]], dim=1)
            masks[first] = torch.nn.functional.pad(masks[first], (count, 0), value=True)
            biases = {n: torch.nn.functional.pad(b, (count * (n == first), 0)) for n, b in biases.items()}
        tokens["language"], masks["language"] = words, mask
        lengths = {name: tokens[name].shape[1] for name in self.model.fusion.order if name in tokens}
        may = writing(lengths, "language", given, 0 if through is None else len(through)).to(rows.device)
        self.calls["fusion"] += 1
        return self.model.fuse(tokens, masks, biases, may)["language"]

    # ── asked ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def masked_nodes(self) -> Tensor | None:
        """(N,) bool: entities hidden from the questions' facts; never an anchor, nor an end of an answering fact."""
        if self._others is not None:
            return self._others.masked_nodes
        questions = self.batch.questions
        if questions is None or questions.facts is None or not self.plan.nodes:
            return None
        facts = questions.facts
        drawn = self.random(len(facts.node_vectors)).to(facts.node_vectors.device) < self.plan.nodes
        drawn &= facts.node_marks[:, 0] == 0
        needed = questions.pointer_targets.flatten()[facts.slot]
        drawn[facts.far[needed]] = False
        drawn[facts.near[needed]] = False
        return drawn

    @cached_property
    def asked(self) -> dict[str, Tensor]:
        """Questions fused with their pictures and facts, some entities hidden."""
        if self._clean is not None:
            return self._clean.asked
        self.calls["fusion"] += 1
        return self.questions.fuse(self.masked_nodes)

    @cached_property
    def questions(self) -> Readings:
        """Their words and pictures."""
        if self._clean is not None:
            return self._clean.questions
        assert self.batch.questions is not None
        others = self._others.questions if self._others is not None else None
        return Readings(self.model, self.batch.questions.samples, self.calls, others)

    # ── by the slow copy ──────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def slow(self) -> Encoded:
        """What the momentum copy makes of the same batch, the same hidden; without gradients."""
        if self._clean is not None:
            return self._clean.slow
        assert self.slow_model is not None, "an objective that asks for it says so: wants_momentum"
        return Encoded(self.slow_model, self.batch, self.generator, self.plan, self.lexicon, others=self)

    def shifted(self, shifts: Mapping[str, Tensor]) -> Encoded:
        """The same batch with something added to its samples' tokens."""
        generator = torch.Generator().manual_seed(0)
        return Encoded(
            self.model, self.batch, generator, self.plan, self.lexicon, self.slow_model, others=self, shifts=shifts
        )

    def drawn(self, key: Any, draw: Callable[[], Found]) -> Found:
        """What is drawn at random once, for this model's encodings, the slow copy's and an adversary's alike."""
        return self._others.drawn(key, draw) if self._others is not None else self.once(key, draw)

    def once(self, key: Any, compute: Callable[[], Found]) -> Found:
        """What ``compute`` gives, which several objectives may ask for under this key."""
        if key not in self._memo:
            self._memo[key] = compute()
        found: Found = self._memo[key]
        return found
