"""Bad input to any published system: a defined result, or one line that says what to do."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.parity import cases
from kemm.systems import SYSTEMS
from kemm.systems.system import System
from kg.errors import InputError

PICTURES, REGIONS, WORDS, MASKS = (
    ("pictures", "pixels"),
    ("regions", "features"),
    ("tokens", "words"),
    ("mask", "text_mask"),
)
Given = dict[str, Any]


class Asked(Exception):
    """What a comparison with the reference gives to our model."""


class Recorder:
    def __init__(self, system: System) -> None:
        inner = system.encoder.forward if "vilt" in type(system).__module__ else system.forward  # type: ignore[union-attr]
        self.signature = inspect.signature(inner)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        known = self.signature.parameters
        bound = self.signature.bind(*args, **{name: value for name, value in kwargs.items() if name in known})
        raise Asked(bound.arguments)


@functools.cache
def tiny(name: str) -> tuple[System, Given]:
    """A tiny system, and what it reads: what it must be given, and masks, but no labels."""
    case = next(case for case in cases() if case.system == name and "QFormer" not in case.reference)
    try:
        pair = case.build()
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    system, recorder = pair.ours.eval(), Recorder(pair.ours)
    with pytest.raises(Asked) as asked:
        pair.run_ours(recorder)
    needed = {n for n, p in recorder.signature.parameters.items() if p.default is inspect.Parameter.empty}
    kept = {*needed, *PICTURES, *WORDS, *MASKS, *(["labels"] if name == "t5" else [])}  # T5 must be told what to write
    return system, {n: value for n, value in asked.value.args[0].items() if n in kept}


def run(system: System, given: Given) -> dict[str, Tensor] | str:
    """What comes out, or the one line that refuses it."""
    order = list(inspect.signature(system.encoder.forward).parameters) if "vilt" in type(system).__module__ else []  # type: ignore[union-attr]
    with torch.no_grad():
        try:
            found = system(*(given.get(name) for name in order[: len(given)])) if order else system(**given)
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) > 20
            return str(error)
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def of(given: Given, names: tuple[str, ...]) -> str:
    """The argument of a kind; skips a system that has none."""
    found = next((name for name in names if given.get(name) is not None), None)
    if found is None:
        pytest.skip("it reads none")
    return found


def assert_defined(found: dict[str, Tensor] | str) -> None:
    assert isinstance(found, str) or all(bool(value.isfinite().all()) for value in found.values())


every = pytest.mark.parametrize("name", SYSTEMS)


@every
@pytest.mark.parametrize("kind", [PICTURES, REGIONS, WORDS])
def test_a_modality_that_is_missing_is_done_without_or_asked_for(name: str, kind: tuple[str, ...]) -> None:
    system, given = tiny(name)
    missing = of(given, kind)
    found = run(system, {**given, missing: None})
    assert_defined(found)
    assert not isinstance(found, str) or missing in found


@every
def test_a_text_without_a_word(name: str) -> None:
    system, given = tiny(name)
    words = of(given, WORDS)
    short = {n: v[:, :0] if n in (words, *MASKS) and v is not None else v for n, v in given.items()}
    assert_defined(run(system, short))


@every
def test_texts_that_are_padding_alone(name: str) -> None:
    system, given = tiny(name)
    mask = of(given, MASKS)
    for rows in (slice(1, 2), slice(None)):
        hidden = given[mask].clone()
        hidden[rows] = 0
        assert_defined(run(system, {**given, mask: hidden}))


@every
def test_more_words_than_positions(name: str) -> None:
    system, given = tiny(name)
    words = of(given, WORDS)
    long = {n: v.repeat(1, 200) if n in (words, *MASKS) and v is not None else v for n, v in given.items()}
    if "mentions" not in long:
        assert_defined(run(system, long))


@every
@pytest.mark.parametrize("side", [1, 8, 64])
def test_a_picture_of_one_pixel_of_one_patch_and_of_another_size(name: str, side: int) -> None:
    system, given = tiny(name)
    pictures = of(given, PICTURES)
    shape = given[pictures].shape[:-2]
    assert_defined(run(system, {**given, pictures: torch.zeros(*shape, side, side)}))


@every
def test_pixels_that_are_no_numbers_stay_with_their_own_sample(name: str) -> None:
    system, given = tiny(name)
    pictures = of(given, (*PICTURES, *REGIONS))
    broken = given[pictures].clone()
    broken[1] = torch.nan
    torch.manual_seed(0)  # MAE draws what it hides
    clean = run(system, given)
    torch.manual_seed(0)
    found = run(system, {**given, pictures: broken})
    assert isinstance(clean, dict) and isinstance(found, dict)
    of_tokens = [n for n, value in clean.items() if value.dim() == 3]
    for each in of_tokens:
        torch.testing.assert_close(found[each][0], clean[each][0], atol=1e-5, rtol=0, msg=each)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def weights(path: Path) -> dict[str, Tensor]:
    """Copied: what a file is read as lies on it."""
    return {name: value.clone() for name, value in load_file(path).items()}


def make_pickle(path: Path) -> None:
    torch.save(weights(path), path)


def change_a_shape(path: Path) -> None:
    state = weights(path)
    first = min(state)
    save_file({**state, first: torch.zeros(*state[first].shape, 2)}, path)


def rename_a_weight(path: Path) -> None:
    state = weights(path)
    state["another"] = state.pop(min(state))
    save_file(state, path)


@every
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncate, "not a readable safetensors file"),
        (make_pickle, "a pickle, which could run anything"),
        (change_a_shape, "not the weights that system.json describes"),
        (rename_a_weight, "not the weights that system.json describes"),
        (Path.unlink, "there is no model.safetensors"),
    ],
)
def test_a_damaged_or_foreign_checkpoint(name: str, damage: Callable[[Path], None], says: str, tmp_path: Path) -> None:
    system, _ = tiny(name)
    folder = system.save_pretrained(tmp_path / "saved")
    damage(folder / "model.safetensors")
    with pytest.raises(InputError) as caught:
        System.from_pretrained(folder)
    assert says in str(caught.value) and "\n" not in str(caught.value)
