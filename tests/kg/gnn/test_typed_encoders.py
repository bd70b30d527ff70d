"""HGT and GraphSAGE are PyG's, SACN's convolution and QA-GNN's attention are their formulas edge by edge."""

from __future__ import annotations

import math

import pytest
import torch

from kg.errors import InputError
from kg.gnn.hgt import HGTLayer
from kg.gnn.plan import EdgePlan
from kg.gnn.sacn import WeightedConvolution
from kg.gnn.sage import SAGELayer
from kg.gnn.typed_attention import TypedAttention
from tests.kg.gnn.test_graph_encoders import N, R, assert_same, edges, with_slopes


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("in_width", [6, 4])  # with 4, as wide as what comes out, nodes keep a share of themselves
def test_hgt_is_pygs(heads: int, in_width: int) -> None:
    from torch_geometric.nn import HGTConv

    torch.manual_seed(0)
    # persons 0–3 and places 4–8; relation 0 joins persons, 1 persons to places, 2 places to persons
    node_type = torch.tensor([0] * 4 + [1] * 5)
    joined = {
        ("person", "knows", "person"): (4, 4),
        ("person", "in", "place"): (4, 5),
        ("place", "of", "person"): (5, 4),
    }
    pairs = {
        name: torch.stack([torch.randint(one, (8,)), torch.randint(two, (8,))]) for name, (one, two) in joined.items()
    }
    first = {"person": 0, "place": 4}
    edge_index = torch.cat(
        [found + torch.tensor([[first[source]], [first[target]]]) for (source, _, target), found in pairs.items()], 1
    )
    plan = EdgePlan.make(edge_index, torch.arange(3).repeat_interleave(8), 9, 3)

    theirs = HGTConv(in_width, 4, (["person", "place"], list(joined)), heads=heads)
    ours = HGTLayer(in_width, 4, 2, 3, heads=heads)
    with torch.no_grad():
        for number, name in enumerate(("person", "place")):
            weights = theirs.kqv_lin.lins[name].weight.chunk(3), theirs.kqv_lin.lins[name].bias.uniform_(-1, 1).chunk(3)
            for part, weight, bias in zip((ours.key, ours.query, ours.value), *weights):
                part.of_type[number].weight.copy_(weight)
                part.of_type[number].bias.copy_(bias)
            ours.out.of_type[number].load_state_dict(theirs.out_lin.lins[name].state_dict())
            if ours.skip is not None:
                ours.skip[number] = theirs.skip[name].uniform_(-1, 1)
        for mine, other in ((ours.key_relation, theirs.k_rel), (ours.value_relation, theirs.v_rel)):
            mine.copy_(other.weight.view(heads, 3, 4 // heads, 4 // heads))
        for number, edge_type in enumerate(joined):
            ours.prior[number] = theirs.p_rel["__".join(edge_type)].uniform_(-1, 1)[0]
    x = torch.randn(9, in_width, requires_grad=True)
    found = theirs({"person": x[:4], "place": x[4:]}, pairs)
    their_weights = [theirs.k_rel.weight, theirs.v_rel.weight]
    expected = with_slopes(torch.cat([found["person"], found["place"]]), [x, *their_weights])
    mine = with_slopes(ours(x, node_type, plan), [x, ours.key_relation, ours.value_relation])
    assert_same(mine, (expected[0], [one.view(two.shape) for one, two in zip(expected[1], mine[1])]))


def test_graph_sage_is_pygs() -> None:
    from torch_geometric.nn import SAGEConv

    torch.manual_seed(0)
    theirs, ours = SAGEConv(6, 4), SAGELayer(6, 4)
    ours.load_state_dict(theirs.state_dict())
    edge_index, edge_type = edges()
    x = torch.randn(N, 6, requires_grad=True)
    plan = EdgePlan.make(edge_index, edge_type, N, R)
    assert_same(
        with_slopes(ours(x, plan), [x, *ours.parameters()]),
        with_slopes(theirs(x, edge_index), [x, *theirs.parameters()]),
    )


def test_sacns_convolution_is_its_formula_edge_by_edge() -> None:
    torch.manual_seed(0)
    layer = WeightedConvolution(6, 4, R)
    with torch.no_grad():
        layer.strength.copy_(torch.tensor([1.0, -0.5, 2.0, 3.0]))
    edge_index, edge_type = edges()
    x = torch.randn(N, 6, requires_grad=True)
    h = x @ layer.transform.weight.T
    rows = list((h + layer.bias).unbind(0))
    for u, v, r in zip(*edge_index.tolist(), edge_type.tolist()):
        rows[v] = rows[v] + layer.strength[r] * h[u]
    found = layer(x, EdgePlan.make(edge_index, edge_type, N, R))
    of = [x, *layer.parameters()]
    assert_same(with_slopes(found, of), with_slopes(torch.stack(rows), of))


def test_typed_attention_is_qa_gnns_formula_edge_by_edge() -> None:
    torch.manual_seed(0)
    net = TypedAttention(8, num_node_types=3, num_edge_types=R, layers=1, heads=2).eval()
    edge_index, edge_type = edges()
    x, node_type, relevance = torch.randn(N, 8), torch.arange(N) % 3, torch.randn(N)
    found, attention = net(x, edge_index, edge_type, node_type, relevance)

    gelu, layer = torch.nn.functional.gelu, net.layers[0]
    features = []
    for v in range(N):
        waves = torch.tensor([math.sin(1.1**j * float(relevance[v])) for j in range(4)])
        features.append(
            torch.cat([gelu(net.of_type.weight[:, v % 3] + net.of_type.bias), gelu(net.of_relevance(waves))])
        )
    triples = [*zip(*edge_index.tolist(), edge_type.tolist()), *((v, v, R) for v in range(N))]
    logits, messages = [], []
    for s, t, r in triples:
        one_hot = torch.zeros(R + 1 + 6)
        one_hot[[r, R + 1 + s % 3, R + 4 + t % 3]] = 1
        edge = net.edge(one_hot[None])[0]
        query = layer.query(torch.cat([x[s], features[s]])).view(2, 4)
        key = layer.key(torch.cat([x[t], features[t], edge])).view(2, 4)
        logits.append((query * key).sum(1) / 2)  # √4
        messages.append(layer.message(torch.cat([x[s], features[s], edge])).view(2, 4))
    summed = torch.zeros(N, 2, 4)
    shares = []
    for (s, t, _), logit, message in zip(triples, logits, messages):
        rivals = torch.stack([other for (source, _, _), other in zip(triples, logits) if source == s])
        shares.append(logit.exp() / rivals.exp().sum(0))
        summed[t] += len(rivals) * shares[-1][:, None] * message
    expected = gelu(net.before(x) + net.after(gelu(layer.update(summed.flatten(1)))))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(attention[0], torch.stack(shares[: len(edge_type)]))


def test_widths_that_cannot_be_shared_are_told() -> None:
    with pytest.raises(InputError, match=r"heads \(3\) must divide the width 4"):
        HGTLayer(4, 4, 1, 1, heads=3)
    with pytest.raises(InputError, match=r"must be even \(got 5\)"):
        TypedAttention(5, 1, 1)
