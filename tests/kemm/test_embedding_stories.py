"""The stories of ``configs/kg``: every number of the table stands in its story's text, and what wasn't run says so."""

from __future__ import annotations

import re
from typing import Any

import pytest

from benchmarks.embedding_figures import COLUMNS, ROOT, rows, table
from kemm.config import load
from kg.embeddings.settings import EmbeddingSettings

FILES = sorted((ROOT / "configs" / "kg").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_storys_numbers_are_those_of_its_text(file: Any) -> None:
    story = load(file, EmbeddingSettings).settings.story
    assert {"mrr", "published", "differs", "measured", "test_policy"} <= story.keys()
    assert set(story["mrr"]) <= set(COLUMNS)
    for name, value in story["mrr"].items():
        text = story["published" if name == "published" else "measured"]
        assert value in [float(number) for number in re.findall(r"\d\.\d+", text)], f"{name} {value} is not in: {text}"
    is_run = any(name in story["mrr"] for name in COLUMNS[1:])
    assert story["measured"].startswith("not run") == (not is_run)


def test_the_table_has_a_line_a_file_and_tells_what_was_not_run() -> None:
    lines = {line.split(" | ")[0].strip("| "): line for line in table(rows()).splitlines()[2:]}
    assert list(lines) == [file.stem for file in FILES]
    assert lines["lacroix2018_complex_fb15k-237"].endswith("| 0.37 | 0.365 | 0.357 |  |")
    assert "not run" in lines["zhang2025_mygo_mkg-w"]
