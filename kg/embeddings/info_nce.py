"""The right entity against many by their texts' vectors: those encoded in this step, and the last vectors of others.

    L = mean_(h,r,t) −log ( e^γ(s_t − m) / (e^γ(s_t − m) + Σ_n e^γ s_n) ),   s_e = ⟨query(h, r), x_e⟩

InfoNCE with an additive margin m, as SimKGC has it (Wang et al., 2022, arXiv:2203.02167). Its negatives n:

- **in-batch**: the entities encoded in this step, with gradient;
- **pre-batch**: SimKGC keeps the vectors of the last batches; here the last vector of every entity is kept, and
  ``negatives`` of all are drawn (arXiv:1805.01978 calls this a memory bank);
- **self**: the head itself, where it is not an answer;
- a **known** answer of (h, r), in training, is never a negative.

A step encodes some entities, each once, and asks all that training says of them: queries from them, and queries that
they answer; the other end of such a triple is taken from the bank if it isn't among them. Entities come in clusters of
neighbours, so that it often is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kg.embeddings.bi_encoder import BiEncoder
from kg.embeddings.known import Known
from kg.embeddings.objectives import Objective, with_reciprocals
from kg.embeddings.triples import Array


class InfoNCE(Objective):
    """Rows are clusters: (first, last) in an order of all entities in which neighbours are near.

    Args:
        negatives: entities drawn from the bank a step.
        queries: triples asked a step at most, drawn from those of the entities encoded.
        margin: m. cluster: entities of a cluster.
    """

    def __init__(
        self,
        model: BiEncoder,
        train: Array,
        *,
        negatives: int = 8192,
        queries: int = 2048,
        margin: float = 0.02,
        cluster: int = 32,
        seed: int = 0,
    ) -> None:
        self.model, self.negatives, self.queries, self.margin, self.cluster = model, negatives, queries, margin, cluster
        self.train = with_reciprocals(train, model.num_relations)  # (2N, 3); row i turned is row (i + N) mod 2N
        self.known = Known([self.train], model.num_entities).tails
        by_head = np.argsort(self.train[:, 0], kind="stable")
        counts = np.bincount(self.train[:, 0], minlength=model.num_entities)
        self._by_head, self._starts = by_head, np.append(0, np.cumsum(counts))
        self._order = clusters(self.train, model.num_entities, cluster, np.random.default_rng(seed))

    def rows(self) -> Array:
        first = np.arange(0, len(self._order), self.cluster)
        return np.stack([first, np.append(first[1:], len(self._order))], axis=1)

    def rows_a_step(self, batch: int) -> int:
        """``batch`` counts entities."""
        return max(1, batch // self.cluster)

    def __call__(self, rows: Tensor, generator: np.random.Generator) -> Tensor:
        model, bank = self.model, self.model.vectors
        if not bool(bank[-1].any()):  # the first step of all: vectors have length 1
            model.refresh()
        model.forget()
        live = np.concatenate([self._order[first:last] for first, last in rows.tolist()])
        x = model.encode(live)  # (n, D)
        asked = self._asked(live, generator)  # (N, 3)
        drawn = generator.choice(model.num_entities, min(self.negatives, model.num_entities), replace=False)
        others = np.setdiff1d(np.concatenate([asked[:, 2], drawn]), live)
        candidates = np.concatenate([live, others])
        keys = torch.cat([x, bank[torch.from_numpy(others)]])  # (C, D)
        place = np.full(model.num_entities, -1)
        place[candidates] = np.arange(len(candidates))

        queries, which = np.unique(asked[:, 1] * model.num_entities + asked[:, 0], return_inverse=True)
        relations, heads = np.divmod(queries, model.num_entities)
        is_live = (place[heads] >= 0) & (place[heads] < len(live))
        taken = x[torch.from_numpy(np.where(is_live, place[heads], 0))]
        here = torch.from_numpy(is_live).to(x.device)[:, None]
        vectors = torch.where(here, taken, bank[torch.from_numpy(heads)])  # (Q, D)
        of, answers = self._answers(queries)
        is_self_right = np.isin(queries, queries[of[answers == heads[of]]])
        loss = info_nce(
            model.query(vectors, torch.from_numpy(relations).to(x.device)),
            keys,
            vectors,
            torch.from_numpy(which).to(x.device),
            torch.from_numpy(place[asked[:, 2]]).to(x.device),
            masked=_pairs(of, place[answers], np.arange(len(queries)), place[heads]).to(x.device),
            is_self_right=torch.from_numpy(is_self_right).to(x.device),
            scale=model.scale,
            margin=self.margin,
            precision=model.precision,
        )
        with torch.no_grad():
            bank[torch.from_numpy(live)] = x.detach()
        return loss

    def _asked(self, live: Array, generator: np.random.Generator) -> Array:
        """Return the triples that are asked, (N, 3): all whose head or tail is live, or a draw of them."""
        counts = self._starts[live + 1] - self._starts[live]
        flat = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = self._by_head[flat + np.repeat(self._starts[live], counts)]
        rows = np.unique(np.concatenate([rows, (rows + len(self.train) // 2) % len(self.train)]))
        if len(rows) > self.queries:
            rows = generator.choice(rows, self.queries, replace=False)
        found: Array = self.train[rows]
        return found

    def _answers(self, queries: Array) -> tuple[Array, Array]:
        """Return the known answers of queries: places of the queries, and entities."""
        begin, end = self.known.find(queries)
        counts = end - begin
        flat = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(begin, counts)
        return np.repeat(np.arange(len(queries)), counts), self.known.answers[flat]


def info_nce(
    query: Tensor,
    keys: Tensor,
    heads: Tensor,
    which: Tensor,
    targets: Tensor,
    *,
    masked: Tensor,
    is_self_right: Tensor,
    scale: Tensor,
    margin: float,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """Return the mean loss of N triples.

    Args:
        query, heads: of distinct (h, r), (Q, D) each. keys: of candidates, (C, D).
        which, targets: of each triple its query and its tail's place among the candidates, (N,) each.
        masked: (P, 2), query and candidate that are no negatives: known answers, and the head, which counts apart.
        is_self_right: where the head answers its own query, (Q,).
    """
    with torch.autocast(query.device.type, precision, enabled=precision != torch.float32):
        scores = query @ keys.T  # (Q, C)
    scores = scores.float() * scale
    itself = ((query * heads).sum(-1) * scale).masked_fill(is_self_right, -1e4)  # (Q,)
    right = scores[which, targets] - margin * scale  # (N,)
    negatives = scores.index_put((masked[:, 0], masked[:, 1]), scores.new_tensor(-1e4))
    total = torch.logaddexp(negatives.logsumexp(-1), itself)  # (Q,)
    return F.softplus(total[which] - right).mean()


def _pairs(of: Array, places: Array, queries: Array, heads: Array) -> Tensor:
    """Return (query, candidate) of known answers and of heads, those that are candidates, (P, 2)."""
    found = np.stack([np.concatenate([of, queries]), np.concatenate([places, heads])], axis=1)
    return torch.from_numpy(found[found[:, 1] >= 0])


def clusters(rows: Array, num_entities: int, size: int, random: np.random.Generator) -> Array:
    """Return all entities, (E,), in an order in which those of one breadth-first ball of ``size`` are together.

    Args:
        rows: (2N, 3), each triple in both directions.
    """
    ordered = rows[np.argsort(rows[:, 0], kind="stable")]
    starts = np.searchsorted(ordered[:, 0], np.arange(num_entities + 1))
    neighbours = ordered[:, 2]
    is_taken = np.zeros(num_entities, dtype=bool)
    order: list[int] = []
    for seed in random.permutation(num_entities).tolist():
        ball = [] if is_taken[seed] else [seed]
        is_taken[seed] = True
        for one in ball:  # grows while it is read
            room = size - len(ball)
            if room <= 0:
                break
            near = np.unique(neighbours[starts[one] : starts[one + 1]])
            fresh = random.permutation(near[~is_taken[near]])[:room]
            is_taken[fresh] = True
            ball.extend(fresh.tolist())
        order.extend(ball)
    return np.array(order, dtype=np.int64)
