"""Knowledge put into a text model: what may be read, what starts as nothing, and what reaches whom."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from kemm.fuse.entity_injection import ErnieLayer, KnowledgeAttention
from kemm.fuse.text_graph import TextGraphPairs
from kemm.fuse.transformer import Transformer
from kemm.fuse.visible_matrix import Branch, sentence_tree
from kg.errors import InputError

D, E = 8, 6


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


# ── K-BERT ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_sentence_of_the_paper() -> None:
    # "Tim Cook visits Beijing": (Cook, CEO, Apple) and (Beijing, capital, China), (Beijing, is, city)
    tim, cook, visits, beijing, ceo, apple, capital, china, is_, city = range(10)
    branches = [Branch(1, (ceo, apple)), Branch(3, (capital, china)), Branch(3, (is_, city))]
    tree = sentence_tree([tim, cook, visits, beijing], branches, mentions=[(0, 1)])
    assert tree.words == [tim, cook, ceo, apple, visits, beijing, capital, china, is_, city]
    assert tree.positions.tolist() == [0, 1, 2, 3, 2, 3, 4, 5, 4, 5]
    assert ["".join("x" if may else "." for may in row) for row in tree.visible] == [
        "xxxxxx....",  # Tim: the mention is of both words
        "xxxxxx....",
        "xxxx......",  # CEO: the mention and Apple, but neither "visits" nor Beijing
        "xxxx......",
        "xx..xx....",
        "xx..xxxxxx",
        ".....xxx..",
        ".....xxx..",
        ".....x..xx",
        ".....x..xx",
    ]
    with pytest.raises(InputError, match="a branch is at word 4, but the sentence has 4 words"):
        sentence_tree([0, 1, 2, 3], [Branch(4, (9,))])


def test_a_fact_reaches_other_words_through_its_mention_alone() -> None:
    encoder, words = Transformer(D, 1, 2), drawn(10, D)
    tree = sentence_tree([0, 1, 2], [Branch(1, (3, 4))])
    x, y = words[torch.tensor(tree.words)][None], words[torch.tensor(tree.words)][None].clone()
    y[:, 2:4] += drawn(2, D)  # another fact
    before, after = encoder(x, mask=tree.visible), encoder(y, mask=tree.visible)
    assert torch.equal(before[0, [0, 4]], after[0, [0, 4]]) and not torch.allclose(before[0, 1], after[0, 1])
    deeper = Transformer(D, 2, 2)
    assert not torch.allclose(deeper(x, mask=tree.visible)[0, 4], deeper(y, mask=tree.visible)[0, 4])


# ── ERNIE ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_word_is_mixed_with_the_entity_that_it_begins() -> None:
    layer = ErnieLayer(D, 2, E, 3).eval()
    words, entities, aligned = drawn(1, 4, D), drawn(1, 2, E), torch.tensor([[2, -1]])
    out, fused = layer(words, entities, aligned)
    w = layer.words_norm(words + layer.words(words))
    e = layer.entities_norm(entities + layer.entities(entities))
    h = functional.gelu(layer.word_in(w[0, 2]) + layer.entity_in(e[0, 0]))
    torch.testing.assert_close(out[0, 2], layer.word_out_norm(w[0, 2] + layer.word_out(h)))
    torch.testing.assert_close(fused[0, 0], layer.entity_out_norm(e[0, 0] + layer.entity_out(h)))
    assert torch.equal(fused[0, 1], e[0, 1])  # begins at no word
    alone = functional.gelu(layer.word_in(w[0, 1]))
    torch.testing.assert_close(out[0, 1], layer.word_out_norm(w[0, 1] + layer.word_out(alone)))


# ── KnowBert ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_mentions_words_stay_and_scores_are_of_real_candidates() -> None:
    layer = KnowledgeAttention(D, E, 2)
    words, spans = drawn(2, 5, D), torch.tensor([[[1, 2]], [[-1, -1]]])
    candidates, priors = drawn(2, 1, 3, E), torch.rand(2, 1, 3)
    real = torch.tensor([[[True, True, False]], [[False] * 3]])
    out, scores = layer(words, spans, candidates, priors, real)
    assert torch.equal(out[1], words[1]) and not torch.allclose(out[0], words[0])
    assert torch.equal(scores.isfinite(), real)
    out.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())
    other = candidates.clone()
    other[:, :, 2] += 5.0  # no real candidate
    assert torch.equal(layer(words, spans, other, priors, real)[0], out)


def test_candidates_below_the_threshold_are_not_read() -> None:
    layer = KnowledgeAttention(D, E, 2, threshold=1e9)
    words, spans, real = drawn(1, 5, D), torch.tensor([[[1, 2]]]), torch.ones(1, 1, 3, dtype=torch.bool)
    one, two = (
        layer(words, spans, c, torch.rand(1, 1, 3), real)[0] for c in (drawn(1, 1, 3, E), torch.ones(1, 1, 3, E))
    )
    assert torch.equal(one, two)


# ── GreaseLM ──────────────────────────────────────────────────────────────────────────────────────────────────────


def pairs() -> tuple[TextGraphPairs, dict[str, Tensor]]:
    torch.manual_seed(0)
    # two graphs of two nodes: 0 → 1 and 2 → 3; nodes 0 and 2 are the interaction nodes
    given = {
        "text": drawn(2, 3, D),
        "nodes": drawn(4, E),
        "edges": torch.tensor([[1, 3], [0, 2]]),
        "relations": drawn(2, E),
        "first": torch.tensor([0, 2]),
    }
    return TextGraphPairs(D, 2, 2, E), given


def test_it_starts_as_the_text_model_that_it_was() -> None:
    model, given = pairs()
    text, _ = model(text_mask=None, **given)
    plain = given["text"]
    for block in model.blocks:
        plain = block(plain)
    assert torch.equal(text, plain)


def test_a_graph_reaches_its_own_text_through_the_interaction_node_and_no_other_text() -> None:
    model, given = pairs()
    for mixer in model.mixers:
        torch.nn.init.normal_(mixer[-1].weight)
    before, _ = model(text_mask=None, **given)
    other = given | {
        "nodes": given["nodes"] + torch.tensor([[0.0], [1.0], [0.0], [0.0]]) * drawn(1, E)
    }  # node 1, of the first graph
    after, _ = model(text_mask=None, **other)
    assert not torch.allclose(before[0], after[0]) and torch.equal(before[1], after[1])
    changed = given | {"text": given["text"] + torch.tensor([1.0, 0.0])[:, None, None] * drawn(2, 3, D)}
    seen = model(text_mask=None, **changed)[1]
    wanted = model(text_mask=None, **given)[1]
    assert not torch.allclose(seen[0], wanted[0]) and torch.equal(seen[2:], wanted[2:])
