"""Words and the entities that they name: ERNIE's denoising alignment, KnowBert's linking."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kemm.data.facts import Facts
from kemm.data.ties import RELATION, Mentions
from kemm.fuse.encoded import Encoded
from kemm.objectives.hiding import FactHiding
from kemm.objectives.losses.entity_alignment import denoising_alignment, linking_likelihood, linking_margin
from kemm.objectives.masked_name import SAME
from kemm.objectives.objective import Context, Objective

LITERAL = 1  # the column of a node's marks


class Naming(Objective):
    """What both share: mentions of entities, by their words and by the nodes they name."""

    needs = ("language", "knowledge", "mentions")

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.word = nn.Linear(context.width, context.width)
        self.node = nn.Linear(context.text_width, context.width)

    def named(self, encoded: Encoded) -> tuple[Mentions, Facts, Tensor]:
        """Mentions, facts, and which mentions name a node rather than a relation (Q,).

        Raises:
            MissingModality: the batch has no mentions.
        """
        samples = encoded.batch.samples
        mentions = self.require(samples.mentions if samples is not None else None, "texts that name their facts")
        assert samples is not None and samples.facts is not None
        return mentions, samples.facts, (mentions.kind != RELATION).nonzero().squeeze(1)

    def nodes(self, facts: Facts) -> Tensor:
        """(N, D)."""
        return self.node(facts.node_vectors * facts.node_vectors.shape[1] ** 0.5)


class DenoisingAlignment(Naming):
    """Which entity of the same text does this word name, when some are hidden or wrong? (``denoising_alignment``)

        L = mean over mentions of −log softmax_j ⟨W w_i, V e_j⟩[right],   j over the row's entities

    ERNIE (Zhang et al., 2019, arXiv:1905.07129): of the entities that are given, 5 % are another and 15 % hidden, here
    among the facts that stand beside the text; all are to be named. There they are added to the words.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.hides = FactHiding(nodes=settings.masked, replaced=settings.replaced)

    def compared(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """First words (Q, D), nodes (N, D), right ones (Q,), and which nodes are of the same row (Q, N)."""
        mentions, facts, chosen = self.named(encoded)
        row, first = mentions.row[chosen], mentions.first[chosen]
        words = self.word(encoded.masked()["language"][row, 1 + first])
        of_node = torch.zeros(len(facts.node_vectors), dtype=torch.long, device=row.device)
        of_node[facts.near] = facts.row
        of_node[facts.far] = facts.row
        return words, self.nodes(facts) / words.shape[1] ** 0.5, mentions.node[chosen], of_node == row[:, None]

    def forward(self, encoded: Encoded) -> Tensor:
        words, nodes, right, is_near = self.compared(encoded)
        everyone = torch.ones(len(words), 1, dtype=torch.bool, device=words.device)
        return denoising_alignment(words[:, None], nodes.expand(len(words), -1, -1), right[:, None], everyone, is_near)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        words, nodes, right, is_near = self.compared(encoded)
        if not len(words):
            return {}
        said = (words @ nodes.T).masked_fill(~is_near, -torch.inf).argmax(1)
        return {"accuracy": (said == right).float().mean().item(), "chance": (1 / is_near.sum(1)).mean().item()}


class EntityLinking(Naming):
    """Which entity does this mention link to, or to none? (``entity_linking``)

        ψ_k = ⟨W s, V e_k⟩ / √D,   s = mean state of the mention's words,   L = −log softmax_k(ψ)[gold], or a margin

    KnowBert (Peters et al., 2019, arXiv:1909.04164), likelihood or margin. Candidates there come from a table of names
    with priors; here they are the entity itself and those of the batch whose names are nearest to it, and a learned
    "none of these", right where the text names a number or another literal. Words are read without the facts.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.none = nn.Parameter(torch.randn(context.width) * 0.02)

    def scored(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """ψ (Q, 1 + K), none first, gold (Q,), and which are candidates (Q, 1 + K)."""
        mentions, facts, chosen = self.named(encoded)
        states = encoded.read.alone("language")[mentions.row[chosen], 1:]  # (Q, T, D)
        place = torch.arange(states.shape[1], device=states.device)
        within = (place >= mentions.first[chosen, None]) & (place <= mentions.last[chosen, None])
        span = self.word((states * within[..., None]).sum(1) / within.sum(1, keepdim=True))
        own = mentions.node[chosen]
        with torch.autocast(span.device.type, enabled=False):
            alike = facts.node_vectors[own] @ facts.node_vectors.T
        is_literal = facts.node_marks[:, LITERAL] > 0
        alike = alike.masked_fill((alike > SAME) | is_literal, -torch.inf)
        most = min(self.settings.candidates, alike.shape[1])
        near, others = alike.topk(most, dim=1)  # (Q, K)
        nil = is_literal[own]
        others[:, 0] = torch.where(nil, others[:, 0], own)  # the gold one, in the last's place
        is_there = torch.isfinite(near)
        is_there[:, 0] |= ~nil
        nodes = self.nodes(facts)[others]
        scores = (nodes * span[:, None]).sum(-1)
        scores = torch.cat([(span * self.none).sum(-1, keepdim=True), scores], dim=1) / span.shape[1] ** 0.5
        gold = (~nil).long()
        return scores, gold, torch.cat([torch.ones_like(is_there[:, :1]), is_there], dim=1)

    def forward(self, encoded: Encoded) -> Tensor:
        scores, gold, is_candidate = self.scored(encoded)
        if self.settings.loss == "margin":
            return linking_margin(scores, gold, is_candidate, self.settings.margin)
        return linking_likelihood(scores, gold, is_candidate)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """``chance``: any of the candidates alike."""
        scores, gold, is_candidate = self.scored(encoded)
        if not len(scores):
            return {}
        said = scores.masked_fill(~is_candidate, -torch.inf).argmax(1)
        return {"accuracy": (said == gold).float().mean().item(), "chance": (1 / is_candidate.sum(1)).mean().item()}
