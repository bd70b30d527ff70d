"""The same figures and scores as PyKEEN, where it is installed: `pip install pykeen` to run this."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kg.embeddings import EMBEDDING_MODELS
from kg.embeddings.figures import figures
from kg.embeddings.model import KGEModel
from kg.embeddings.ranking import rank
from kg.embeddings.triples import Triples
from kg.registry import resolve
from tests.kg.embeddings.fixed import FixedScores, scores

pykeen = pytest.importorskip("pykeen", reason="pip install pykeen to compare with it")


@pytest.mark.parametrize("levels", [3, 1000])
def test_figures_are_those_of_pykeens_evaluator_on_the_same_scores(levels: int) -> None:
    from pykeen.evaluation import RankBasedEvaluator

    random = np.random.default_rng(levels)
    rows = np.unique(random.integers(0, [40, 3, 40], (900, 3)), axis=0)
    random.shuffle(rows)
    names = [f"e{n}" for n in range(40)], [f"r{n}" for n in range(3)]
    triples = Triples(*names, {"train": rows[:500], "valid": rows[500:600], "test": rows[600:]})
    table = scores(40, 3, levels, seed=1)
    found = figures(rank(FixedScores(table), triples))

    evaluator = RankBasedEvaluator(filtered=True)
    known = {tuple(row) for row in rows.tolist()}
    batch = torch.from_numpy(triples["test"].astype(np.int64))
    for target, column in (("tail", 2), ("head", 0)):
        all_scores = table[batch[:, 0], batch[:, 1]] if target == "tail" else table[:, batch[:, 1], batch[:, 2]].T
        kept = all_scores.clone()
        for n, row in enumerate(batch.tolist()):
            for e in range(40):
                asked = (row[0], row[1], e) if target == "tail" else (e, row[1], row[2])
                if asked in known and e != row[column]:
                    kept[n, e] = torch.nan
        true = all_scores[torch.arange(len(batch)), batch[:, column]][:, None]
        evaluator.process_scores_(
            hrt_batch=batch, target=target, scores=kept, true_scores=true, dense_positive_mask=None
        )
    theirs = evaluator.finalize()
    sides = {"both": "both", "tails": "tail", "heads": "head"}
    figure_names = {
        "mrr": "inverse_harmonic_mean_rank",
        "hits@1": "hits_at_1",
        "hits@3": "hits_at_3",
        "hits@10": "hits_at_10",
        "mean_rank": "arithmetic_mean_rank",
        "amri": "adjusted_arithmetic_mean_rank_index",
    }
    for ours, side in sides.items():
        for figure, name in figure_names.items():
            assert found[ours][figure] == pytest.approx(theirs.get_metric(f"{side}.realistic.{name}"), abs=1e-6)
    for policy in ("optimistic", "pessimistic"):
        for figure, name in figure_names.items():
            if figure != "amri":  # PyKEEN has it for realistic ranks alone
                expected = theirs.get_metric(f"both.{policy}.{name}")
                assert found[policy][figure] == pytest.approx(expected, abs=1e-6)


def vectors(model: KGEModel, name: str, entity: torch.Tensor, role: str) -> Any:
    """What PyKEEN's interaction takes for our entities or relations."""
    halves = torch.chunk(entity, 2, -1)
    if (name in ("complex", "rotate") and role != "relation") or name == "complex":
        return torch.complex(*halves)
    if name == "rotate":
        return torch.polar(torch.ones_like(entity), entity)
    if name == "cp":
        return entity if role == "relation" else halves[0] if role == "head" else halves[1]
    if name == "simple" and role == "tail":
        return halves[::-1]  # PyKEEN's forward direction takes the tail's vector as a tail first
    if name in ("simple", "transd") or (name == "transh" and role == "relation"):
        return halves
    if role != "relation":
        return entity
    if name == "rescal":
        return entity.unflatten(-1, (8, 8))
    if name == "transr":
        return entity[..., :8], entity[..., 8:].unflatten(-1, (8, 8)).transpose(-1, -2)
    if name == "ntn":
        return model.parts(entity)  # type: ignore[operator]
    return entity


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "distmult": ("DistMultInteraction", {}),
    "complex": ("ComplExInteraction", {}),
    "cp": ("CPInteraction", {}),
    "simple": ("SimplEInteraction", {}),
    "rescal": ("RESCALInteraction", {}),
    "hole": ("HolEInteraction", {}),
    "transe": ("TransEInteraction", {"p": 1}),
    "rotate": ("RotatEInteraction", {}),
    "transh": ("TransHInteraction", {"p": 2, "power_norm": True}),
    "transr": ("TransRInteraction", {"p": 2, "power_norm": True, "max_projection_norm": 1e9}),
    "ntn": ("NTNInteraction", {}),
    "tucker": ("TuckERInteraction", {"embedding_dim": 8, "apply_batch_normalization": False}),
}


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_pykeens_interaction_with_the_same_weights(name: str) -> None:
    from pykeen.nn import modules

    options: dict[str, Any] = {"norm": 2} if name == "rotate" else {}
    model: KGEModel = resolve(EMBEDDING_MODELS, name, "model")(9, 4, dimension=8, initial=0.3, seed=1, **options)
    kind, arguments = CASES[name]
    interaction = getattr(modules, kind)(**arguments).eval()
    if name == "tucker":
        interaction.core_tensor.data = model.core.data  # type: ignore[union-attr]
    heads, relations, tails = torch.tensor([0, 1, 8]), torch.tensor([0, 3, 2]), torch.tensor([5, 1, 7])
    with torch.no_grad():
        h, t = (
            vectors(model, name, model.entities[numbers], role) for numbers, role in ((heads, "head"), (tails, "tail"))
        )
        r = vectors(model, name, model.relations[relations], "relation")
        if name == "cp":
            h, r, t = (x[..., None, :] for x in (h, r, t))
        if name == "transh":
            w, d = r
            r = (torch.nn.functional.normalize(w, dim=-1), d)
        expected = interaction(h, r, t)
        torch.testing.assert_close(model.score(heads, relations, tails), expected, rtol=1e-4, atol=1e-5)
