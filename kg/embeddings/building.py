"""What settings describe, made: the triples, the model, in how many parts it is trained, and the objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from kg.embeddings import EMBEDDING_MODELS, FUSION_MODELS, bi_encoder, optimizers
from kg.embeddings.bi_encoder import BiEncoder
from kg.embeddings.entity_texts import entity_texts
from kg.embeddings.held_out import draw_validation
from kg.embeddings.info_nce import InfoNCE
from kg.embeddings.modalities import read_modalities
from kg.embeddings.model import KGEModel
from kg.embeddings.model_settings import Texts
from kg.embeddings.negatives import NegativeSampling
from kg.embeddings.objectives import ManyVsAll, Objective, OneVsAll
from kg.embeddings.partitions.plan import Plan, choose
from kg.embeddings.path_model import PathModel, PathNegatives
from kg.embeddings.settings import Data, EmbeddingSettings, Training
from kg.embeddings.sources import read_folder, read_store
from kg.embeddings.triples import Array, Triples
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


def build(settings: EmbeddingSettings, triples: Triples, note: Callable[[str], None] = lambda text: None) -> KGEModel:
    """Return the model that settings describe, with the numbers it starts from.

    Raises:
        InputError: the model can't be asked for heads, or its modalities, texts or encoder are missing.
    """
    if isinstance(settings.model, Texts):
        texts = entity_texts(settings.data, settings.model.file, triples.entities)
        return bi_encoder.read(texts, triples, seed=settings.seed, note=note, **settings.model.options())
    make: Any = resolve(EMBEDDING_MODELS | FUSION_MODELS, settings.model.name, "embedding model")
    more: dict[str, Any] = {}
    if settings.model.name in FUSION_MODELS:
        if not settings.data.modalities:
            raise InputError(f"the model {settings.model.name} needs data.modalities: a .npy file for each, by name")
        more["modalities"] = read_modalities(settings.data.modalities, triples.entities)
        is_seen = np.isin(np.arange(triples.num_entities), triples["train"][:, [0, 2]])
        more["in_training"] = is_seen & getattr(settings.model, "structure", True)
    if getattr(make, "reads_graph", False):
        more["train"] = triples["train"]
    return bare_model(settings, triples.num_entities, triples.num_relations, **more)


def bare_model(settings: EmbeddingSettings, num_entities: int, num_relations: int, **more: Any) -> KGEModel:
    """Return a model of so many entities and relations; ``more`` is what the data give it beside them.

    Raises:
        InputError: the model can't be asked for heads.
    """
    make: Any = resolve(EMBEDDING_MODELS | FUSION_MODELS, settings.model.name, "embedding model")
    options = {"seed": settings.seed, **settings.model.options(), **more}
    model: KGEModel = make(num_entities, num_relations, **options)
    if not model.scores_heads and not model.reciprocal:
        raise InputError(f"the model {settings.model.name} can't score heads: set model.reciprocal to true")
    return model


def plan_parts(settings: EmbeddingSettings, triples: Triples) -> Plan:
    """Return in how many parts the entities are trained so that ``training.memory`` is kept to; one without a limit.

    Raises:
        InputError: parts are needed, and the objective or the model can't be trained so, or the limit is too small.
    """
    training = settings.training
    if training.memory is None:
        return Plan(triples.num_entities, 1)
    if isinstance(settings.model, Texts):
        raise InputError("the model texts can't be trained in parts: leave training.memory out")
    make: Any = resolve(EMBEDDING_MODELS | FUSION_MODELS, settings.model.name, "embedding model")
    if settings.model.name in FUSION_MODELS or getattr(make, "reads_graph", False):
        raise InputError(f"the model {settings.model.name} can't be trained in parts: leave training.memory out")
    copies = 1 + len(optimizers.KEPT[training.optimizer])
    two, three = (bare_model(settings, num, triples.num_relations).state_dict() for num in (2, 3))
    rest = copies * sum(value.nbytes for name, value in two.items() if name != "entities") + 8 * len(two)  # steps
    each = copies * two["entities"].shape[1] * two["entities"].element_size()
    plan = choose(triples.num_entities, each, rest, int(training.memory * 1e6))
    if plan.num_parts > 1:
        if training.device == "cuda":
            raise InputError("training.memory is of the processor, where parts are trained: set training.device to cpu")
        grown = [name for name in two if name != "entities" and two[name].shape != three[name].shape]
        if grown:
            raise InputError(
                f"the model {settings.model.name} can't be trained in parts, for its {grown[0]} are of entities too: "
                "leave training.memory out, or take another model"
            )
        if training.objective.kind != "negatives" or not training.objective.sparse:
            raise InputError(
                f"training.memory of {training.memory:g} MB needs {plan.num_parts} parts, which are trained by the "
                "objective negatives with sparse: true; leave training.memory out, or change the objective"
            )
    return plan


def build_objective(training: Training, model: KGEModel, train: Array) -> Objective:
    """Return the objective that settings describe, on (N, 3) triples."""
    asked: Any = training.objective
    common: dict[str, Any] = {"regularizer": training.regularizer, "weight": training.weight}
    if isinstance(model, BiEncoder) != (asked.kind == "info-nce"):
        raise InputError("the model texts and the objective info-nce go together: change model.name or the objective")
    if isinstance(model, BiEncoder):
        return InfoNCE(model, train, **asked.model_dump(exclude={"kind"}))
    if isinstance(model, PathModel):
        if asked.kind != "negatives":
            raise InputError(f"the model nbfnet trains by negatives: training.objective.kind can't be {asked.kind}")
        return PathNegatives(model, train, **asked.model_dump(exclude={"kind", "sparse"}), **common)
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
