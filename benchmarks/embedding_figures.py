"""The table of ``configs/kg``: what each paper reported beside what we measured, as the settings' stories tell it.

    python -m benchmarks.embedding_figures
    python -m benchmarks.embedding_figures --json

MRR, filtered, both sides. A story's ``mrr`` has the numbers: ``published``, and ``validation`` and ``test`` as far as
they were measured, or ``test combined`` where the run was ranked together with others; its texts say under which
conditions. That numbers and texts agree is a test: tests/kemm/test_embedding_stories.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("published", "validation", "test", "test combined")


def rows(folder: Path = ROOT / "configs" / "kg") -> list[dict[str, Any]]:
    """Return a row for each settings file: ``settings``, ``title``, and ``COLUMNS`` with None where there is none."""
    from kemm.config import load
    from kg.embeddings.settings import EmbeddingSettings

    found = []
    for file in sorted(folder.glob("*.yaml")):
        settings: EmbeddingSettings = load(file, EmbeddingSettings).settings
        figures = settings.story["mrr"]
        row = {"settings": file.stem, "title": settings.title, **{name: figures.get(name) for name in COLUMNS}}
        found.append(row | {"is_run": any(name in figures for name in COLUMNS[1:])})
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Return rows as Markdown."""
    lines = [f"| settings | what | {' | '.join(COLUMNS)} |", "|---" * (2 + len(COLUMNS)) + "|"]
    for row in found:
        cells = ["" if row[name] is None else f"{row[name]:.4g}" for name in COLUMNS]
        if not row["is_run"]:
            cells[1] = "not run"
        lines.append(f"| {' | '.join([row['settings'], row['title'], *cells])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON list instead of the table")
    listed = rows()
    print(json.dumps(listed, ensure_ascii=False, indent=1) if parser.parse_args().json else table(listed))
