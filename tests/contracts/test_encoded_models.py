"""Every graph encoder, decoder and objective that settings can put together builds, takes a step and then scores."""

from __future__ import annotations

import itertools
import typing
from typing import Any

import numpy as np
import pytest
import torch

from kg.embeddings import optimizers
from kg.embeddings.building import build, build_objective
from kg.embeddings.encoded import DECODERS
from kg.embeddings.model_settings import Encoded
from kg.embeddings.ranking import rank
from kg.embeddings.settings import EmbeddingSettings
from kg.embeddings.triples import Triples, number
from kg.gnn import GRAPH_STACKS

ENCODERS: list[dict[str, Any]] = [
    {"kind": "rgcn"},
    {"kind": "rgcn", "num_bases": 2, "dropout": 0.1, "edge_dropout": 0.2},
    {"kind": "rgcn", "num_blocks": 2},
    {"kind": "compgcn", "composition": "corr", "dropout": 0.1},
    {"kind": "rgat", "layers": 2, "heads": 2},
    {"kind": "sacn", "dropout": 0.1},
    {"kind": "sage", "layers": 2, "dropout": 0.1},
    {"kind": "hgt", "layers": 2, "heads": 2, "dropout": 0.1},
]
DECODER_OPTIONS: dict[str, dict[str, Any]] = {"conve": {"height": 2, "channels": 2}, "convtranse": {"channels": 2}}
#: Of convolutions: the batch norm that follows takes shifts away. Rounding moves them, or not, by the processor.
SHIFTS = ("filters.0.bias", "filters.2.bias", "hidden.0.bias")
OBJECTIVES: list[dict[str, Any]] = [
    {"kind": "1-vs-all", "group": 4},
    {"kind": "k-vs-all"},
    {"kind": "negatives", "count": 3},
    {"kind": "negatives", "count": 3, "shared": True},
]


@pytest.fixture(scope="module")
def triples() -> Triples:
    """A ring of nine; one entity has a loop, one relation a single triple."""
    rows = [(f"e{n}", "next", f"e{(n + 1) % 9}") for n in range(9)]
    return number({"train": [*rows, ("e3", "next", "e3"), ("e0", "once", "e5")], "test": [("e1", "once", "e2")]})


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda given: "-".join(map(str, given.values())))
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda given: "-".join(map(str, given.values())))
def test_it_takes_a_step_that_moves_every_parameter(
    triples: Triples, encoder: dict[str, Any], decoder: str, objective: dict[str, Any]
) -> None:
    settings = EmbeddingSettings.model_validate(
        {
            "data": {"folder": "unused"},
            "model": {
                "name": "encoded",
                "dimension": 8,
                "reciprocal": True,
                "encoder": encoder,
                "decoder": {"name": decoder, **DECODER_OPTIONS.get(decoder, {})},
            },
            "training": {"objective": objective, "epochs": 1, "batch": 8, "learning_rate": 0.01, "optimizer": "adam"},
            "run": "unused",
        }
    )
    torch.manual_seed(0)  # of dropout
    model = build(settings, triples).train()
    found = build_objective(settings.training, model, triples["train"])
    optimizer = optimizers.make("adam", model, 0.01, sparse=objective["kind"] == "negatives")
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    loss = found(torch.from_numpy(found.rows()), np.random.default_rng(0))
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert torch.isfinite(loss)
    still = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    assert still <= {name for name in before if name.startswith("decoder.") and name.endswith(SHIFTS)}
    ranks = rank(model.eval(), triples)
    assert ranks.num_nan == 0 and ((ranks.realistic >= 1) & (ranks.realistic <= ranks.candidates)).all()


def test_settings_name_the_encoders_and_decoders_that_there_are() -> None:
    assert _names(Encoded.model_fields["encoder"].annotation, "kind") == set(GRAPH_STACKS)
    assert _names(Encoded.model_fields["decoder"].annotation, "name") == set(DECODERS)
    assert {encoder["kind"] for encoder in ENCODERS} == set(GRAPH_STACKS)


def _names(union: Any, field: str) -> set[str]:
    """What the sections of a union may be called."""
    each = [typing.get_args(section.model_fields[field].annotation) for section in typing.get_args(union)]
    return set(itertools.chain(*each))
