"""Several models as one: the weighted sum of their scores, and of how near the answer is; the weights are fitted.

    f(h, r, t) = Σ_k w_k,r f_k(h, r, t) + b_r,d(h, t)

k are models, d the distance in the training graph (``kg.embeddings.near``). A weight is one all relations share plus
one of the relation and direction, which is held back by λ: w_k,r = w_k + v_k,r. They are fitted on the validation
split, which no part was trained on, by the cross-entropy of the right answer against the hardest others:

    L = mean_(h,r,t) CE(f(h, r, ·), t) + λ Σ v² / queries

It is convex in the weights, so there is one best choice. The parts stay as they are. SimKGC's re-ranking is a sum of
this kind with one weight; StAR (Wang et al., 2021, arXiv:2004.14781) sums a text and a structure model. With one model
a modality, v = 0 and no distances it is late fusion: the simple baseline that a gate (``kg.embeddings.gate``) has to
beat.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kg.embeddings.known import Known
from kg.embeddings.model import KGEModel
from kg.embeddings.near import Near
from kg.embeddings.triples import Array, Triples
from kg.errors import InputError


class Combination(KGEModel):
    """Models of the same vocabulary, each asked for both sides, their weights all alike before ``fit_weights``.

    Args:
        near: adds a weight for each distance, or None.
        by_relation: whether relations have weights of their own (v); without, v stays 0.

    Raises:
        InputError: the models are of different vocabularies.
    """

    def __init__(self, parts: Sequence[KGEModel], near: Near | None = None, by_relation: bool = True) -> None:
        sizes = sorted({(part.num_entities, part.num_relations) for part in parts})
        if len(sizes) != 1:
            raise InputError(f"models of one vocabulary can be combined, these have (entities, relations) {sizes}")
        num_entities, num_relations = sizes[0]
        super().__init__(num_entities, num_relations, 0, 0)
        #: Not modules of this one: a checkpoint of it holds the weights of the sum alone.
        self.parts, self.near = tuple(part.eval().requires_grad_(False) for part in parts), near
        self.weights = nn.Parameter(torch.ones(len(parts)))  # w, (K,)
        distances = 0 if near is None else near.hops + 2
        self.nearness = nn.Parameter(torch.zeros(distances))
        self.offsets = nn.Parameter(torch.zeros(2 * num_relations, len(parts)), by_relation)  # v, (2R, K)
        self.nearness_offsets = nn.Parameter(torch.zeros(2 * num_relations, distances), by_relation)

    def features(self, entities: Tensor, relations: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the parts' scores (B, E, K) and distances (B, E) of queries; a relation + R asks for heads."""
        found = torch.empty(len(entities), self.num_entities, len(self.parts))
        for asks_heads in (False, True):
            of = (relations >= self.num_relations) == asks_heads
            if of.any():
                e, r = entities[of], relations[of] - self.num_relations * asks_heads
                scores = [part.score_heads(r, e) if asks_heads else part.score_tails(e, r) for part in self.parts]
                found[of] = torch.stack([score.float() for score in scores], -1)
        return found, None if self.near is None else self.near(entities)

    def weigh(self, scores: Tensor, distances: Tensor | None, relations: Tensor) -> Tensor:
        """Return f of scores (B, C, K) and distances (B, C), (B, C)."""
        total = (scores * (self.weights + self.offsets[relations])[:, None]).sum(-1)
        if distances is None:
            return total
        return total + (self.nearness + self.nearness_offsets[relations]).gather(1, distances.long())

    # -- the contract: a triple's vectors are its numbers --------------------------------------------------------------

    def score_tails(self, heads: Tensor, relations: Tensor, candidates: Tensor | None = None) -> Tensor:
        return self._ask(heads, relations, candidates)

    def score_heads(self, relations: Tensor, tails: Tensor, candidates: Tensor | None = None) -> Tensor:
        return self._ask(tails, relations + self.num_relations, candidates)

    def score(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        return self._ask(heads, relations, tails[:, None])[:, 0]

    def _ask(self, entities: Tensor, relations: Tensor, candidates: Tensor | None) -> Tensor:
        found = self.weigh(*self.features(entities, relations), relations)
        if candidates is None:
            return found
        return found[:, candidates] if candidates.dim() == 1 else found.gather(1, candidates)

    def interact(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        raise AssertionError("the parts have vectors of their own")

    against_tails = against_heads = interact  # type: ignore[assignment]


def fit_weights(
    model: Combination,
    triples: Triples,
    rows: Array,
    *,
    hardest: int = 64,
    drawn: int = 256,
    penalty: float = 1.0,
    steps: int = 50,
    seed: int = 0,
) -> float:
    """Fit the weights to triples (N, 3) that no part was trained on, and return the loss.

    A query's candidates are its answer, the ``hardest`` of each part and of the parts' sum that are not known to be
    right in training or in ``rows`` (the test split plays no part), and ``drawn`` others, which stand for all that are
    left.
    """
    random = np.random.default_rng(seed)
    known = Known([triples["train"], rows], triples.num_entities)
    wide = rows.astype(np.int64)
    R = triples.num_relations
    sides = [(wide[:, 0], wide[:, 1], wide[:, 2], known.tail_keys(wide[:, 0], wide[:, 1]), known.tails)]
    sides.append((wide[:, 2], wide[:, 1] + R, wide[:, 0], known.head_keys(wide[:, 1], wide[:, 2]), known.heads))
    parts: list[tuple[Tensor, ...]] = []
    for entities, relations, answers, keys, index in sides:
        bounds = np.stack(index.find(keys), axis=1)
        block = max(1, (4 << 20) // triples.num_entities)
        for start in range(0, len(rows), block):
            stop = min(start + block, len(rows))
            e, r = torch.from_numpy(entities[start:stop]), torch.from_numpy(relations[start:stop])
            with torch.no_grad():
                scores, distances = model.features(e, r)
                masked = torch.cat([scores, model.weigh(scores, distances, r)[..., None]], -1)  # (B, E, K + 1)
                for row, (begin, end) in enumerate(bounds[start:stop].tolist()):
                    masked[row, index.answers[begin:end]] = -torch.inf
                hard = masked.topk(min(hardest, masked.shape[1]), dim=1).indices.flatten(1)  # (B, H (K + 1))
                others = torch.from_numpy(random.integers(0, triples.num_entities, (len(e), drawn)))
                taken = torch.cat([torch.from_numpy(answers[start:stop])[:, None], hard, others], 1)  # (B, C)
                share = torch.zeros(taken.shape)  # log of what each candidate stands for
                share[:, 1 + hard.shape[1] :] = float(np.log(triples.num_entities / drawn))
                share[:, 1:][~torch.isfinite(masked[..., -1].gather(1, taken[:, 1:]))] = -torch.inf
                share[_again(taken)] = -torch.inf
                at = scores.gather(1, taken[..., None].expand(-1, -1, scores.shape[-1]))
                near = torch.zeros_like(taken, dtype=torch.uint8) if distances is None else distances.gather(1, taken)
                parts.append((at, near, r, share))
    scores, near, relations_, share = (torch.cat(column) for column in zip(*parts))
    return _minimise(model, scores, None if model.near is None else near, relations_, share, penalty, steps)


def _again(taken: Tensor) -> Tensor:
    """Tell which numbers of each row have come before in it, (B, C)."""
    ordered, order = torch.sort(taken, dim=1, stable=True)
    same = torch.zeros_like(taken, dtype=torch.bool)
    same[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(same).scatter(1, order, same)


def _minimise(
    model: Combination,
    scores: Tensor,
    near: Tensor | None,
    relations: Tensor,
    share: Tensor,
    penalty: float,
    steps: int,
) -> float:
    own = [model.offsets, model.nearness_offsets]
    fitted = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.LBFGS(fitted, max_iter=steps, line_search_fn="strong_wolfe")
    right = torch.zeros(len(scores), dtype=torch.long)

    def closure() -> Tensor:
        optimizer.zero_grad()
        held = torch.stack([value.pow(2).sum() for value in own]).sum() * penalty / len(scores)
        loss = F.cross_entropy(model.weigh(scores, near, relations) + share, right) + held
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    return float(closure().detach())
