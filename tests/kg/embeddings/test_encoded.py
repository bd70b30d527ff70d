"""An encoder with a decoder is one model: it encodes once a step and once a ranking, and trains from settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kg.embeddings import optimizers
from kg.embeddings.bilinear import DistMult
from kg.embeddings.encoded import EncodedModel
from kg.embeddings.objectives import ManyVsAll, OneVsAll
from kg.embeddings.ranking import rank
from kg.embeddings.runs import load, train
from kg.embeddings.settings import EmbeddingSettings
from kg.embeddings.triples import Triples, number
from kg.errors import InputError
from kg.gnn import GRAPH_STACKS

#: A ring of 12, each entity "one" step before the next and "two" before the one after it.
STEPS = [(f"e{n}", name, f"e{(n + step) % 12}") for n in range(12) for name, step in (("one", 1), ("two", 2))]

NOTHING_DROPPED = {"feature_dropout": 0.0, "hidden_dropout": 0.0}
DECODER_OPTIONS = {"conve": {"height": 4, **NOTHING_DROPPED}, "convtranse": NOTHING_DROPPED}


@pytest.fixture
def ring() -> Triples:
    return number({"train": STEPS[:20], "valid": STEPS[20:22], "test": STEPS[22:]})


def build(ring: Triples, kind: str = "rgcn", decoder: str = "distmult", **more: Any) -> EncodedModel:
    options: dict[str, Any] = {"reciprocal": True, **more}
    choice = {"name": decoder} | ({"height": 2, "channels": 2} if decoder == "conve" else {})
    return EncodedModel(12, 2, 8, ring["train"], {"kind": kind, **options.pop("encoder", {})}, choice, **options)


def count_encodings(model: EncodedModel) -> list[int]:
    calls: list[int] = []
    model.encoder.register_forward_hook(lambda *given: calls.append(1))
    return calls


@pytest.mark.parametrize("kind", GRAPH_STACKS)
def test_scores_are_the_decoders_on_the_encoders_vectors(ring: Triples, kind: str) -> None:
    model = build(ring, kind).eval()
    with torch.no_grad():
        x, z = model.encoder(*model.given)
        plain = DistMult(12, 2, 8, reciprocal=True)
        plain.entities.copy_(x)
        plain.relations.copy_(z)
        heads, relations = torch.tensor([0, 5]), torch.tensor([1, 0])
        torch.testing.assert_close(model.score_tails(heads, relations), plain.score_tails(heads, relations))
        torch.testing.assert_close(model.score_heads(relations, heads), plain.score_heads(relations, heads))
    assert not torch.allclose(x, model.given[0], atol=0.1)


def test_entities_are_encoded_once_a_step_and_once_a_ranking(ring: Triples) -> None:
    model = build(ring)
    objective = OneVsAll(model, ring["train"], weight=0.1, relation_prediction=0.1)
    optimizer = optimizers.make("adam", model, 0.01)
    calls = count_encodings(model)
    for step in (1, 2, 3):
        optimizer.zero_grad()
        objective(torch.from_numpy(objective.rows()[:6]), np.random.default_rng(0)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert len(calls) == step
    rank(model, ring)
    assert len(calls) == 4
    with torch.no_grad():
        before = model.score_tails(torch.tensor([0]), torch.tensor([0]))
        model.given[0].mul_(2)
        assert not torch.equal(model.score_tails(torch.tensor([0]), torch.tensor([0])), before)


@pytest.mark.parametrize("kind", GRAPH_STACKS)
def test_every_parameter_learns(ring: Triples, kind: str) -> None:
    model = build(ring, kind, decoder="conve")
    objective = ManyVsAll(model, ring["train"])
    objective(torch.from_numpy(objective.rows()), np.random.default_rng(0)).backward()  # type: ignore[no-untyped-call]
    idle = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert idle == []


@pytest.mark.parametrize(
    ("kind", "decoder", "objective"),
    [
        ("rgcn", "distmult", {"kind": "negatives", "count": 8, "loss": "softmax"}),
        ("compgcn", "distmult", {"kind": "1-vs-all"}),
        ("compgcn", "conve", {"kind": "k-vs-all"}),
        ("rgat", "complex", {"kind": "1-vs-all"}),
        ("sacn", "convtranse", {"kind": "k-vs-all"}),
        ("sage", "distmult", {"kind": "1-vs-all"}),
        ("hgt", "complex", {"kind": "1-vs-all"}),
    ],
)
def test_a_run_learns_the_ring_and_loads_again(
    kind: str, decoder: str, objective: dict[str, Any], tmp_path: Path
) -> None:
    for split, rows in (("train", STEPS), ("valid", STEPS[:6]), ("test", STEPS[6:12])):
        (tmp_path / f"{split}.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    settings = EmbeddingSettings.model_validate(
        {
            "data": {"folder": str(tmp_path)},
            "model": {
                "name": "encoded",
                "dimension": 16,
                "reciprocal": True,
                "encoder": {"kind": kind, "layers": 1},
                "decoder": {"name": decoder, **DECODER_OPTIONS.get(decoder, {})},
            },
            "training": {"objective": objective, "epochs": 40, "batch": 24, "learning_rate": 0.02, "optimizer": "adam"},
            "evaluation": {"every": 20},
            "run": str(tmp_path / "run"),
        }
    )
    result = train(settings, test=True)
    assert result["valid"]["mrr"] > 0.7  # 11 candidates are left of 12: by chance 0.27
    model, triples, _ = load(tmp_path / "run")
    again = rank(model, triples, "test")
    assert float((1 / again.realistic).mean()) == result["test"]["both"]["mrr"]


def test_what_cannot_be_put_together_says_what_to_set(ring: Triples) -> None:
    with pytest.raises(InputError, match="compgcn transforms relations and their inverses"):
        build(ring, "compgcn", reciprocal=False)
    with pytest.raises(InputError, match=r"model.encoder.heads \(3\) must divide the width of entities \(8\)"):
        build(ring, "rgat", encoder={"heads": 3})
    with pytest.raises(InputError, match="there is no decoder 'distmul'; did you mean 'distmult'"):
        build(ring, decoder="distmul")
