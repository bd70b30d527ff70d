"""Training in parts: which parts are in memory, what is on disk, and that the result is that of training in memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kg.embeddings import checkpoint, optimizers
from kg.embeddings.bilinear import ComplEx
from kg.embeddings.building import plan_parts
from kg.embeddings.model import KGEModel
from kg.embeddings.negatives import NegativeSampling
from kg.embeddings.partitions import ranking
from kg.embeddings.partitions.buckets import Buckets
from kg.embeddings.partitions.export import Checkpoint, export
from kg.embeddings.partitions.plan import Plan, choose
from kg.embeddings.partitions.tables import Tables
from kg.embeddings.partitions.training import fit
from kg.embeddings.ranking import rank
from kg.embeddings.settings import EmbeddingSettings
from kg.embeddings.translational import TransE
from kg.embeddings.triples import Triples, number
from kg.errors import InputError


@pytest.fixture
def ring() -> Triples:
    """Twenty-three entities in a ring, one and two steps on; some of the second relation's triples are held out."""
    near = [(f"e{n}", "one", f"e{(n + 1) % 23}") for n in range(23)]
    far = [(f"e{n}", "two", f"e{(n + 2) % 23}") for n in range(23)]
    return number({"train": near + far[:17], "valid": far[17:20], "test": far[20:]})


def test_entities_are_dealt_out_and_parts_differ_by_one_at_most() -> None:
    plan = Plan(11, 4)
    assert [plan.count(part) for part in range(4)] == [3, 3, 3, 2] and plan.size == 3
    assert plan.part(np.array([0, 5, 10])).tolist() == [0, 1, 2] and plan.place(np.array([0, 5, 10])).tolist() == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize("num_parts", [2, 3, 4, 5, 8, 9])
def test_every_pair_of_parts_comes_once_and_shares_one_with_the_pair_before(num_parts: int) -> None:
    pairs = Plan(100, num_parts).pairs(np.random.default_rng(0))
    assert len(pairs) == len({frozenset(pair) for pair in pairs}) == num_parts * (num_parts - 1) // 2
    assert all(len(set(one) & set(two)) == 1 for one, two in pairwise(pairs))
    assert pairs != Plan(100, num_parts).pairs(np.random.default_rng(1)) or num_parts == 2


@pytest.mark.parametrize("num_entities", [1, 2, 3, 4, 5, 12, 101])
@pytest.mark.parametrize("deal", [0, 1, 7])
def test_every_deal_gives_every_entity_one_place(num_entities: int, deal: int) -> None:
    plan = Plan(num_entities, 3, deal)
    found = []
    for part in range(3):
        own = plan.entities(part)
        assert len(own) == plan.count(part) and (plan.part(own) == part).all()
        assert plan.place(own).tolist() == list(range(len(own)))
        found += own.tolist()
    assert sorted(found) == list(range(num_entities))


def test_a_deal_moves_all_rows_to_their_new_places(tmp_path: Path) -> None:
    plan = Plan(11, 4)
    model, _, optimizer = make(plan, 2, "transe", "adam")
    tables = Tables(tmp_path, plan, model, optimizer, "print")
    for pair in ((0, 1), (2, 3)):
        tables.hold(pair)
        for part in pair:
            low = tables.held.index(part) * plan.size
            for n, array in enumerate(tables.arrays):
                array[low : low + plan.count(part)] = plan.entities(part)[:, None] + 100 * n
    tables.keep({})
    tables.deal(1)
    tables.keep({})
    again = Tables(tmp_path, plan, *make(plan, 2, "transe", "adam")[::2], "print")  # type: ignore[arg-type]
    assert again.plan.deal == 1 and again.plan.entities(0).tolist() != plan.entities(0).tolist()
    again.hold((3, 0))
    for part in (3, 0):
        low = again.held.index(part) * plan.size
        for n, array in enumerate(again.arrays):
            assert array[low : low + plan.count(part), 0].tolist() == (again.plan.entities(part) + 100 * n).tolist()


def test_a_limit_gives_the_fewest_parts_of_which_two_fit() -> None:
    # 100 entities of 10 bytes and 50 bytes of others: 1,050 bytes in all.
    assert choose(100, 10, 50, 1050).num_parts == 1
    assert choose(100, 10, 50, 1049).num_parts == 3  # two of 49 would not hold them all
    assert choose(100, 10, 50, 250).num_parts == 10  # two of ten entities
    with pytest.raises(InputError, match=r"leaves no room for two entities .* it must be at least 0\.0"):
        choose(100, 10, 50, 60)


@pytest.mark.parametrize("name", ["adagrad", "adam"])
def test_what_is_in_memory_is_within_the_limit_and_one_part_fewer_would_not_be(
    ring: Triples, name: str, tmp_path: Path
) -> None:
    settings = EmbeddingSettings.model_validate(
        {
            "data": {"folder": "nowhere"},
            "run": "nowhere",
            "model": {"name": "transe", "dimension": 8},
            "training": {
                "objective": {"kind": "negatives"},
                "epochs": 1,
                "batch": 8,
                "learning_rate": 0.1,
                "optimizer": name,
                "memory": 0.0011,
            },
        }
    )
    plan = plan_parts(settings, ring)
    model, _, optimizer = make(plan, 2, "transe", name)
    tables = Tables(tmp_path, plan, model, optimizer, "print")
    each = 8 * 4 * (2 if name == "adagrad" else 3)
    with_larger_parts = tables.num_bytes + 2 * each * (Plan(23, plan.num_parts - 1).size - plan.size)
    assert plan.num_parts > 2 and tables.num_bytes <= 1100 < with_larger_parts


def test_buckets_hold_every_triple_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kg.embeddings.partitions.buckets.CHUNK", 7)
    rows = np.random.default_rng(0).integers(0, [20, 3, 20], (50, 3)).astype(np.int32)
    plan = Plan(20, 3)
    for _ in range(2):  # the second time from the file
        buckets = Buckets(tmp_path, rows, plan)
        found = []
        for head in range(3):
            for tail in range(3):
                part = buckets.between(head, tail)
                assert (part[:, 0] % 3 == head).all() and (part[:, 2] % 3 == tail).all()
                found += part.tolist()
        assert sorted(found) == sorted(rows.tolist())


def make(
    plan: Plan, num_relations: int, kind: str, name: str = "adagrad", seed: int = 0
) -> tuple[KGEModel, NegativeSampling, optimizers.RowOptimizer]:
    model: KGEModel
    if kind == "transe":
        model = TransE(2 * plan.size, num_relations, 8, seed=seed)
    else:
        model = ComplEx(2 * plan.size, num_relations, 4, reciprocal=True, initial=0.3, dropout=0.1, seed=seed)
    objective = NegativeSampling(model, np.empty((0, 3), dtype=np.int32), count=6, loss="softmax")
    optimizer = optimizers.make(name, model, 0.05, sparse=True)
    assert isinstance(optimizer, optimizers.RowOptimizer)
    return model, objective, optimizer


def test_parts_come_back_as_they_left_with_what_the_optimiser_keeps(tmp_path: Path) -> None:
    plan = Plan(10, 4)
    model, _, optimizer = make(plan, 2, "transe", "adam")
    tables = Tables(tmp_path, plan, model, optimizer, "print")
    tables.hold((0, 1))
    assert tables.local(np.array([[4, 1, 5], [9, 0, 8]])).tolist() == [[1, 1, 4], [5, 0, 2]]  # slots of three rows
    first = [array[: plan.count(0)].copy() for array in tables.arrays]
    tables.hold((1, 2))
    assert tables.held == [2, 1] and tables.num_loads == 3
    for n, array in enumerate(tables.arrays):
        array[:2] = n + 1.0  # part 2: entities 2 and 6
    tables.hold((0, 3))
    for before, array in zip(first, tables.arrays):
        where = tables.held.index(0) * plan.size
        assert np.array_equal(array[where : where + 3], before)
    tables.hold((2, 0))
    where = tables.held.index(2) * plan.size
    assert [array[where : where + 2].tolist() for array in tables.arrays] == [[[n + 1.0] * 8] * 2 for n in range(3)]
    tables.keep({})
    export(tables, tmp_path / "whole", {"fingerprint": "print"})
    whole = TransE(10, 2, 8)
    checkpoint.load_model(tmp_path / "whole", whole, "print")
    assert whole.entities[[2, 6]].tolist() == [[1.0] * 8] * 2
    assert np.array_equal(whole.entities[[0, 4, 8]].detach().numpy(), first[0])
    assert torch.equal(whole.relations, model.relations)


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("levels", [2, 1000])
def test_ranks_of_a_checkpoint_on_disk_are_those_in_memory(reciprocal: bool, levels: int, tmp_path: Path) -> None:
    random = np.random.default_rng(levels)
    rows = np.unique(random.integers(0, [30, 3, 30], (300, 3)), axis=0).astype(np.int32)
    random.shuffle(rows)
    triples = Triples([f"e{n}" for n in range(30)], ["r", "s", "t"], {"train": rows[:200], "test": rows[200:]})
    whole = ComplEx(30, 3, 4, reciprocal=reciprocal)
    with torch.no_grad():  # whole numbers: few levels give many ties, and sums are exact
        for parameter in whole.parameters():
            parameter.copy_(torch.randint(levels, parameter.shape, generator=torch.Generator().manual_seed(1)))
        whole.entities[7] = torch.nan
    checkpoint.save(tmp_path / "best", whole, None, {})
    expected = rank(whole, triples)
    small = ComplEx(7, 3, 4, reciprocal=reciprocal)  # thirty entities in blocks of seven
    Checkpoint(tmp_path / "best").load_rest(small)
    found = ranking.rank(small, tmp_path / "best", triples)
    assert expected.num_nan > 0 and found.num_nan == expected.num_nan
    for name in ("greater", "equal", "candidates", "triples"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


def run(folder: Path, triples: Triples, kind: str, epochs: int = 6, num_parts: int = 5) -> tuple[Any, KGEModel]:
    plan = Plan(triples.num_entities, num_parts)
    _, objective, optimizer = make(plan, triples.num_relations, kind)
    history = fit(plan, triples, objective, optimizer, epochs=epochs, batch=8, folder=folder, every=3, decay=0.99)
    make_whole = TransE(23, 2, 8) if kind == "transe" else ComplEx(23, 2, 4, reciprocal=True)
    checkpoint.load_model(folder / "best", make_whole, triples.fingerprint())
    return history, make_whole


@pytest.mark.parametrize("kind", ["transe", "complex"])
def test_training_in_parts_learns_and_goes_on_as_if_it_had_not_stopped(
    ring: Triples, kind: str, tmp_path: Path
) -> None:
    history, whole = run(tmp_path / "whole", ring, kind, epochs=60)
    assert history.losses[-1] < 0.8 * history.losses[0]
    assert history.best["mrr"] == pytest.approx(float((1 / rank(whole, ring, "valid").realistic).mean()), abs=1e-6)
    for until in (3, 6):
        second, again = run(tmp_path / "parts", ring, kind, epochs=until)
    first, whole = run(tmp_path / "six", ring, kind, epochs=6)
    assert second.losses == first.losses and second.validations == first.validations
    for one, two in zip(whole.state_dict().values(), again.state_dict().values()):
        assert torch.equal(one, two)


KILLED = """
import sys
from itertools import pairwise
from pathlib import Path
import kg.embeddings.partitions.training as training
from tests.kg.embeddings.test_partitions import run
from kg.embeddings.triples import Triples
steps = 0
usual = training.Tables.hold
def hold(self, pair):
    global steps
    steps += 1
    if steps == int(sys.argv[3]):
        import os, signal
        usual(self, pair)
        (self.folder / "part-0.99").write_bytes(b"half")  # as if killed while it was written
        os.kill(os.getpid(), signal.SIGKILL)
    usual(self, pair)
training.Tables.hold = hold
run(Path(sys.argv[1]), Triples.open(sys.argv[2]), "complex")
"""


@pytest.mark.parametrize("pair", [3, 17, 53])
def test_a_killed_training_ends_where_it_would_have_ended(ring: Triples, pair: int, tmp_path: Path) -> None:
    expected, whole = run(tmp_path / "whole", ring, "complex")
    ring.save(tmp_path / "ring")
    root = Path(__file__).parents[3]
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "parts"), str(tmp_path / "ring"), str(pair)]
    done = subprocess.run(arguments, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    found, again = run(tmp_path / "parts", ring, "complex")
    assert found.losses == expected.losses and found.validations == expected.validations
    for one, two in zip(whole.state_dict().values(), again.state_dict().values()):
        assert torch.equal(one, two)
    left = sorted(path.name.split(".")[0] for path in (tmp_path / "parts" / "parts").iterdir())
    assert left == [*(f"part-{n}" for n in range(5)), "rest", "state", "triples-6-40"]


def test_a_state_of_something_else_is_refused(ring: Triples, tmp_path: Path) -> None:
    run(tmp_path, ring, "transe", epochs=1)
    with pytest.raises(InputError, match="the state there is of another shape of relations"):
        run(tmp_path, ring, "complex")
    with pytest.raises(InputError, match="the state there is of another number of parts"):
        run(tmp_path, ring, "transe", num_parts=4)
    other = number({"train": [(f"x{n}", "one", f"x{(n + 1) % 23}") for n in range(23)] + [("x0", "two", "x1")]})
    with pytest.raises(InputError, match="the state there is of another vocabulary"):
        run(tmp_path, other, "transe")
    (tmp_path / "parts" / "state.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"state\.json: not a whole state"):
        run(tmp_path, ring, "transe")


MEASURED = """
import json, sys
from itertools import pairwise
from pathlib import Path
import numpy as np
from kg.embeddings.runs import train
from kg.embeddings.settings import EmbeddingSettings
def memory(what):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(what)) / 1024
def settings(folder, limit):
    return EmbeddingSettings.model_validate({
        "data": {"folder": folder}, "run": folder + "-run" + str(limit), "evaluation": {"every": 1, "limit": 300},
        "model": {"name": "distmult", "dimension": 128},
        "training": {"objective": {"kind": "negatives", "count": 8}, "epochs": 1, "batch": 512, "learning_rate": 0.1,
            "memory": limit}})
train(settings(sys.argv[1], 0.02))  # what is compiled and loaded once
before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
train(settings(sys.argv[2], None if sys.argv[3] == "none" else float(sys.argv[3])))
print(json.dumps({"growth": memory("VmHWM") - before}))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured by Linux's /proc")
def test_training_in_parts_takes_the_memory_it_is_allowed(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, num in (("small", 100), ("large", 60_000)):
        rows = {split: random.integers(0, [num, 2, num], (m, 3)) for split, m in (("train", 20_000), ("valid", 300))}
        rows = {split: part.astype(np.int32) for split, part in rows.items()}
        Triples([f"e{n}" for n in range(num)], ["r", "s"], rows).save(tmp_path / name)
    growth = {}
    for limit in ("10", "none"):
        arguments = [sys.executable, "-c", MEASURED, str(tmp_path / "small"), str(tmp_path / "large"), limit]
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=Path(__file__).parents[3])
        assert done.returncode == 0, done.stderr[-2000:]
        growth[limit] = json.loads(done.stdout.splitlines()[-1])["growth"]
    # All vectors and what Adagrad keeps of them: 60,000 × 128 × 4 × 2 = 61 MB, of which 10 MB may be held. Beside them
    # there are 60,000 names, batches, and 4 MB of scores while it ranks.
    assert growth["10"] < 50 < 61 < growth["none"], growth
