"""CompGCN against one edge worked out by hand, and what message passing owes whatever its weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import gelu

from kg.gnn.compgcn import CompGCN, CompGCNLayer


@pytest.fixture
def gnn() -> CompGCN:
    torch.manual_seed(0)
    return CompGCN(4, layers=2)


def test_one_edge_by_hand() -> None:
    layer = CompGCNLayer(2)
    with torch.no_grad():
        layer.itself.weight.zero_()
        layer.itself.bias.copy_(torch.tensor([0.5, 0.0]))
        layer.along.weight.copy_(torch.eye(2))
        layer.against.weight.copy_(2 * torch.eye(2))
        x, relation = torch.tensor([[3.0, 1.0], [0.0, 4.0]]), torch.tensor([[2.0, 3.0]])
        out = layer(x, torch.tensor([[0], [1]]), relation)  # node 0 –r→ node 1
    # LN(3, 1) = (1, −1) and LN(0, 4) = (−1, 1), so along the edge (1·2, −1·3), against it 2 · (−1·2, 1·3)
    expected = x + gelu(torch.tensor([[0.5 - 4.0, 6.0], [0.5 + 2.0, -3.0]]))
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=0)


def test_messages_are_averaged_over_all_edges_of_a_node_both_ways() -> None:
    layer = CompGCNLayer(2)
    with torch.no_grad():
        layer.itself.weight.zero_()
        layer.itself.bias.zero_()
        layer.along.weight.copy_(torch.eye(2))
        layer.against.weight.zero_()
        x = torch.tensor([[3.0, 1.0], [1.0, 3.0], [0.0, 0.0], [5.0, 7.0]])  # LN: (1, −1), (−1, 1), (0, 0), (−1, 1)
        relations = torch.tensor([[4.0, 4.0], [1.0, 1.0], [9.0, 9.0]])
        out = layer(x, torch.tensor([[0, 1, 2], [2, 2, 3]]), relations)
    third = gelu((torch.tensor([4.0, -4.0]) + torch.tensor([-1.0, 1.0]) + 0.0) / 3)  # two in, one (of zero) out
    torch.testing.assert_close(out[2], third, atol=1e-4, rtol=0)


def test_an_isolated_node_depends_on_itself_alone(gnn: CompGCN) -> None:
    torch.manual_seed(1)
    x, edge, relation = torch.randn(3, 4), torch.tensor([[0], [1]]), torch.randn(1, 4)
    together = gnn(x, edge, relation)
    alone = gnn(x[2:], torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, 4))
    torch.testing.assert_close(together[2], alone[0])
    moved = gnn(torch.cat([x[:2] + 1.7 * torch.randn(2, 4), x[2:]]), edge, relation)
    assert torch.equal(moved[2], together[2]) and not torch.equal(moved[0], together[0])


def test_numbering_nodes_and_edges_otherwise_changes_nothing(gnn: CompGCN) -> None:
    torch.manual_seed(1)
    x, relation = torch.randn(5, 4), torch.randn(6, 4)
    edges = torch.tensor([[0, 1, 2, 3, 0, 0], [1, 2, 3, 4, 4, 1]])
    order, edge_order = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([5, 2, 0, 1, 4, 3])
    renumbered = order.argsort()[edges[:, edge_order]]
    out = gnn(x[order], renumbered, relation[edge_order])
    torch.testing.assert_close(out, gnn(x, edges, relation)[order])


def test_a_node_sees_as_far_as_there_are_layers(gnn: CompGCN) -> None:
    torch.manual_seed(1)
    x, chain, relation = torch.randn(4, 4), torch.tensor([[0, 1, 2], [1, 2, 3]]), torch.randn(3, 4)
    before = gnn(x, chain, relation)
    far = x.clone()
    far[3] = torch.tensor([1.0, -2.0, 0.5, 3.0])
    after = gnn(far, chain, relation)
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])  # three edges away, and two


def test_the_direction_and_the_relation_of_an_edge_matter(gnn: CompGCN) -> None:
    torch.manual_seed(1)
    x, edge, relation = torch.randn(2, 4), torch.tensor([[0], [1]]), torch.randn(1, 4)
    out = gnn(x, edge, relation)
    assert not torch.allclose(out, gnn(x, edge.flip(0), relation))
    assert not torch.allclose(out, gnn(x, edge, relation + 1))
