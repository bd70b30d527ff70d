"""A whole run as settings describe it: data, model, training, and the figures of the test split at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kg import devices
from kg.embeddings import EMBEDDING_MODELS, FUSION_MODELS, bi_encoder, checkpoint, optimizers
from kg.embeddings.bi_encoder import BiEncoder
from kg.embeddings.entity_texts import entity_texts
from kg.embeddings.figures import figures
from kg.embeddings.held_out import draw_validation
from kg.embeddings.info_nce import InfoNCE
from kg.embeddings.modalities import read_modalities
from kg.embeddings.model import KGEModel
from kg.embeddings.model_settings import Texts
from kg.embeddings.negatives import NegativeSampling
from kg.embeddings.objectives import ManyVsAll, Objective, OneVsAll
from kg.embeddings.pace import Pace
from kg.embeddings.partitions.export import Checkpoint
from kg.embeddings.partitions.plan import Plan, choose
from kg.embeddings.partitions.ranking import rank as rank_parts
from kg.embeddings.partitions.training import fit as fit_parts
from kg.embeddings.path_model import PathModel, PathNegatives
from kg.embeddings.ranking import Ranks, rank
from kg.embeddings.settings import Data, EmbeddingSettings, Training
from kg.embeddings.sources import read_folder, read_store
from kg.embeddings.training import fit
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
    return _build(settings, triples.num_entities, triples.num_relations, **more)


def _build(settings: EmbeddingSettings, num_entities: int, num_relations: int, **more: Any) -> KGEModel:
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
    two, three = (_build(settings, num, triples.num_relations).state_dict() for num in (2, 3))
    rest = copies * sum(value.nbytes for name, value in two.items() if name != "entities") + 8 * len(two)  # steps
    each = copies * two["entities"].shape[1] * two["entities"].element_size()
    plan = choose(triples.num_entities, each, rest, int(training.memory * 1e6))
    if plan.num_parts > 1:
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


def train(
    settings: EmbeddingSettings,
    *,
    resume: bool = True,
    test: bool = False,
    minutes: float | None = None,
    clock: Callable[[], float] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train as settings say and return the best validation figures, the losses and, if asked, the test figures.

    Args:
        test: rank the test split with the best model; look at it once, when nothing is left to choose.
        minutes: stop after so many with a checkpoint; the result then has "stopped", and the same call goes on.
        clock: seconds, such as ``time.monotonic``; without one no time passes.

    Raises:
        InputError: data, a device or a checkpoint can't be used.
        KeyboardInterrupt: after a checkpoint; the same call goes on.
    """
    pace = Pace(clock or (lambda: 0.0), settings.training.checkpoint_minutes, minutes)
    device, mixed_precision = _device(settings, note)
    triples = read_data(settings.data, settings.seed)
    plan, train = plan_parts(settings, triples), triples["train"]
    if plan.num_parts > 1 and device.type != "cpu":
        if settings.training.device == "cuda":
            raise InputError("training.memory is of the processor, where parts are trained: set training.device to cpu")
        device = torch.device("cpu")
    if plan.num_parts > 1:
        model, train = _build(settings, 2 * plan.size, triples.num_relations), train[:0]
    else:
        model = build(settings, triples, note).to(device)
    objective = build_objective(settings.training, model, train)
    asked = settings.training.objective
    is_sparse = asked.kind == "negatives" and asked.sparse
    optimizer = optimizers.make(settings.training.optimizer, model, settings.training.learning_rate, is_sparse)
    folder = Path(settings.run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(settings.model_dump_json(indent=1), encoding="utf-8")
    options: dict[str, Any] = {
        "epochs": settings.training.epochs,
        "batch": settings.training.batch,
        "decay": settings.training.decay,
        "folder": folder,
        "seed": settings.seed,
        **settings.evaluation.model_dump(),
        "resume": resume,
        "pace": pace,
        "note": note,
    }
    if plan.num_parts > 1:
        assert isinstance(objective, NegativeSampling) and isinstance(optimizer, optimizers.RowOptimizer)
        history = fit_parts(plan, triples, objective, optimizer, **options)
    else:
        history = fit(model, triples, objective, optimizer, mixed_precision=mixed_precision, **options)
    result: dict[str, Any] = {"run": str(folder), "epochs": history.epoch, "valid": history.best}
    result["data"] = {"entities": triples.num_entities, "relations": triples.num_relations, **triples.report}
    if history.step:
        result["stopped"] = {"epoch": history.epoch + 1, "step": history.step}
    elif test:
        result["test"] = figures(_rank_best(folder, model, triples, "test", plan), triples)
        (folder / "test.json").write_text(json.dumps(result["test"], indent=1), encoding="utf-8")
    return result


def _device(settings: EmbeddingSettings, note: Callable[[str], None]) -> tuple[torch.device, bool]:
    """Return where training takes place, and whether in mixed precision."""
    training = settings.training
    device = devices.choose(training.device)
    if training.mixed_precision and settings.model.name not in ("encoded", "nbfnet"):
        raise InputError(
            f"training.mixed_precision is for the models encoded and nbfnet, not for {settings.model.name}: leave it "
            "out (the objective 1-vs-all has a precision of its own)"
        )
    if training.mixed_precision and device.type == "cpu":
        note("on the processor: training.mixed_precision is left out")
        return device, False
    return device, training.mixed_precision


def rank_run(run: str | Path, split: str) -> tuple[Ranks, Triples]:
    """Rank a split with a run's best model, within the memory that its settings allow; return the triples too.

    On a GPU where there is one, unless the run's device is the processor.

    Raises:
        InputError: as ``load``; there is no such split, or it is empty.
    """
    settings = _settings(run)
    triples = read_data(settings.data, settings.seed)
    plan = plan_parts(settings, triples)
    if plan.num_parts == 1:
        model, triples, _ = load(run)
        model.to(devices.choose("cpu" if settings.training.device == "cpu" else "auto"))
    else:
        model = _build(settings, 2 * plan.size, triples.num_relations)
        checkpoint.check(Path(run) / "best", triples.fingerprint())
    return _rank_best(Path(run), model, triples, split, plan), triples


def _rank_best(run: Path, model: KGEModel, triples: Triples, split: str, plan: Plan) -> Ranks:
    if plan.num_parts == 1:
        return rank(model, triples, split)
    Checkpoint(run / "best").load_rest(model)
    return rank_parts(model, run / "best", triples, split)


def _settings(run: str | Path) -> EmbeddingSettings:
    path = Path(run) / "settings.json"
    if not path.is_file():
        raise InputError(f"{run}: there is no run of `kemm kg train`")
    return EmbeddingSettings.model_validate_json(path.read_text(encoding="utf-8"))


def load(run: str | Path) -> tuple[KGEModel, Triples, EmbeddingSettings]:
    """Return the best model of a run, its triples and its settings.

    Raises:
        InputError: there is no run, or its data are no longer those that it was trained on.
    """
    settings = _settings(run)
    triples = read_data(settings.data, settings.seed)
    model = build(settings, triples)
    checkpoint.load_model(Path(run) / "best", model, triples.fingerprint())
    model.eval()
    return model, triples, settings
