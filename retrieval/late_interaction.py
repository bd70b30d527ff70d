"""Late interaction: each token of a question, each region of a picture, against the token of a fact most like it.

    explained(q, d) = Σ_i w_i max_j ⟨A q_i, A d_j⟩        is what is asked for in the fact?
    found(q, d)     = Σ_j w′_j max_i ⟨A q_i, A d_j⟩       is what the fact says asked for?

q_i and d_j are token states, projected by A (K, D) and scaled to length 1; w and w′ are weights that sum to one.
``explained`` is ColBERT's MaxSim (Khattab and Zaharia, 2020, arXiv:2004.12832) as a mean rather than a sum, so that
long and short questions can be compared. Until something is learned, A is the identity and every token weighs the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from retrieval.embed import TokenEmbedder

#: Tokens of a fact that are looked at; what follows is cut off.
MOST_TOKENS = 24
#: Bytes that the projected tokens of facts may take.
MEMORY = 64 * 2**20
#: Added to a cosine, it is never the largest.
ABSENT = -4.0


class LateInteraction:
    """Score texts for a question, token by token.

    Args:
        text: gives the token states of questions and facts.
        projection: A (K, D); None for the identity.
        question_weight, fact_weight: (D,), of whose product with a state the softplus is the token's weight before
            they are made to sum to one; None: all the same.
        memory: bytes that projected tokens of facts may take, as float16; the least recently used go.
    """

    def __init__(
        self,
        text: TokenEmbedder,
        projection: np.ndarray | None = None,
        question_weight: np.ndarray | None = None,
        fact_weight: np.ndarray | None = None,
        memory: int = MEMORY,
    ) -> None:
        self.text, self.projection, self.memory = text, projection, memory
        self._weights = question_weight, fact_weight
        self._held: OrderedDict[str, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self.num_bytes = 0

    def scores(
        self, question: str, facts: Sequence[str], regions: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """``explained`` and ``found`` of each of N facts, float32 (N,) each, in [−1, 1].

        Args:
            regions: (n, D), what a picture shows, in the space of the token states: counted as further tokens.
        """
        states = self.text.tokens([question])[0].astype(np.float32)
        if regions is not None and len(regions):
            states = np.concatenate([states, np.asarray(regions, dtype=np.float32)])
        tokens, importance = self._project(states, self._weights[0])  # (T, K), (T,)
        parts, shares = self._laid_out(facts)  # (N, J, K), (N, J)
        likeness = (parts.reshape(-1, parts.shape[2]) @ tokens.T).reshape(*shares.shape, len(tokens))  # (N, J, T)
        absent = np.where(shares > 0, 0.0, ABSENT).astype(np.float32)
        explained = (likeness + absent[..., None]).max(axis=1) @ importance
        found = (likeness.max(axis=2) * shares).sum(axis=1)
        return explained, found

    def _project(self, states: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        tokens = states if self.projection is None else states @ self.projection.T
        tokens = tokens / np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-9)
        importance = np.ones(len(states)) if weight is None else np.logaddexp(0, states @ weight)
        return tokens, (importance / importance.sum()).astype(np.float32)

    def _laid_out(self, facts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of facts (N, J, K), zeros after the last, and their weights (N, J); J ≥ 1."""
        parts = self._tokens(facts)
        longest = max((len(tokens) for tokens, _ in parts), default=1)
        width = parts[0][0].shape[1] if parts else self.text.dimension
        tokens = np.zeros((len(parts), longest, width), dtype=np.float32)
        shares = np.zeros((len(parts), longest), dtype=np.float32)
        for row, (one, share) in enumerate(parts):
            tokens[row, : len(one)], shares[row, : len(one)] = one, share
        return tokens, shares

    def _tokens(self, facts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The projected tokens of facts as float16 and their weights, from memory where they are in it."""
        new = [fact for fact in dict.fromkeys(facts) if fact not in self._held]
        fresh: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for fact, states in zip(new, self.text.tokens(new) if new else (), strict=True):
            tokens, share = self._project(states[:MOST_TOKENS].astype(np.float32), self._weights[1])
            fresh[fact] = tokens.astype(np.float16), share
        parts = [fresh.get(fact) or self._held[fact] for fact in facts]
        for fact in facts:
            if fact in self._held:
                self._held.move_to_end(fact)
        for fact, part in fresh.items():
            self._held[fact] = part
            self.num_bytes += part[0].nbytes + part[1].nbytes
        while self.num_bytes > self.memory:
            _, (tokens, share) = self._held.popitem(last=False)
            self.num_bytes -= tokens.nbytes + share.nbytes
        return parts
