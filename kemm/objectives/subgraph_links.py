"""Link prediction on edges that are taken out of a subgraph, joint with masked words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kemm.encoders.encoder import mean_over
from kemm.fuse.encoded import Encoded
from kemm.objectives.hiding import FactHiding
from kemm.objectives.losses.triples import distmult_score, draw_negatives, negative_sampling
from kemm.objectives.masked_name import SAME
from kemm.objectives.objective import Context, Objective


class SubgraphLinks(Objective):
    """Score edges that the model was not given, from the rest of the subgraph and the text (``subgraph_links``).

        φ(h, r, t) = Σ_d h_d r_d t_d / √D,   L = mean over taken edges of −log σ(φ) − 1/n Σ_i log σ(−φ′_i)

    DRAGON (Yasunaga et al., 2022, arXiv:2210.09338): 15 % of the edges, 64 negatives, beside ``mlm`` in one forward.
    There nodes are tokens of their own; here h is what the fusion made of the row, and t the node's name, so
    that an entity without any edge left can be scored. Nodes are the whole batch's; drawn triples that are given
    as facts, of the same name, are no negatives.
    """

    needs = ("knowledge",)

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.hides = FactHiding(edges=settings.rate)
        self.row = nn.Linear(context.width, context.width)
        self.node = nn.Linear(context.text_width, context.width)
        self.relation = nn.Linear(context.text_width, context.width)

    def scored(self, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor] | None:
        """φ of taken edges (H,), of drawn ones (H, n), and which of these are wrong (H, n); None: none is taken."""
        self.rows(encoded)
        facts, hidden = encoded.samples.facts, encoded.hidden_facts
        if facts is None or hidden is None or not bool(hidden.edges.any()):
            return None
        fused = encoded.masked()
        state = mean_over(fused["knowledge"], hidden.shown(facts).mask)  # (B, D)
        if "language" in fused:
            state = state + fused["language"][:, 0]
        batch, taken = len(facts.mask), hidden.edges.nonzero().squeeze(1)
        row, scale = facts.row[taken], facts.node_vectors.shape[1] ** 0.5
        rows, tails = self.row(state), self.node(facts.node_vectors * scale)
        relation = self.relation(facts.relation_vectors[taken] * scale)
        tail, count = facts.far[taken], self.settings.negatives
        generator = encoded.generator or torch.Generator().manual_seed(0)
        heads, ends = row[:, None].expand(-1, count), tail[:, None].expand(-1, count)
        if batch > 1 and len(tails) > 1:  # half of the drawn triples have another head, as many another tail
            ends = draw_negatives(row.cpu(), tail.cpu(), len(tails), count, generator)[1].to(row.device)
            heads = draw_negatives(row.cpu(), tail.cpu(), batch, count, generator)[0].to(row.device)
        true = distmult_score(rows[row], relation, tails[tail])
        drawn = distmult_score(rows[heads], relation[:, None], tails[ends])  # (H, n)
        with torch.autocast(tails.device.type, enabled=False):
            same_tail = facts.node_vectors[ends.flatten()] @ facts.node_vectors[facts.far].T > SAME  # (H·n, M)
            same_kind = facts.relation_vectors[taken] @ facts.relation_vectors.T > SAME  # (H, M)
        is_fact = same_tail.unflatten(0, heads.shape) & same_kind[:, None] & (heads[..., None] == facts.row)
        return true, drawn, ~is_fact.any(-1)

    def forward(self, encoded: Encoded) -> Tensor:
        found = self.scored(encoded)
        if found is None:
            return self.row.bias.sum() * 0.0
        true, drawn, wrong = found
        return negative_sampling(true, drawn, wrong=wrong)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        """How often the true edge is above a drawn wrong one."""
        found = self.scored(encoded)
        if found is None or not bool(found[2].any()):
            return {}
        true, drawn, wrong = found
        above = (true[:, None] > drawn).float() + 0.5 * (true[:, None] == drawn).float()
        return {"accuracy": above[wrong].mean().item(), "chance": 0.5}
