"""Settings files: every fault named at once with file, line and the nearest right key; each value's origin kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from kemm.config import load
from kg.errors import ConfigError


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ItcSettings(Section):
    temperature: float = 0.07
    weight: float = Field(1.0, ge=0)


class Objectives(Section):
    itc: ItcSettings | None = None


class Tower(Section):
    name: Literal["minilm", "bert"] = "minilm"
    layers: int | list[int] = 2


class TinyModel(Section):
    width: int = Field(64, gt=0)
    causal: bool = False
    towers: list[Tower] = []


class Tiny(Section):
    model: TinyModel = TinyModel()
    objectives: Objectives = Objectives()
    weights: dict[str, ItcSettings] = {}
    rate: float = 1e-3
    out: Path = Path("run")

    @field_validator("out")
    @classmethod
    def not_root(cls, out: Path) -> Path:
        if str(out) == "/":
            raise ValueError("the run can't be written over the whole disk")
        return out


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write x.yaml into an empty working directory, so that messages name it as a user would."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> str:
        Path("x.yaml").write_text(text, encoding="utf-8")
        return "x.yaml"

    return write


def faults(path: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, Tiny, overrides)
    return str(caught.value).splitlines()


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_right_key(write) -> None:
    path = write("objectives:\n  itc:\n    temprature: 0.1\n")
    assert faults(path) == ["x.yaml:3: unknown key 'objectives.itc.temprature'; did you mean 'temperature'?"]


def test_a_key_at_the_wrong_level_is_answered_with_its_right_place(write) -> None:
    assert faults(write("width: 3\n")) == ["x.yaml:1: unknown key 'width'; did you mean 'model.width'?"]


def test_a_key_like_no_other_is_answered_with_the_keys_there_are(write) -> None:
    path = write("weights:\n  a:\n    zzz: 1\n")
    assert faults(path) == ["x.yaml:3: unknown key 'weights.a.zzz'; 'weights.a' knows temperature, weight"]


def test_all_faults_come_at_once_in_the_order_of_their_lines(write) -> None:
    path = write("model:\n  width: wide\n  causal: perhaps\nrate: 1\nrate: 2\nout: /\nweights: {a: {weight: -1}}\n")
    assert faults(path) == [
        "x.yaml:2: 'model.width' must be an integer (got 'wide')",
        "x.yaml:3: 'model.causal' must be true or false (got 'perhaps')",
        "x.yaml:5: key 'rate' stands twice; first at line 4",
        "x.yaml:6: 'out': the run can't be written over the whole disk",
        "x.yaml:7: 'weights.a.weight' must be at least 0 (got -1)",
    ]


def test_a_misspelt_choice_and_a_wrong_alternative_are_one_fault_each(write) -> None:
    path = write("model:\n  towers:\n  - name: minilmm\n  - layers: {a: 1}\n")
    assert faults(path) == [
        "x.yaml:3: 'model.towers.0.name' must be one of 'minilm' or 'bert' (got 'minilmm'); did you mean 'minilm'?",
        "x.yaml:4: 'model.towers.1.layers' must be an integer or a list (got a mapping)",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1\n", "x.yaml:2: not valid YAML"),
        ("- 1\n", "x.yaml:1: a settings file must be a mapping"),
        ("model: 3\n", "x.yaml:1: 'model' must be a section with keys of its own (got 3)"),
        ("model: &m\n  towers: *m\n", "x.yaml:1: 'model.towers' contains itself"),
        ("weights:\n  <<: {a: {}}\n", "x.yaml:2: '<<' is not read"),
        ("model:\n\twidth: 3\n", "x.yaml:2: not valid YAML"),
        ("rate: !!python/name:os.system\n", "x.yaml:1: 'rate' can't be read"),
    ],
)
def test_broken_files_are_refused_with_their_line(write, text: str, fault: str) -> None:
    assert faults(write(text))[0].startswith(fault)


def test_a_missing_file_and_a_binary_one_are_refused_by_name(write) -> None:
    assert faults("nowhere.yaml") == ["nowhere.yaml: there is no such settings file"]
    Path(write("")).write_bytes(b"\xff\xfe\x00")
    assert faults("x.yaml") == ["x.yaml: not a text file in UTF-8 (byte 0)"]


def test_exponents_without_a_point_are_numbers_and_quoted_ones_stay_as_pydantic_reads_them(write) -> None:
    assert load(write("rate: 1e-4\n"), Tiny).settings.rate == 0.0001
    assert load(write("model: {width: 2e2}\n"), Tiny).settings.model.width == 200


def test_an_empty_file_means_the_defaults(write) -> None:
    assert load(write(""), Tiny).settings == Tiny()


def test_every_value_knows_where_it_came_from(write) -> None:
    path = write("model:\n  width: 8\n  towers:\n  - name: bert\n")
    rows = {key: (value, origin) for key, value, origin in load(path, Tiny, ["rate=2e-4", "model.width=16"]).rows()}
    assert rows["model.width"] == (16, "--set model.width")
    assert rows["model.towers.0.name"] == ("bert", "x.yaml:4")
    assert rows["model.towers.0.layers"] == (2, "default")
    assert rows["rate"] == (0.0002, "--set rate")
    assert rows["objectives.itc"] == (None, "default")


def test_overrides_reach_into_lists_and_make_missing_sections(write) -> None:
    path = write("model:\n  towers: [{name: bert}]\n")
    settings = load(path, Tiny, ["model.towers.0.layers=[1, 2]", "objectives.itc.temperature=0.5"]).settings
    assert settings.model.towers[0] == Tower(name="bert", layers=[1, 2])
    assert settings.objectives.itc == ItcSettings(temperature=0.5)


def test_an_override_mends_a_wrong_value_of_the_file(write) -> None:
    assert load(write("model: {width: wide}\n"), Tiny, ["model.width=3"]).settings.model.width == 3


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("model.wdith=3", "--set model.wdith: unknown key 'model.wdith'; did you mean 'width'?"),
        ("modle.width=3", "--set modle.width: unknown key 'modle'; did you mean 'model'?"),
        ("model.width=wide", "--set model.width: 'model.width' must be an integer (got 'wide')"),
        ("model.width", "--set model.width: write it as key=value, such as model.width=256"),
        ("rate.x=1", "--set rate.x: 'rate' has no 'x' below it"),
        ("model.towers.3.name=bert", "--set model.towers.3.name: 'model.towers' has no '3' below it"),
        ("rate=[", "--set rate: not valid YAML"),
    ],
)
def test_faults_of_an_override_name_the_override(write, override: str, fault: str) -> None:
    found = faults(write("rate: 1\nmodel: {towers: []}\n"), override)
    assert len(found) == 1 and found[0].startswith(fault)
