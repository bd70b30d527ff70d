"""Where graph, index, pictures and other media are."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from kemm.settings.section import Section


class DataSettings(Section):
    """Where graph, index and pictures are."""

    store: str = "sqlite:///kg.db"
    index: Path = Path("index")
    root: Path | None = Field(
        None, description="folder that picture paths are relative to; null: as recorded by `media add`"
    )
    train_splits: list[str] = ["", "train", "iconic"]  # pictures with these splits may be trained on and indexed
    test_splits: list[str] = ["val", "test"]  # never seen in training, never indexed
    views: int = Field(3, ge=0, description="augmented views of each training picture, encoded once and cached")
    enriched_captions: bool = Field(
        False, description="every second caption says what the thing is and its description (K-LITE)"
    )
    media: Path | None = Field(
        None,
        description="a TSV with any of the columns picture, sound, frames, regions, text, label, split (see the docs)",
    )
