"""Picture towers that were tuned to the pictures of a graph (``kemm tune-tower``): a folder, ``tuned:FOLDER``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kg.errors import InputError

if TYPE_CHECKING:
    from kemm.encoders.vision import VisionTower

ABOUT, WEIGHTS = "tower.json", "tower.safetensors"


def save_tower(tower: VisionTower, base: str, folder: Path, about: dict[str, Any]) -> None:
    """Write a tuned tower, weights and what it was made of, into a folder.

    Args:
        base: the name by which the tower is built.
    """
    from safetensors.torch import save_file

    save_file({name: weight.contiguous() for name, weight in tower.state_dict().items()}, folder / WEIGHTS)
    (folder / ABOUT).write_text(json.dumps({"base": base, **about}, indent=1))


def open_tower(folder: str) -> VisionTower:
    """Build the tower that a folder was tuned from and give it the folder's weights.

    Its ``name`` tells the weights, so that features and indexes of others are not taken for its own.

    Raises:
        InputError: there is no tower in the folder, or its files do not fit together.
    """
    from kemm.encoders import build_encoder
    from kemm.weights import load_into

    path = Path(folder)
    try:
        base = json.loads((path / ABOUT).read_text(encoding="utf-8"))["base"]
    except FileNotFoundError:
        raise InputError(f"{path}: there is no tuned tower; `kemm tune-tower CONFIG --out FOLDER` writes one") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path / ABOUT} is damaged; tune the tower again") from None
    tower: VisionTower = build_encoder(base)
    load_into(tower, path / WEIGHTS)
    tower.name = f"{tower.name}~{tower.digest()}"
    return tower
