"""What `reader_distillation` and `joint_retrieval` taught about facts, in the hands of the retriever.

    logit r′(π) = γ logit r(π) + s ⟨M x_q, x_π⟩ + t,   max_π logit r′ = max_π logit r

r is the retriever's own judge; M, s and γ are the objective's (`kemm.objectives.retriever_head`). Both losses are a
softmax over facts and leave the offset open: t is such that the best path is believed as much as before, so that the
reader, who has learned what relevances mean, is told the same of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kemm.data.text_bank import TextBank
from kemm.objectives.retriever_head import FactRetriever
from retrieval.index.path_vectors import PathVectors
from retrieval.path_scorer import PathJudge
from retrieval.selection import by_cosine


class TrainedJudge:
    """Judge paths by what was learned with the reader.

    Args:
        base: the judge before; None for the cosine.
    """

    def __init__(self, head: FactRetriever, text: TextBank, base: PathJudge | None) -> None:
        self.text, self.base = text, base
        self.matrix = head.match.weight.detach().float().numpy()
        self.scale, self.trust = head.scale.item(), head.relevance_weight.item()

    def judge(self, question: str, paths: PathVectors) -> Callable[[np.ndarray], np.ndarray]:
        """A function from rows of ``paths`` (P,) to how likely each is what the question asks for, (P,) in [0, 1]."""
        vector = self.text.embed([question])[0]
        before = by_cosine(vector, paths) if self.base is None else self.base.judge(question, paths)
        asked = self.scale * (self.matrix @ vector)

        def relevance(rows: np.ndarray) -> np.ndarray:
            chances = np.clip(before(rows), 1e-3, 1 - 1e-3)  # as the objective clamps them
            own = np.log(chances / (1 - chances))
            logits = self.trust * own + paths.vectors[rows] @ asked
            logits += (own.max() - logits.max()) if len(rows) else 0.0
            return 1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30)))

        return relevance
