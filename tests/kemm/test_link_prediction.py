"""Link prediction against scores worked out by hand."""

from __future__ import annotations

from typing import Any

import torch

from kemm.fuse.encoded import Encoded
from kemm.objectives.link_prediction import LinkPrediction
from tests.kemm import tiny_batch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def objective(name: str) -> Any:
    return tiny_batch.task([name]).objectives[name]


def test_both_queries_give_the_real_part_of_the_complex_product() -> None:
    link: LinkPrediction = objective("link_prediction")
    h, r, t = (torch.randn(3, 8, generator=generator(seed)) for seed in (1, 2, 3))
    as_complex = [torch.complex(*x.chunk(2, -1)) for x in (h, r, t)]
    expected = (as_complex[0] * as_complex[1] * as_complex[2].conj()).sum(-1).real
    torch.testing.assert_close((link.query(h, r) * t).sum(-1), expected)
    torch.testing.assert_close((link.inverse_query(t, r) * h).sum(-1), expected)


def test_one_complex_dimension_by_hand() -> None:
    link: LinkPrediction = objective("link_prediction")
    h, r = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])  # (1 + 2i)(3 − i) = 5 + 5i
    assert link.query(h, r).tolist() == [[5.0, 5.0]]
    assert link.inverse_query(h, r).tolist() == [[1.0, 7.0]]  # (1 + 2i)(3 + i) = 1 + 7i


def test_the_same_tail_in_another_edge_is_no_negative() -> None:
    task, batch = tiny_batch.task(["link_prediction"]), tiny_batch.batch()
    link, edges = task.objectives["link_prediction"], batch.edges
    assert isinstance(link, LinkPrediction) and edges is not None
    head, relation, tail = link.embed(edges.head), link.relations(edges.relation), link.embed(edges.tail)
    scores = link.query(head, relation) @ tail.T
    for row, others in ((6, [7]), (7, [6])):
        scores[row, others] = -torch.inf
    by_tail = -scores.log_softmax(1).diagonal().mean()
    by_head = -(link.inverse_query(tail, relation) @ head.T).log_softmax(1).diagonal().mean()
    torch.testing.assert_close(link(Encoded(task.model, batch)), (by_tail + by_head) / 2)
