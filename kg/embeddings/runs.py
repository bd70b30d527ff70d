"""A whole run as settings describe it: data, model, training, and the figures of the test split at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kg.embeddings import EMBEDDING_MODELS, FUSION_MODELS, bi_encoder, checkpoint, optimizers
from kg.embeddings.bi_encoder import BiEncoder
from kg.embeddings.entity_texts import file_texts, store_texts
from kg.embeddings.figures import figures
from kg.embeddings.held_out import draw_validation
from kg.embeddings.info_nce import InfoNCE
from kg.embeddings.modalities import read_modalities
from kg.embeddings.model import KGEModel
from kg.embeddings.negatives import NegativeSampling
from kg.embeddings.objectives import ManyVsAll, Objective, OneVsAll
from kg.embeddings.ranking import rank
from kg.embeddings.settings import Data, EmbeddingSettings, Texts, Training
from kg.embeddings.sources import read_folder, read_store
from kg.embeddings.training import fit
from kg.embeddings.triples import Triples
from kg.errors import InputError
from kg.registry import resolve


def read_data(data: Data, seed: int = 0) -> Triples:
    """Read the triples that settings name.

    Raises:
        InputError: neither or both of folder and store are given, or what reading raises.
    """
    if (data.folder is None) == (data.store is None):
        raise InputError("data needs a folder or a store: one of them")
    if data.folder is not None:
        triples = read_folder(data.folder, columns=data.columns, unseen=data.unseen)
        return draw_validation(triples, data.valid_share) if data.valid_share else triples
    from kg.store.graph import KnowledgeGraph

    assert data.store is not None
    with KnowledgeGraph.open(data.store, create=False) as graph:
        return read_store(graph, data.splits, seed=seed, unseen=data.unseen)


def read_texts(data: Data, file: str | None, triples: Triples) -> list[str]:
    """Read one text for each entity from where the triples came.

    Raises:
        InputError: a folder has no texts.
    """
    if data.folder is not None:
        return file_texts(data.folder, triples.entities, file)
    from kg.store.graph import KnowledgeGraph

    assert data.store is not None
    with KnowledgeGraph.open(data.store, create=False) as graph:
        return store_texts(graph, triples.entities)


def build(settings: EmbeddingSettings, triples: Triples, note: Callable[[str], None] = lambda text: None) -> KGEModel:
    """Return the model that settings describe, with the numbers it starts from.

    Raises:
        InputError: the model can't be asked for heads, or texts or their encoder are missing.
    """
    if isinstance(settings.model, Texts):
        texts = read_texts(settings.data, settings.model.file, triples)
        return bi_encoder.read(texts, triples, seed=settings.seed, note=note, **settings.model.options())
    make = resolve(EMBEDDING_MODELS | FUSION_MODELS, settings.model.name, "embedding model")
    options = {"seed": settings.seed, **settings.model.options()}
    if settings.model.name in FUSION_MODELS:
        if not settings.data.modalities:
            raise InputError(f"the model {settings.model.name} needs data.modalities: a .npy file for each, by name")
        options["modalities"] = read_modalities(settings.data.modalities, triples.entities)
        is_seen = np.isin(np.arange(triples.num_entities), triples["train"][:, [0, 2]])
        options["in_training"] = is_seen & getattr(settings.model, "structure", True)
    model: KGEModel = make(triples.num_entities, triples.num_relations, **options)
    if not model.scores_heads and not model.reciprocal:
        raise InputError(f"the model {settings.model.name} can't score heads: set model.reciprocal to true")
    return model


def build_objective(training: Training, model: KGEModel, triples: Triples) -> Objective:
    """Return the objective that settings describe."""
    asked: Any = training.objective
    common: dict[str, Any] = {"regularizer": training.regularizer, "weight": training.weight}
    train = triples["train"]
    if isinstance(model, BiEncoder) != (asked.kind == "info-nce"):
        raise InputError("the model texts and the objective info-nce go together: change model.name or the objective")
    if isinstance(model, BiEncoder):
        return InfoNCE(model, train, **asked.model_dump(exclude={"kind"}))
    if asked.kind == "1-vs-all":
        return OneVsAll(
            model,
            train,
            precision=getattr(torch, asked.precision),
            group=asked.group,
            relation_prediction=training.relation_prediction,
            **common,
        )
    if asked.kind == "k-vs-all":
        return ManyVsAll(model, train, label_smoothing=asked.label_smoothing, **common)
    given = asked.model_dump(exclude={"kind", "sparse"})
    return NegativeSampling(model, train, **given, **common)


def train(
    settings: EmbeddingSettings,
    *,
    resume: bool = True,
    test: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train as settings say and return the best validation figures, the losses and, if asked, the test figures.

    Args:
        test: rank the test split with the best model; look at it once, when nothing is left to choose.

    Raises:
        InputError: data or a checkpoint can't be used.
        KeyboardInterrupt: after a checkpoint; the same call goes on.
    """
    triples = read_data(settings.data, settings.seed)
    model = build(settings, triples, note)
    objective = build_objective(settings.training, model, triples)
    asked = settings.training.objective
    is_sparse = asked.kind == "negatives" and asked.sparse
    optimizer = optimizers.make(settings.training.optimizer, model, settings.training.learning_rate, is_sparse)
    folder = Path(settings.run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(settings.model_dump_json(indent=1), encoding="utf-8")
    history = fit(
        model,
        triples,
        objective,
        optimizer,
        epochs=settings.training.epochs,
        batch=settings.training.batch,
        decay=settings.training.decay,
        folder=folder,
        seed=settings.seed,
        every=settings.evaluation.every,
        limit=settings.evaluation.limit,
        patience=settings.evaluation.patience,
        resume=resume,
        note=note,
    )
    result: dict[str, Any] = {"run": str(folder), "epochs": history.epoch, "valid": history.best}
    result["data"] = {"entities": triples.num_entities, "relations": triples.num_relations, **triples.report}
    if test:
        result["test"] = figures(rank(model, triples, "test"), triples)
        (folder / "test.json").write_text(json.dumps(result["test"], indent=1), encoding="utf-8")
    return result


def load(run: str | Path) -> tuple[KGEModel, Triples, EmbeddingSettings]:
    """Return the best model of a run, its triples and its settings.

    Raises:
        InputError: there is no run, or its data are no longer those that it was trained on.
    """
    path = Path(run) / "settings.json"
    if not path.is_file():
        raise InputError(f"{run}: there is no run of `kemm kg train`")
    settings = EmbeddingSettings.model_validate_json(path.read_text(encoding="utf-8"))
    triples = read_data(settings.data, settings.seed)
    model = build(settings, triples)
    checkpoint.load_model(Path(run) / "best", model, triples.fingerprint())
    model.eval()
    return model, triples, settings
