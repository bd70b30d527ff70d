"""What objectives that train the retriever with the reader share: a judge of facts, and a reader of one fact."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kemm.data.batch import Questions
from kemm.data.fact_table import RELEVANCE
from kemm.objectives.objective import Context


class FactRetriever(nn.Module):
    """p(f | q) before anything is fused: what a retriever can know of a fact.

        logit_f = s ⟨M x_q, x_path(f)⟩ + γ logit(relevance of f) + β log P(anchor of f)

    x are the frozen text tower's vectors; ``M`` starts as the identity, so that the first judge is the cosine. ``M``,
    s and γ are what training leaves for the retriever: `kemm.predict.trained_judge` puts them into its judge of paths.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.match = nn.Linear(context.text_width, context.text_width, bias=False)
        nn.init.eye_(self.match.weight)
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.relevance_weight = nn.Parameter(torch.tensor(1.0))
        self.link_weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, questions: Questions) -> Tensor:
        """Logits (B, K), −∞ where there is no fact."""
        facts = questions.facts
        assert facts is not None
        path = facts.lay_out(facts.path_vectors)  # (B, K, D_t)
        match = torch.einsum("bd,bkd->bk", self.match(questions.text_vector), path) * self.scale
        relevance = facts.lay_out(facts.marks)[..., RELEVANCE].clamp(1e-3, 1 - 1e-3)
        match = match + torch.logit(relevance) * self.relevance_weight
        match = match + facts.lay_out(facts.log_score) * self.link_weight
        return match.float().masked_fill(~facts.mask, -torch.inf)


class FactReader(nn.Module):
    """How much the fused encoder makes of each fact: logit_f = ⟨W_q h_summary, W_k h_f⟩ / √D."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.query = nn.Linear(context.width, context.width)
        self.key = nn.Linear(context.width, context.width, bias=False)  # a bias would change no softmax

    def forward(self, fused: dict[str, Tensor]) -> Tensor:
        """Logits (B, K); those of facts that aren't there mean nothing."""
        summary, tokens = fused["language"][:, 0], fused["knowledge"]  # (B, D), (B, K, D)
        return (torch.einsum("bd,bkd->bk", self.query(summary), self.key(tokens)) / summary.shape[1] ** 0.5).float()


def first_facts(retriever: Tensor, reader: Tensor, questions: Questions) -> dict[str, float]:
    """How often either's first fact (of logits (B, K)) answers, of questions that a fact answers; ``chance`` is that of
    any of their facts."""
    facts, right = questions.facts, questions.pointer_targets
    answered = right.any(1)
    if facts is None or not answered.any():
        return {}
    hits = [
        right.gather(1, logits.masked_fill(~facts.mask, -torch.inf).argmax(1, keepdim=True))[answered].float().mean()
        for logits in (retriever, reader)
    ]
    share = right.sum(1)[answered] / facts.mask.sum(1)[answered]
    return {"accuracy": hits[0].item(), "reader_accuracy": hits[1].item(), "chance": share.mean().item()}
