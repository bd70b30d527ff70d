"""A saved model is the same function when it is loaded, says where it is from, and what is no such model is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kemm.encoders.momentum import MomentumCopy
from kemm.fuse.adapters import without_adapters
from kemm.fuse.model import KEMM
from kemm.fuse.pretrained import card, lineage_of, start_from
from kemm.fuse.readings import Readings
from kemm.settings import AdapterSettings
from kg.errors import InputError
from tests.kemm import tiny_batch
from tests.kemm.conftest import Trained


@pytest.fixture
def saved(tmp_path: Path) -> tuple[KEMM, Path]:
    model = tiny_batch.task().model.eval()
    return model, model.save_pretrained(tmp_path / "model")


def test_a_loaded_model_computes_the_same_to_the_bit(saved: tuple[KEMM, Path]) -> None:
    model, folder = saved
    loaded, asked = KEMM.from_pretrained(folder), tiny_batch.batch().questions
    assert asked is not None and not loaded.training
    ours, theirs = (Readings(each, asked.samples, Counter()).fuse() for each in (model, loaded))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]  # nothing half-written is left


def test_saving_again_replaces_and_another_folder_is_left_alone(saved: tuple[KEMM, Path]) -> None:
    model, folder = saved
    with torch.no_grad():
        model.inputs["language"].summary.fill_(3.0)
    model.save_pretrained(folder)
    assert (KEMM.from_pretrained(folder).inputs["language"].summary == 3.0).all()
    other = folder.parent / "photos"
    other.mkdir()
    (other / "photo.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="holds something else than a saved model"):
        model.save_pretrained(other)
    assert [path.name for path in other.iterdir()] == ["photo.jpg"]


def test_a_model_with_a_momentum_copy_beside_it_is_saved_whole(tmp_path: Path) -> None:
    model = tiny_batch.task().model
    slow = MomentumCopy(model)
    slow.copy.save_pretrained(tmp_path / "slow")
    loaded = KEMM.from_pretrained(tmp_path / "slow")
    assert torch.equal(loaded.inputs["language"].summary, model.inputs["language"].summary)


@pytest.mark.parametrize("kind", ["lora", "bottleneck", "prefix"])
def test_a_run_can_start_from_a_saved_model_and_learn_adapters_alone(saved: tuple[KEMM, Path], kind: str) -> None:
    before, folder = saved
    settings = before.settings.model_copy(update={"start": folder, "adapters": AdapterSettings(kind=kind, size=2)})
    model = KEMM(settings, before.vision_width, before.text_width)
    start_from(model, folder)
    learns = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert 0 < learns < 0.5 * sum(p.numel() for p in before.parameters())
    asked = tiny_batch.batch().questions
    assert asked is not None
    ours, theirs = (Readings(each.eval(), asked.samples, Counter()) for each in (model, before))
    with without_adapters(model):
        assert all(torch.equal(value, theirs.fuse()[name]) for name, value in ours.fuse().items())
    again = KEMM.from_pretrained(model.save_pretrained(folder.parent / "adapted"))
    wanted, found = (Readings(each, asked.samples, Counter()).fuse()["language"] for each in (model, again))
    assert torch.equal(wanted, found)


def test_a_run_does_not_start_from_a_model_of_other_sizes(saved: tuple[KEMM, Path]) -> None:
    before, folder = saved
    model = KEMM(before.settings.model_copy(update={"text_tokens": 9}), before.vision_width, before.text_width)
    with pytest.raises(InputError, match=r"can't start from it: .*language\.position"):
        start_from(model, folder)


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def cut_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:50])


def other_shape(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"text_tokens": 5', '"text_tokens": 6'))


def other_parts(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["bert.pooler.weight"] = torch.zeros(2)
    save_file(state, folder / "model.safetensors")


def pickle_beside(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(1)}, folder / "pytorch_model.bin")


def pickle_inside(folder: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, folder / "model.safetensors")


def bert(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 8}))


def list_of_numbers(folder: Path) -> None:
    (folder / "config.json").write_text("[1, 2]")


def half_a_config(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text()[:80])


def newer_settings(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"layers"', '"strata"'))


def unknown_part(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"compgcn"', '"compgnc"'))


DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (truncate, "not a readable safetensors file"),
    (cut_header, "not a readable safetensors file"),
    (other_shape, r"language\.position is \(6, 8\) there and \(7, 8\) in this configuration"),
    (other_parts, r"bert\.pooler\.weight is \(2,\) there and absent"),
    (pickle_beside, r"pytorch_model\.bin: a pickle"),
    (pickle_inside, r"model\.safetensors: a pickle"),
    (bert, r"a model of another system \('bert'\)"),
    (list_of_numbers, "not the configuration of a saved model"),
    (half_a_config, "not readable JSON"),
    (newer_settings, "'strata'"),
    (unknown_part, "did you mean 'compgcn'"),
    (lambda folder: (folder / "config.json").unlink(), "no saved model there"),
    (lambda folder: (folder / "model.safetensors").unlink(), "there is no model.safetensors"),
]


@pytest.mark.parametrize(("damage", "says"), DAMAGE)
def test_what_is_no_whole_model_is_refused_in_one_line(
    saved: tuple[KEMM, Path], damage: Callable[[Path], None], says: str
) -> None:
    folder = saved[1]
    damage(folder)
    with pytest.raises(InputError, match=says) as caught:
        KEMM.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_nothing_pickled_is_ever_run(saved: tuple[KEMM, Path], tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    for name in ("model.safetensors", "pytorch_model.bin"):
        (saved[1] / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="a pickle"):
        KEMM.from_pretrained(saved[1])
    assert not (tmp_path / "ran").exists()


def test_a_model_of_a_run_is_published_with_its_lineage(tiny_run: Trained, tmp_path: Path) -> None:
    from kemm.predict.reader import Reader

    lineage = lineage_of(tiny_run.folder)
    reader = Reader.load(tiny_run.folder, tiny_run.world.settings, world=tiny_run.world)
    folder = reader.task.model.save_pretrained(tmp_path / "toys", lineage)
    says = (folder / "README.md").read_text()
    graph = tiny_run.world.graph
    for line in (
        f"| store | {graph.uuid} |",
        f"| store version | {graph.version} |",
        "| steps done | 120 |",
        "| gnn | compgcn |",
    ):
        assert line in says, line
    assert "`tiny-colours` (width 24)" in says and "loss of answering, last" in says
    assert json.loads((folder / "config.json").read_text())["lineage"] == lineage
    loaded, own = KEMM.from_pretrained(folder).state_dict(), reader.task.model.state_dict()
    assert loaded.keys() == own.keys() and all(torch.equal(loaded[name], own[name]) for name in own)


def test_a_card_says_what_is_not_recorded_and_an_unfinished_run_has_no_lineage(
    saved: tuple[KEMM, Path], tmp_path: Path
) -> None:
    says = (saved[1] / "README.md").read_text()
    assert says.count("Not recorded.") == 4 and says.startswith("---\nlibrary_name: kemm\n")
    assert says == card(
        json.loads((saved[1] / "config.json").read_text()), sum(p.numel() for p in saved[0].parameters())
    )
    with pytest.raises(InputError, match="no finished run there"):
        lineage_of(tmp_path)
