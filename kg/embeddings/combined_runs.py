"""Combine trained runs: read their best models, weigh them on the validation split, and keep the weights as a run.

    combine(["runs/kg/texts", "runs/kg/complex"], "runs/kg/both", hops=3)
    model, triples = load("runs/kg/both")

A combination's folder holds ``combination.json`` (which runs, and what has a weight) and ``best/`` with the weights;
the runs stay where they are. See ``kg.embeddings.combination``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kg.embeddings import checkpoint
from kg.embeddings.combination import Combination, fit_weights
from kg.embeddings.figures import figures, summarise
from kg.embeddings.near import Near
from kg.embeddings.ranking import rank
from kg.embeddings.runs import load as load_run
from kg.embeddings.triples import Triples
from kg.errors import InputError


def combine(
    parts: Sequence[str | Path],
    folder: str | Path,
    *,
    hops: int = 0,
    by_relation: bool = True,
    test: bool = False,
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Fit the weights of trained runs, and return the figures of validation and, if asked, of the test split.

    Args:
        parts: runs of ``kemm kg train`` on the same data.
        hops: the longest distance that gets a weight; 0: none does.
        by_relation: whether relations have weights of their own.
        options: of ``fit_weights``. The figures of validation are those of the split that it was given.

    Raises:
        InputError: a run is missing or of other data, or there is no validation split.
    """
    about: dict[str, Any] = {"runs": [str(part) for part in parts], "hops": hops, "by_relation": by_relation}
    model, triples = _build(**about)
    fit_weights(model, triples, triples["valid"], seed=seed, **options)
    folder = Path(folder)
    checkpoint.save(folder / "best", model, None, {"fingerprint": triples.fingerprint()})
    (folder / "combination.json").write_text(json.dumps(about), encoding="utf-8")
    ranks = rank(model, triples, "valid")
    result: dict[str, Any] = {"run": str(folder), "valid": summarise(ranks.realistic, ranks.candidates)}
    result["weights"] = {str(part): float(weight) for part, weight in zip(parts, model.weights.detach(), strict=True)}
    if test:
        result["test"] = figures(rank(model, triples, "test"), triples)
        (folder / "test.json").write_text(json.dumps(result["test"], indent=1), encoding="utf-8")
    return result


def load(folder: str | Path) -> tuple[Combination, Triples]:
    """Return a combination and its triples.

    Raises:
        InputError: there is none, or its runs or their data are no longer those it was made of.
    """
    path = Path(folder) / "combination.json"
    if not path.is_file():
        raise InputError(f"{folder}: there is no combination of `kemm kg combine`")
    model, triples = _build(**json.loads(path.read_text(encoding="utf-8")))
    checkpoint.load_model(Path(folder) / "best", model, triples.fingerprint())
    return model, triples


def _build(runs: Sequence[str], hops: int, by_relation: bool) -> tuple[Combination, Triples]:
    found = [load_run(run) for run in runs]
    triples = found[0][1]
    for run, (_, others, _) in zip(runs, found, strict=True):
        if others.fingerprint() != triples.fingerprint():
            raise InputError(f"{run} and {runs[0]} were trained on other data: combine runs of the same entities")
    near = Near(triples["train"], triples.num_entities, hops) if hops else None
    return Combination([model for model, _, _ in found], near, by_relation), triples
