"""Devices: what GPUs compute in plain torch is what compiled kernels do, and a GPU that isn't there is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from kg import devices
from kg.embeddings import optimizers
from kg.embeddings.counting import count_each
from kg.embeddings.distances import distances, distances_to_rows
from kg.embeddings.encoded import EncodedModel
from kg.embeddings.gathered import product_of_rows
from kg.embeddings.negatives import NegativeSampling
from kg.embeddings.path_model import PathModel, PathNegatives
from kg.embeddings.ranking import rank
from kg.embeddings.runs import train
from kg.embeddings.settings import EmbeddingSettings
from kg.embeddings.training import fit
from kg.embeddings.translational import TransE
from kg.embeddings.triples import Triples, number
from kg.errors import InputError
from kg.gnn import plain
from kg.gnn.messages import products, sum_products, sum_rows
from kg.gnn.plan import EdgePlan
from kg.gnn.spread import spread_of_products

N, R, M = 9, 4, 300  # node 8 stands alone, and a node has more edges than a piece holds


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], tuple[Any, Any]]:
    """Call a function twice: with compiled kernels, and as other devices do it, a few columns and rows at a time."""
    monkeypatch.setattr(plain, "BLOCK", 3 * M)
    monkeypatch.setattr(plain, "_PIECE", 32)
    monkeypatch.setattr("kg.embeddings.counting._BLOCK", 200)
    monkeypatch.setattr("kg.embeddings.distances._BLOCK", 200)

    def call(make: Callable[[], Any]) -> tuple[Any, Any]:
        compiled = make()
        with monkeypatch.context() as patch:
            patch.setattr(devices, "PLAIN", True)
            return compiled, make()

    return call


def plan() -> EdgePlan:
    """Three hundred edges among eight of nine nodes, half of them into node 0, many twice."""
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(N - 1, (2, M), generator=generator)
    ends[1, ::2] = 0
    return EdgePlan.make(ends, torch.randint(R - 1, (M,), generator=generator), N, R)


def numbers(*shape: int, seed: int = 0, grad: bool = True) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_(grad)


def with_slopes(out: Tensor | tuple[Tensor, ...], of: list[Tensor]) -> list[Tensor]:
    outs = out if isinstance(out, tuple) else (out,)
    weighed = [(one * torch.arange(one.numel()).view(one.shape).add(n).sin()).sum() for n, one in enumerate(outs)]
    slopes = torch.autograd.grad(torch.stack(weighed).sum(), of)
    return [*outs, *(slope.to_dense() for slope in slopes)]


def assert_same(found: tuple[list[Tensor], list[Tensor]]) -> None:
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heads", [1, 2])
def test_sums_over_edges_are_the_same_in_plain_torch(both: Any, heads: int) -> None:
    edges = plan()
    x, y, z = numbers(N, 8), numbers(N, 8, seed=1), numbers(R, 8, seed=2)
    weight, constant = numbers(M, heads, seed=3), numbers(M, seed=3, grad=False)
    assert_same(both(lambda: with_slopes(sum_rows(x, edges.source, weight, edges), [x, weight])))
    assert_same(both(lambda: with_slopes(sum_products(x, z, constant, edges), [x, z])))
    assert_same(both(lambda: with_slopes(products(x, edges.source, y, heads, edges), [x, y])))


@pytest.mark.parametrize("levels", [2, 1000])
def test_the_spread_of_messages_is_the_same_in_plain_torch_ties_too(both: Any, levels: int) -> None:
    # With two levels nearly all messages tie, with the boundary as well: the derivative goes to the same edge.
    edges = plan()
    x, z, boundary = (
        (numbers(rows, 8, seed=seed, grad=False) * levels).round().requires_grad_()
        for rows, seed in ((N, 0), (R, 1), (N, 2))
    )
    kept = (torch.arange(M) % 5 > 0).float()
    found = both(lambda: with_slopes(spread_of_products(x, z, boundary, kept, edges), [x, z, boundary]))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4 * levels**2)
    nothing = torch.zeros(M)
    for part in both(lambda: spread_of_products(x, z, boundary, nothing, edges)):
        assert torch.equal(part[0], boundary) and torch.equal(part[2], boundary) and torch.equal(part[3], boundary)


@pytest.mark.parametrize("norm", [None, 1, 2, "modulus"])
@pytest.mark.parametrize("sparse", [False, True])
def test_scores_of_candidates_are_the_same_in_plain_torch(both: Any, norm: Any, sparse: bool) -> None:
    query, keys = numbers(5, 6), numbers(N, 6, seed=1)
    candidates = torch.randint(N, (5, 4), generator=torch.Generator().manual_seed(2))
    if norm is None:
        assert_same(both(lambda: with_slopes(product_of_rows(query, keys, candidates, sparse), [query, keys])))
        return
    assert_same(both(lambda: with_slopes(distances_to_rows(query, keys, candidates, norm, sparse), [query, keys])))
    with torch.no_grad():
        assert_same(both(lambda: [distances(query, keys, norm)]))


@pytest.mark.parametrize("name", ["adagrad", "adam"])
def test_rows_are_updated_the_same_in_plain_torch(both: Any, name: str) -> None:
    def updated() -> list[Tensor]:
        table, whole = torch.nn.Parameter(numbers(6, 2, grad=False)), torch.nn.Parameter(torch.tensor(2.0))
        optimizer = optimizers.RowOptimizer([table, whole], name, 0.1)
        for step in range(3):
            rows = torch.tensor([[4, 1, 4, step]])  # one row twice
            table.grad = torch.sparse_coo_tensor(rows, torch.arange(8.0).view(4, 2) - step, (6, 2))
            whole.grad = torch.tensor(0.5 - step)
            optimizer.step()
        return [table.detach(), whole.detach()]

    assert_same(both(updated))


def test_counts_are_the_same_in_plain_torch_with_ties_nan_and_infinity(both: Any) -> None:
    scores = torch.randint(4, (6, 30), generator=torch.Generator().manual_seed(0)).float()
    scores[0], scores[1, ::2], scores[2, 3], scores[2, 4] = torch.nan, torch.nan, torch.inf, -torch.inf
    rows = np.repeat(np.arange(6), 5)
    targets = np.tile([0, 3, 4, 7, 29], 6)
    answers = np.array([0, 3, 5, 4, 6, 7, 29])  # targets among them
    begin, end = np.where(rows % 2, 3, 0), np.where(rows == 4, 0, np.where(rows % 2, 7, 3))
    one, two = both(lambda: count_each(scores, rows, targets, begin, end, answers))
    assert np.array_equal(one, two) and one[3].sum() == 5 + 2 and (one[1] > 1).any()


def ring() -> Triples:
    near = [(f"e{n}", "one", f"e{(n + 1) % 12}") for n in range(12)]
    far = [(f"e{n}", "two", f"e{(n + 2) % 12}") for n in range(12)]
    return number({"train": near + far[:8], "valid": far[8:10], "test": far[10:]})


@pytest.mark.parametrize("kind", ["paths", "rgat", "negatives"])
def test_training_and_ranks_are_the_same_in_plain_torch(both: Any, kind: str, tmp_path: Path) -> None:
    triples = ring()

    def trained() -> list[Tensor]:
        if kind == "paths":
            model: Any = PathModel(12, 2, 4, triples["train"], layers=2, aggregate="pna")
            objective: Any = PathNegatives(model, triples["train"], count=3)
        elif kind == "rgat":
            model = EncodedModel(12, 2, 4, triples["train"], {"kind": "rgat", "heads": 2}, {"name": "distmult"})
            objective = NegativeSampling(model, triples["train"], count=3)
        else:
            model = TransE(12, 2, 4, initial=0.5)
            objective = NegativeSampling(model, triples["train"], count=3)
        optimizer = optimizers.make("adam", model, 0.01, sparse=kind == "negatives")
        options: dict[str, Any] = {"epochs": 2, "batch": 10, "resume": False, "folder": tmp_path}
        history = fit(model, triples, objective, optimizer, **options)
        ranks = rank(model, triples, "test")
        return [torch.tensor(history.losses), torch.from_numpy(ranks.realistic)]

    assert_same(both(trained))


@pytest.mark.parametrize("encoder", [{"kind": "rgcn", "num_bases": 2}, {"kind": "compgcn", "composition": "corr"},
                                     {"kind": "rgat", "heads": 2}, {"kind": "sacn"}, {"kind": "sage"},
                                     {"kind": "hgt", "heads": 2}, None])  # fmt: skip
def test_losses_under_autocast_are_near_those_in_float32(both: Any, encoder: dict[str, Any] | None) -> None:
    # On the processor here, with the sums of a GPU: each kind of layer takes what autocast gives it.
    rows = ring()["train"]
    if encoder is None:
        model: Any = PathModel(12, 2, 8, rows, layers=2, aggregate="pna")
        objective: Any = PathNegatives(model, rows, count=3)
    else:
        model = EncodedModel(12, 2, 8, rows, encoder, {"name": "distmult"}, reciprocal=True)
        objective = NegativeSampling(model, rows, count=3)
    losses = []
    for enabled in (False, True):

        def slope() -> list[Tensor]:
            torch.manual_seed(0)
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):  # noqa: B023 - called at once
                loss = objective(torch.from_numpy(objective.rows()[:6]), np.random.default_rng(0))
            assert loss.dtype == torch.float32
            return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)[:1]]

        losses.append(both(slope)[1])
    assert float(losses[1][0]) == pytest.approx(float(losses[0][0]), rel=0.05)
    assert all(part is None or bool(part.isfinite().all()) for part in losses[1])


def test_a_plan_is_moved_once() -> None:
    edges = plan()
    there = edges.on(torch.device("meta"))
    assert there is edges.on(torch.device("meta")) and there.source.is_meta and there.targets.of_edge.is_meta
    assert edges.on(torch.device("cpu")) is edges and not edges.source.is_meta


def settings(tmp_path: Path, model: dict[str, Any], **training: Any) -> EmbeddingSettings:
    for split in ("train", "valid"):
        found = ring()
        names = [(found.entities[h], found.relations[r], found.entities[t]) for h, r, t in found[split].tolist()]
        (tmp_path / f"{split}.tsv").write_text("".join("\t".join(row) + "\n" for row in names), encoding="utf-8")
    common = {"objective": {"kind": "negatives", "count": 3}, "epochs": 2, "batch": 8, "learning_rate": 0.1}
    return EmbeddingSettings.model_validate(
        {"data": {"folder": str(tmp_path)}, "model": model, "training": common | training, "run": str(tmp_path / "run")}
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_a_gpu_that_is_not_there_is_told_in_a_line_before_anything_is_read(tmp_path: Path) -> None:
    asked = settings(tmp_path, {"name": "transe", "dimension": 4}, device="cuda")
    with pytest.raises(InputError, match=r"training\.device is cuda, but .*: set it to auto or cpu"):
        train(asked)
    assert not (tmp_path / "run").exists() and devices.choose("auto").type == "cpu"


def test_mixed_precision_is_refused_where_it_means_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is for the models encoded and nbfnet, not for transe"):
        train(settings(tmp_path, {"name": "transe", "dimension": 4}, mixed_precision=True))
    notes: list[str] = []
    paths = {"name": "nbfnet", "dimension": 4, "layers": 1}
    train(settings(tmp_path, paths, mixed_precision=True, device="cpu"), note=notes.append)
    assert notes[0] == "on the processor: training.mixed_precision is left out"


def test_training_in_pieces_of_time_ends_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    paths = {"name": "nbfnet", "dimension": 4, "layers": 1}
    whole = train(settings(tmp_path / "whole", paths))
    stops = []
    while True:
        ticks = iter(range(1000))  # a minute each time the clock is read
        asked = settings(tmp_path / "parts", paths, checkpoint_minutes=1)
        found = train(asked, minutes=4, clock=lambda: 60.0 * next(ticks))  # noqa: B023 - called at once
        if "stopped" not in found:
            break
        stops.append((found["stopped"]["epoch"], found["stopped"]["step"]))
    assert len(stops) > 2 and stops == sorted(set(stops)) and stops[0][0] == 1
    assert found["valid"] == whole["valid"] and found["epochs"] == whole["epochs"] == 2
    files = [tmp_path / name / "run" / "best" / "model.safetensors" for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, which is not here")
@pytest.mark.parametrize("name", ["nbfnet", "complex", "rotate"])
def test_a_gpu_trains_as_the_processor_does_and_the_same_each_time(name: str, tmp_path: Path) -> None:
    found = {}
    for run, device in (("cpu", "cpu"), ("one", "cuda"), ("two", "cuda")):
        (tmp_path / run).mkdir()
        model = {"name": name, "dimension": 4} | ({"aggregate": "pna"} if name == "nbfnet" else {})
        train(settings(tmp_path / run, model, device=device))
        found[run] = load_file(tmp_path / run / "run" / "best" / "model.safetensors")
    for key, value in found["one"].items():
        assert torch.equal(value, found["two"][key])
        torch.testing.assert_close(value, found["cpu"][key], rtol=1e-2, atol=1e-3)
