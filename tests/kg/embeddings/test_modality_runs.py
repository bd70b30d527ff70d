"""A run with modalities from its settings: trained, ranked, loaded again; and names a model can't be built with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from kg.embeddings.combination import Combination, fit_weights
from kg.embeddings.gate import Gated
from kg.embeddings.modalities import write_modality
from kg.embeddings.ranking import rank
from kg.embeddings.runs import load, train
from kg.embeddings.settings import EmbeddingSettings
from kg.errors import InputError

MODELS: list[dict[str, Any]] = [
    {"name": "gated", "modality_dropout": 0.2, "relation_aware": True},
    {"name": "momok", "base": "tucker", "tucker": {"batch_norm": True, "hidden_dropouts": [0.1, 0.1]}, "experts": 2},
    {"name": "mygo", "base": "distmult", "dimension": 32, "hidden": 16, "token_dropouts": [0.1, 0.1]},
    {"name": "mhyper"},
]
TEXT_ALONE = {"name": "gated", "structure": False}
RATES = {"mygo": 0.003}  # a Transformer wants small steps, and so more of them
EPOCHS = {"mygo": 80}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ring in which the text of an entity says where it stands; e12 is in no training triple."""
    near = [f"e{n}\tnext\te{(n + 1) % 12}\n" for n in range(12)]
    splits = {"train": near, "valid": ["e0\tnext\te12\n"], "test": ["e1\tnext\te12\n"]}
    for split, lines in splits.items():
        (tmp_path / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
    angles = 2 * np.pi * np.arange(13) / 12
    texts = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    texts[12] = texts[1]  # e12 reads like e1, which follows e0
    write_modality(tmp_path / "text.npy", [f"e{n}" for n in range(13)], texts)
    write_modality(tmp_path / "picture.npy", ["e3"], np.ones((1, 2, 3)))
    return tmp_path


def settings(folder: Path, model: dict[str, Any], **data: Any) -> EmbeddingSettings:
    paths = {"text": str(folder / "text.npy"), "picture": str(folder / "picture.npy")}
    given = {
        "data": {"folder": str(folder), "modalities": paths, **data},
        "model": {"dimension": 8, "initial": 0.1, **model},
        "training": {
            "objective": {"kind": "1-vs-all"},
            "epochs": EPOCHS.get(model["name"], 40),
            "batch": 8,
            "learning_rate": RATES.get(model["name"], 0.03),
        }
        | {"optimizer": "adam"},
        "evaluation": {"every": 200},
        "run": str(folder / "run"),
    }
    return EmbeddingSettings.model_validate(given)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_every_model_learns_from_its_settings_and_comes_back_from_disk(folder: Path, model: dict[str, Any]) -> None:
    train(settings(folder, model))
    loaded, triples, _ = load(folder / "run")
    ranks = rank(loaded, triples, "train").realistic
    assert (1 / ranks).mean() > 0.6  # by chance 0.25
    assert rank(loaded, triples, "test").num_nan == 0


def test_an_entity_that_training_never_saw_is_found_by_its_text(folder: Path) -> None:
    train(settings(folder, {"name": "gated", "modality_dropout": 0.5}))
    loaded, triples, _ = load(folder / "run")
    ranks = rank(loaded, triples, "valid").realistic  # e0 next e12, which reads like e1
    assert ranks[0, 0] <= 2


def test_models_of_one_modality_each_are_fused_late(folder: Path) -> None:
    models = []
    for name, model in {"structure": {"name": "complex", "reciprocal": True}, "text": TEXT_ALONE}.items():
        given = settings(folder, model).model_copy(update={"run": str(folder / name)})
        train(given)
        models.append(load(folder / name)[0])
    text = models[1]
    assert isinstance(text, Gated)
    assert text.weights(torch.arange(13))[:, 0].max() == 0  # structure has no part in it
    triples = load(folder / "text")[1]
    fused = Combination(models, by_relation=False)
    fit_weights(fused, triples, triples["valid"])  # which only the text can answer
    of_structure, of_text = fused.weights.tolist()
    assert of_text > 0 and of_text > of_structure
    assert rank(fused, triples, "valid").realistic[0, 0] <= 2


def test_a_validation_split_can_be_drawn_from_training(folder: Path) -> None:
    more = "".join(f"e{n}\tnext\te{(n + 2) % 12}\n" for n in range(12))
    (folder / "train.tsv").write_text((folder / "train.tsv").read_text() + more)
    found = train(settings(folder, MODELS[0], valid_share=0.25))
    assert found["data"]["train"]["triples"] == 18 and found["data"]["valid"]["triples"] == 6


def test_models_and_modalities_that_do_not_fit_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*text.npy"):
        (folder / "text.npy").unlink()
        train(settings(folder, MODELS[0]))
    with pytest.raises(ValidationError, match="base"):
        settings(folder, {"name": "gated", "base": "rotate"})
    with pytest.raises(ValidationError, match="tucker"):
        settings(folder, {"name": "gated", "base": "complex", "tucker": {"batch_norm": True}})
    with pytest.raises(InputError, match=r"gated needs data\.modalities: a \.npy file for each"):
        train(settings(folder, MODELS[0], modalities={}))
