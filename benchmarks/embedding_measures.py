"""The measures of ``benchmarks/embeddings.py``.

A measure returns how much work it did and in how many seconds, of the clock and of the processor; what compiles or
warms up is done before. Peers run under any Python that has them, so nothing of theirs touches ``kg``.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.frame import Arguments, Skipped

#: Triples that PyKEEN ranks, and steps of training that are timed: enough for a few seconds.
RANKED, STEPS = 1024, 20


def timed(work: Callable[[], int]) -> dict[str, Any]:
    """Return what ``work`` says it did, a second of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    count = work()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return {"value": count / clock, "note": f"{count:,} in {clock:.1f} s; {count / processor:,.0f} by processor time"}


# -- ours --------------------------------------------------------------------------------------------------------------


def _ours(given: Arguments, name: str) -> tuple[Any, Any]:
    import torch

    from kg.embeddings import EMBEDDING_MODELS
    from kg.embeddings.memory import keep_freed_memory
    from kg.embeddings.sources import read_folder
    from kg.registry import resolve

    keep_freed_memory()
    torch.set_num_threads(given["threads"])
    triples = read_folder(given["data"], unseen="keep-all")
    model = resolve(EMBEDDING_MODELS, name, "embedding model")
    return triples, model(triples.num_entities, triples.num_relations, given["dimension"], initial=0.1)


def ranks_ours(given: Arguments) -> dict[str, Any]:
    from kg.embeddings.known import Known
    from kg.embeddings.ranking import rank

    triples, model = _ours(given, given["model"])
    known = Known(triples.splits.values(), triples.num_entities)
    rank(model, triples, known=known, limit=32)
    return timed(lambda: len(rank(model, triples, known=known).triples))


def _steps(objective: Any, optimizer: Any, batch: int) -> Callable[[], int]:
    import numpy as np
    import torch

    random = np.random.default_rng(0)
    rows = objective.rows()

    def work() -> int:
        for _ in range(STEPS):
            loss = objective(torch.from_numpy(rows[random.integers(0, len(rows), batch)]), random)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return STEPS * batch

    work()
    return work


def all_ours(given: Arguments) -> dict[str, Any]:
    import torch

    from kg.embeddings import optimizers
    from kg.embeddings.bilinear import ComplEx
    from kg.embeddings.objectives import OneVsAll

    triples, _ = _ours(given, "complex")
    model = ComplEx(triples.num_entities, triples.num_relations, given["dimension"], reciprocal=True)
    precision = getattr(torch, given["precision"])
    objective = OneVsAll(model, triples["train"], precision=precision, group=given.get("group", 1))
    result = timed(_steps(objective, optimizers.make("adagrad", model, 0.1), given["batch"]))
    answers = len(objective._answers) / len(objective.rows())
    result["note"] += f"; {answers:.2f} answers a query"
    return result


def all_products(given: Arguments) -> dict[str, Any]:
    """The three products of such a step, and nothing else: what bounds it from above."""
    import torch

    from kg.embeddings.memory import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(given["threads"])
    precision = getattr(torch, given["precision"])
    batch, width = given["batch"], 2 * given["dimension"]
    entities = len({end for line in lines(given["data"], "train") for end in (line[0], line[2])})
    query, keys = torch.randn(batch, width).to(precision), torch.randn(entities, width).to(precision)

    def work() -> int:
        for _ in range(STEPS):
            slope = query @ keys.T
            slope @ keys
            slope.T @ query
        return STEPS * batch

    work()
    return timed(work)


def negatives_ours(given: Arguments) -> dict[str, Any]:
    from kg.embeddings import optimizers
    from kg.embeddings.negatives import NegativeSampling

    triples, model = _ours(given, given["model"])
    objective = NegativeSampling(model, triples["train"], count=32, shared=given.get("shared", False))
    return timed(_steps(objective, optimizers.make("adam", model, 1e-3, sparse=True), given["batch"]))


# -- PyKEEN ------------------------------------------------------------------------------------------------------------


def lines(folder: str, split: str) -> list[list[str]]:
    path = next(path for path in sorted(Path(folder).iterdir()) if path.name.startswith(f"{split}."))
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    return [line.split("\t") for line in text.splitlines()]


def _pykeen(given: Arguments, inverse: bool = False) -> tuple[Any, dict[str, Any]]:
    try:
        import numpy as np
        import torch
        from pykeen.triples import TriplesFactory
    except ImportError:
        raise Skipped("pykeen is not installed (--peer-python)") from None
    torch.set_num_threads(given["threads"])
    every = {split: np.array(lines(given["data"], split)) for split in ("train", "valid", "test")}
    whole = TriplesFactory.from_labeled_triples(np.concatenate(list(every.values())))
    factories = {
        split: TriplesFactory.from_labeled_triples(
            rows,
            entity_to_id=whole.entity_to_id,
            relation_to_id=whole.relation_to_id,
            create_inverse_triples=inverse,
        )
        for split, rows in every.items()
    }
    return torch, factories


_PYKEEN_MODELS = {"distmult": "DistMult", "complex": "ComplEx", "transe": "TransE", "rotate": "RotatE"}


def _pykeen_model(name: str, factory: Any, dimension: int, **options: Any) -> Any:
    import pykeen.models

    return getattr(pykeen.models, _PYKEEN_MODELS[name])(triples_factory=factory, embedding_dim=dimension, **options)


def ranks_pykeen(given: Arguments) -> dict[str, Any]:
    _, factories = _pykeen(given)
    from pykeen.evaluation import RankBasedEvaluator

    model = _pykeen_model(given["model"], factories["train"], given["dimension"])
    known = [factories["train"].mapped_triples, factories["valid"].mapped_triples]
    rows = factories["test"].mapped_triples

    def work(count: int = RANKED) -> int:
        evaluator = RankBasedEvaluator(filtered=True)
        evaluator.evaluate(model, rows[:count], additional_filter_triples=known, batch_size=64, use_tqdm=False)
        return count

    work(64)
    return timed(work)


def all_pykeen(given: Arguments) -> dict[str, Any]:
    torch, factories = _pykeen(given, inverse=True)
    from pykeen.training import LCWATrainingLoop

    factory = factories["train"]
    model = _pykeen_model("complex", factory, given["dimension"], loss="crossentropy")
    batch = given["batch"]

    def work() -> int:
        loop = LCWATrainingLoop(
            model=model,
            triples_factory=factory,
            optimizer=torch.optim.Adagrad(model.parameters(), lr=0.1),
        )
        return _epoch_of_steps(loop, factory, batch)

    work()
    return timed(work)


def negatives_pykeen(given: Arguments) -> dict[str, Any]:
    torch, factories = _pykeen(given)
    from pykeen.training import SLCWATrainingLoop

    factory = factories["train"]
    model = _pykeen_model(given["model"], factory, given["dimension"])
    batch = given["batch"]

    def work() -> int:
        loop = SLCWATrainingLoop(
            model=model,
            triples_factory=factory,
            optimizer=torch.optim.Adam(model.parameters(), lr=1e-3),
            negative_sampler="basic",
            negative_sampler_kwargs={"num_negs_per_pos": 32},
        )
        return _epoch_of_steps(loop, factory, batch)

    work()
    return timed(work)


def _epoch_of_steps(loop: Any, factory: Any, batch: int) -> int:
    """Train on so many triples that there are ``STEPS`` batches; return how many batches' worth there were."""
    count = STEPS * batch
    small = factory.clone_and_exchange_triples(factory.mapped_triples[:count])
    loop.train(small, num_epochs=1, batch_size=batch, use_tqdm=False, use_tqdm_batch=False)
    if type(loop).__name__.startswith("LCWA"):  # it goes through distinct (h, r), reciprocals too
        rows = small.mapped_triples
        pairs = {tuple(pair) for pair in rows[:, :2].tolist()} | {(-1 - t, r) for _, r, t in rows.tolist()}
        return len(pairs)
    return count
