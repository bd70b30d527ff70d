"""The graph's edges for link prediction and entity–text alignment, with a held-out share."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kemm.data.batch import Edges
from kemm.data.world import World
from kemm.evaluate.metrics import filtered_rank
from kemm.progress import Progress
from kg.records import BOOKKEEPING_RELATIONS

if TYPE_CHECKING:
    from kemm.pretrain.task import PretrainTask

TEST_SHARE = 0.01  # of entity pairs; both directions of a pair are held out together, so an inverse gives nothing away
TEST_LEAST, TEST_MOST = 32, 0.2  # of a small graph as many as this, but no greater share


class GraphEdges:
    """Edges between entities as arrays.

    Attributes:
        train, test: (M, 3) int64 rows (head, relation, tail), dense numbers.
        vectors: (E, D_t) text vectors of all entities, from the index.
        relation_vectors: (R, D_t).
    """

    def __init__(self, world: World, seed: int) -> None:
        snapshot = world.graph.snapshot()
        iris = world.graph.iris(snapshot.relation_ids.tolist())
        relations = [iris[int(key)] for key in snapshot.relation_ids]
        asked = np.array([relation not in BOOKKEEPING_RELATIONS for relation in relations])
        edges = np.stack([snapshot.heads, snapshot.relations, snapshot.tails], axis=1)
        edges = edges[asked[edges[:, 1]] & (edges[:, 0] != edges[:, 2])]
        self.entity_ids = np.asarray(snapshot.entity_ids)
        self.vectors = world.index.text_vectors(self.entity_ids)
        self.relation_vectors = world.bank.embed([world.label(relation) for relation in relations])
        low, high = np.minimum(edges[:, 0], edges[:, 2]), np.maximum(edges[:, 0], edges[:, 2])
        mixed = (low * np.int64(1_000_003) + high * np.int64(7_919) + seed * np.int64(104_729)) % 1_000_003
        held_out = mixed < _test_share(len(edges)) * 1_000_003
        self.train, self.test, self.all = edges[~held_out], edges[held_out], edges
        order = np.argsort(self.train[:, 0], kind="stable")
        self._tails = self.train[order, 2]
        self._start = np.searchsorted(self.train[order, 0], np.arange(len(self.entity_ids) + 1))
        connected = np.flatnonzero(np.diff(self._start))
        mixed = (connected * np.int64(433_494_437) + seed * np.int64(104_729)) % 1_000_003
        is_held_out = mixed < _test_share(len(connected)) * 1_000_003
        self._connected, self._held_out = connected[~is_held_out], connected[is_held_out]

    def sample(self, rng: np.random.Generator, edges: int, entities: int, is_held_out: bool = False) -> Edges:
        """Random training edges, or held-out ones; and entities with the mean vector of up to eight neighbours."""
        known = self.test if is_held_out and len(self.test) else self.train
        rows = known[rng.integers(0, len(known), edges)]
        around = self._held_out if is_held_out and len(self._held_out) else self._connected
        chosen = (
            rng.permutation(around)[:entities]
            if len(around) < 4 * entities
            else np.unique(around[rng.integers(0, len(around), entities)])
        )
        around = np.stack([self.vectors[self._neighbours(int(entity))].mean(0) for entity in chosen])
        return Edges(
            head=self._of(rows[:, 0]),
            relation=torch.from_numpy(self.relation_vectors[rows[:, 1]]),
            tail=self._of(rows[:, 2]),
            tail_id=torch.from_numpy(rows[:, 2].astype(np.int64)),
            description=self._of(chosen),
            around=torch.from_numpy(around.astype(np.float32)),
        )

    def evaluate(self, task: PretrainTask, progress: Progress, most: int = 1000) -> dict[str, float] | None:
        """Filtered link prediction on held-out edges: each end ranked among all entities that edges join.

        Other true answers, of training or test, are left out of the ranking; ties count half. At most ``most`` edges
        are ranked, drawn evenly. None where the run has no link predictor or nothing is held out.
        """
        if "link_prediction" not in task.objectives or not len(self.test):
            return None
        predictor: Any = task.objectives["link_prediction"].eval()
        test = self.test[np.linspace(0, len(self.test) - 1, min(most, len(self.test))).astype(int)]
        connected = np.unique(self.all[:, [0, 2]])
        place = np.full(len(self.entity_ids), -1)
        place[connected] = np.arange(len(connected))
        true_tails, true_heads = defaultdict(list), defaultdict(list)
        for head, relation, tail in self.all.tolist():
            true_tails[head, relation].append(place[tail])
            true_heads[tail, relation].append(place[head])
        ranks: list[float] = []
        tick = progress("rank links", len(test))
        with torch.inference_mode():
            entities = torch.cat([predictor.embed(self._of(part)) for part in np.array_split(connected, 16)])
            relations = predictor.relations(torch.from_numpy(self.relation_vectors))
            for part in np.array_split(test, max(1, len(test) // 100)):
                heads, tails = torch.from_numpy(place[part[:, 0]]), torch.from_numpy(place[part[:, 2]])
                kinds = relations[torch.from_numpy(part[:, 1])]
                to_tail = (predictor.query(entities[heads], kinds) @ entities.T).numpy()
                to_head = (predictor.inverse_query(entities[tails], kinds) @ entities.T).numpy()
                for row, (head, relation, tail) in enumerate(part.tolist()):
                    ranks.append(filtered_rank(to_tail[row], place[tail], true_tails[head, relation]))
                    ranks.append(filtered_rank(to_head[row], place[head], true_heads[tail, relation]))
                tick(len(part))
        found = np.array(ranks)
        return {
            "mrr": round(float((1 / found).mean()), 4),
            "hits@1": round(float((found <= 1).mean()), 4),
            "hits@10": round(float((found <= 10).mean()), 4),
            "n": len(test),
            "entities": len(connected),
        }

    def _neighbours(self, entity: int) -> np.ndarray:
        return self._tails[self._start[entity] : self._start[entity + 1]][:8]

    def _of(self, entities: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self.vectors[entities], dtype=np.float32))


def _test_share(count: int) -> float:
    """Of so many pairs or entities."""
    return max(TEST_SHARE, min(TEST_MOST, TEST_LEAST / max(1, count)))
