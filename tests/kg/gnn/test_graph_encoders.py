"""Graph encoders on whole graphs: equal to PyG's layers or to their formula edge by edge, derivatives too."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from kg.errors import InputError
from kg.gnn.composition import CompositionLayer, compose
from kg.gnn.nbfnet import NBFNet
from kg.gnn.plan import EdgePlan
from kg.gnn.rgat import RGATLayer
from kg.gnn.rgcn import RGCNLayer

N, R, M = 9, 4, 40


def edges(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Forty edges among eight of nine nodes, some of them twice, three of four relations; node 8 stands alone."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randint(N - 1, (2, M), generator=generator),
        torch.randint(R - 1, (M,), generator=generator),
    )


def assert_same(ours: tuple[Tensor, list[Tensor]], theirs: tuple[Tensor, list[Tensor]]) -> None:
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-4, atol=1e-5)
    for one, two in zip(ours[1], theirs[1], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def with_slopes(out: Tensor, of: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    weights = torch.arange(out.numel(), dtype=torch.float32).view(out.shape).sin()
    return out, list(torch.autograd.grad((out * weights).sum(), of))


@pytest.mark.parametrize("options", [{}, {"num_bases": 2}, {"num_blocks": 2}])
def test_r_gcn_is_pygs(options: dict[str, int]) -> None:
    from torch_geometric.nn import RGCNConv

    torch.manual_seed(0)
    theirs = RGCNConv(6, 4, R, **options)
    ours = RGCNLayer(6, 4, R, **options)
    ours.load_state_dict(theirs.state_dict())
    edge_index, edge_type = edges()
    x = torch.randn(N, 6, requires_grad=True)
    plan = EdgePlan.make(edge_index, edge_type, N, R)
    mine, other = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert_same(
        with_slopes(ours(x, plan), [x, *(mine[name] for name in sorted(mine))]),
        with_slopes(theirs(x, edge_index, edge_type), [x, *(other[name] for name in sorted(mine))]),
    )


@pytest.mark.parametrize("heads", [1, 3])
def test_r_gat_is_pygs(heads: int) -> None:
    from torch_geometric.nn import RGATConv

    torch.manual_seed(0)
    theirs = RGATConv(6, 4, R, heads=heads)
    ours = RGATLayer(6, 4, R, heads=heads)
    state = theirs.state_dict()
    ours.load_state_dict({name: state[name] for name in ours.state_dict()})
    edge_index, edge_type = edges()
    x = torch.randn(N, 6, requires_grad=True)
    plan = EdgePlan.make(edge_index, edge_type, N, R)
    mine, other = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert_same(
        with_slopes(ours(x, plan), [x, *(mine[name] for name in sorted(mine))]),
        with_slopes(theirs(x, edge_index, edge_type), [x, *(other[name] for name in sorted(mine))]),
    )


@pytest.mark.parametrize("composition", ["sub", "mult", "corr"])
def test_compgcn_is_its_formula_edge_by_edge(composition: Any) -> None:
    torch.manual_seed(0)
    layer = CompositionLayer(6, 4, composition).eval()
    x, z = torch.randn(N, 6, requires_grad=True), torch.randn(2 * R, 6, requires_grad=True)
    edge_index, edge_type = edges()
    forwards = EdgePlan.make(edge_index, edge_type, N, R)
    backwards = EdgePlan.make(edge_index.flip(0), edge_type, N, R)
    out, new = layer(x, z, forwards, backwards)

    parts = [layer.loop(compose(x[v], layer.loop_vector[0], composition)) for v in range(N)]
    for (source, target), first, matrix in (
        (edge_index, 0, layer.along),
        (edge_index.flip(0), R, layer.against),
    ):
        for u, v, r in zip(source.tolist(), target.tolist(), edge_type.tolist()):
            norm = (float((source == u).sum()) * float((target == v).sum())) ** -0.5
            parts[v] = parts[v] + norm * matrix(compose(x[u], z[first + r], composition))
    expected = torch.tanh(layer.norm(torch.stack(parts) / 3 + layer.bias))
    mine = list(layer.along.parameters()) + list(layer.against.parameters())
    assert_same(with_slopes(out, [x, z, *mine]), with_slopes(expected, [x, z, *mine]))
    torch.testing.assert_close(new, z @ layer.relation.weight.T)


@pytest.mark.parametrize("composition", ["sub", "mult", "corr"])
def test_compgcn_is_pykeens(composition: Any) -> None:
    representation = pytest.importorskip("pykeen.nn.representation", reason="pip install pykeen to compare with it")
    torch.manual_seed(0)
    names = {"sub": "Subtraction", "mult": "Multiplication", "corr": "CircularCorrelation"}
    theirs = representation.CompGCNLayer(6, 4, composition=names[composition], activation=torch.nn.Tanh)
    ours = CompositionLayer(6, 4, composition)
    with torch.no_grad():
        for mine, other in (("along", "w_fwd"), ("against", "w_bwd"), ("loop", "w_loop")):
            getattr(ours, mine).weight.copy_(getattr(theirs, other).T)
        ours.relation.weight.copy_(theirs.w_rel.weight)
        ours.loop_vector.copy_(theirs.self_loop)
        ours.bias.copy_(theirs.bias.bias.uniform_(-1, 1))
    edge_index, edge_type = edges()
    forwards = EdgePlan.make(edge_index, edge_type, N, R)
    backwards = EdgePlan.make(edge_index.flip(0), edge_type, N, R)
    x, z = torch.randn(N, 6, requires_grad=True), torch.randn(2 * R, 6, requires_grad=True)
    interleaved = torch.stack([z[:R], z[R:]], 1).flatten(0, 1)  # there r and its inverse are 2r and 2r + 1
    found, of_relations = ours(x, z, forwards, backwards)
    expected, their_relations = theirs(x, interleaved, edge_index, edge_type)
    assert_same(with_slopes(found, [x, z]), with_slopes(expected, [x, z]))
    torch.testing.assert_close(of_relations, torch.cat([their_relations[::2], their_relations[1::2]]))


def test_circular_correlation_by_hand() -> None:
    found = compose(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0]), "corr")
    torch.testing.assert_close(found, torch.tensor([32.0, 29.0, 29.0]))  # Σ_i a_i b_(k+i): 4+10+18, 5+12+12, 6+8+15


def gathered(aggregate: str, messages: list[Tensor], log_degree: float) -> Tensor:
    """What a node makes of its messages, (1 or 12 times D,)."""
    stacked = torch.stack(messages)
    if aggregate != "pna":
        return stacked.sum(0) if aggregate == "sum" else stacked.mean(0)
    deviation = stacked.var(0, correction=0).clamp_min(1e-6).sqrt()
    parts = torch.cat([stacked.mean(0), stacked.amax(0), stacked.amin(0), deviation])
    return torch.cat([parts, parts * log_degree, parts / max(log_degree, 0.01)])


@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("aggregate", ["sum", "mean", "pna"])
def test_nbfnet_is_bellman_ford_edge_by_edge(aggregate: Any, dependent: bool) -> None:
    torch.manual_seed(0)
    net = NBFNet(4, R, layers=2, aggregate=aggregate, dependent=dependent)
    edge_index, edge_type = edges()
    plan = EdgePlan.make(edge_index, edge_type, N, R)
    heads, relations = torch.tensor([0, 3, 8]), torch.tensor([1, 2, 0])
    kept = (torch.arange(M) % 7 > 0).float()  # every seventh edge is left out
    found = net(heads, relations, plan, kept[plan.order])
    triples = [edge for edge, is_kept in zip(zip(*edge_index.tolist(), edge_type.tolist()), kept.tolist()) if is_kept]
    logs = [math.log(1 + sum(v == node for _, v, _ in triples)) for node in range(N)]
    rows = []
    for head, relation in zip(heads.tolist(), relations.tolist()):
        query = net.queries.weight[relation]
        boundary = [query if v == head else torch.zeros(4) for v in range(N)]
        x = boundary
        for layer in net.layers:
            weights = layer.relations(query).view(R, 4) if dependent else layer.relations.weight
            messages = [[boundary[v]] for v in range(N)]
            for u, v, r in triples:
                messages[v].append(x[u] * weights[r])
            what = [gathered(aggregate, found, log / (sum(logs) / N)) for found, log in zip(messages, logs)]
            x = [torch.relu(layer.norm(layer.update(torch.cat([h, more])))) + h for h, more in zip(x, what)]
        rows.append(torch.stack([net.score(torch.cat([h, query]))[0] for h in x]))
    of = [net.queries.weight, *(layer.relations.weight for layer in net.layers)]
    assert_same(with_slopes(found, of), with_slopes(torch.stack(rows), of))


def test_nbfnet_does_not_know_nodes_by_their_number() -> None:
    torch.manual_seed(0)
    net = NBFNet(4, R, layers=2)
    edge_index, edge_type = edges()
    order = torch.tensor([3, 1, 4, 0, 5, 8, 2, 6, 7])
    place = order.argsort()
    before = net(torch.tensor([2]), torch.tensor([1]), EdgePlan.make(edge_index, edge_type, N, R))
    after = net(place[torch.tensor([2])], torch.tensor([1]), EdgePlan.make(place[edge_index], edge_type, N, R))
    torch.testing.assert_close(after, before[:, order])


def test_an_edge_of_a_node_or_relation_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="an edge has the node 5, there are 3"):
        EdgePlan.make(torch.tensor([[0], [5]]), torch.tensor([0]), 3, 1)
    with pytest.raises(InputError, match="an edge has the relation 2, there are 1"):
        EdgePlan.make(torch.tensor([[0], [1]]), torch.tensor([2]), 3, 1)


def test_a_graph_without_edges_leaves_each_node_to_itself() -> None:
    layer = RGCNLayer(3, 2, 2)
    plan = EdgePlan.make(torch.empty(2, 0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), 4, 2)
    x = torch.randn(4, 3)
    torch.testing.assert_close(layer(x, plan), x @ layer.root)


def test_bases_and_blocks_exclude_each_other_and_blocks_must_divide() -> None:
    with pytest.raises(InputError, match="num_bases or num_blocks, not both"):
        RGCNLayer(4, 4, 2, num_bases=1, num_blocks=2)
    with pytest.raises(InputError, match=r"num_blocks \(3\) must divide the widths 4 and 6"):
        RGCNLayer(4, 6, 2, num_blocks=3)
