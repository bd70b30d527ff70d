"""A trained model in a folder of its own: weights as safetensors, settings as JSON, a card that says where it is from.

    model.safetensors   config.json   README.md

Nothing in it is pickled, and nothing pickled is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemm.settings import ModelSettings, Settings
from kemm.weights import first_difference, load_into, read_safetensors, weights_of
from kemm.whole_folder import written_whole
from kg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kemm.data.entity_vectors import EntityVectors
    from kemm.encoders.encoder import Encoder
    from kemm.fuse.model import KEMM

SYSTEM = "kemm"


def save_pretrained(model: KEMM, folder: str | Path, lineage: dict[str, Any] | None = None) -> Path:
    """Write a model where others can load it; a kill leaves the folder as it was.

    Args:
        folder: is made; one that holds a saved model is replaced.
        lineage: what the card says of data, store, training and figures; see ``lineage_of``.

    Raises:
        InputError: the folder holds something else.
    """
    from safetensors.torch import save_file

    from kemm import __version__

    folder = Path(folder)
    config = {
        "system": SYSTEM,
        "version": __version__,
        "vision_width": model.vision_width,
        "text_width": model.text_width,
        "num_words": model.num_words,
        "model": model.settings.model_dump(mode="json"),
        "lineage": lineage or {},
    }
    with written_whole(folder, "config.json", "a saved model") as partial:
        weights = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
        save_file(weights, partial / "model.safetensors", metadata={"format": "pt", "system": SYSTEM})
        (partial / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        (partial / "README.md").write_text(card(config, sum(p.numel() for p in model.parameters())))
    return folder


def from_pretrained(
    folder: str | Path, vectors: EntityVectors | None = None, towers: Mapping[str, Encoder] | None = None
) -> KEMM:
    """Load what ``save_pretrained`` wrote, ready to be used: in evaluation mode.

    Args:
        vectors: of entities, where the model was trained with some.
        towers: "vision", "language" → that tower, for what no cached states are given of; tuned ones are made anew.

    Raises:
        InputError: there is no model, it is of another system or version, pickled, truncated or of another shape, or
            it needs vectors.
    """
    from pydantic import ValidationError

    from kemm.encoders import tuned_towers
    from kemm.fuse.model import KEMM

    folder = Path(folder)
    config = read_config(folder)
    try:
        settings = ModelSettings.model_validate(config["model"])
        widths = int(config["vision_width"]), int(config["text_width"])
        num_words = int(config["num_words"])
    except (KeyError, TypeError, ValueError) as error:
        fault = error.errors()[0] if isinstance(error, ValidationError) else None
        says = f"'{'.'.join(map(str, fault['loc']))}': {fault['msg']}" if fault else f"{type(error).__name__} {error}"
        raise InputError(f"{folder / 'config.json'}: not settings of a model of this version ({says})") from None
    if settings.entity_embeddings is not None and vectors is None:
        raise InputError(
            f"{folder}: this model was trained with the entity vectors of {settings.entity_embeddings.run}; "
            "give them as vectors=EntityVectors.open(RUN)"
        )
    model = KEMM(settings, *widths, vectors, {**(towers or {}), **tuned_towers(settings)}, num_words)
    load_into(model, weights_of(folder))
    return model.eval()


def start_from(model: KEMM, folder: Path) -> None:
    """Give a model the weights of a saved one of the same sizes; its adapters, if it has some, stay as they are.

    Raises:
        InputError: there is no saved model, or it is of other sizes; the model is then as it was.
    """
    from kemm.fuse.adapters import base_state

    read_config(folder)
    path = weights_of(folder)
    own, state = base_state(model), read_safetensors(path)
    wrong = first_difference(own, state)
    if wrong is not None:
        raise InputError(f"{path}: this run's model can't start from it: {wrong}")
    for name, value in own.items():
        value.copy_(state[name])


def read_config(folder: Path) -> dict[str, Any]:
    """Read ``config.json`` of a model of ours.

    Raises:
        InputError: there is none, or it is of another system.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder}: no saved model there; `KEMM.save_pretrained` writes one, with a config.json")
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: not readable JSON ({error}); is it whole?") from None
    if not isinstance(config, dict) or config.get("system") != SYSTEM:
        kind = config.get("system") or config.get("model_type") if isinstance(config, dict) else None
        what = f"a model of another system ('{kind}')" if kind else "not the configuration of a saved model"
        raise InputError(f"{path}: {what}; a folder that `KEMM.save_pretrained` wrote is needed")
    return config


def lineage_of(run: Path) -> dict[str, Any]:
    """What the folder of a finished run tells of the model: data, store and its version, training, figures.

    Raises:
        InputError: there is no finished run.
    """
    from kemm.config import load

    described, used = run / "run.json", run / "settings.yaml"
    if not described.is_file() or not used.is_file():
        raise InputError(f"{run}: no finished run there; run `kemm pretrain CONFIG` first")
    saved = json.loads(described.read_text())
    settings = load(used, Settings).settings
    training = saved["training"]
    found: dict[str, Any] = {
        "title": settings.title,
        "data": {
            "store": saved["store"],
            "store version": saved["kg_version"],
            "pictures trained on": settings.data.train_splits,
            "questions": saved["questions"],
        },
        "objectives": training["weights"],
        "training": settings.train.model_dump(mode="json")
        | {"steps done": training["steps"], "parameters": training["parameters"]},
        "figures": {f"loss of {name}, last": values[-1][1] for name, values in training["losses"].items()},
    }
    if saved.get("link_prediction"):
        found["figures"] |= {f"link prediction, {name}": value for name, value in saved["link_prediction"].items()}
    return found


def card(config: dict[str, Any], parameters: int) -> str:
    """The model's card in Markdown, with the front matter that hubs read."""
    lineage, model = config["lineage"], config["model"]
    title = lineage.get("title") or "a KEMM model"
    lines = [
        "---",
        "library_name: kemm",
        "tags: [multimodal, knowledge-graph, vision-language]",
        "---",
        f"# {title}",
        "",
        f"A knowledge-enhanced model of kemm {config['version']} with {parameters:,} parameters, on features "
        f"of the towers `{model['vision']}` (width {config['vision_width']}) and `{model['text']}` "
        f"(width {config['text_width']}), which are not in it.",
        "",
        "```python",
        "from kemm.fuse.model import KEMM",
        'model = KEMM.from_pretrained("this/folder")',
        "```",
    ]
    for name in ("data", "objectives", "training", "figures"):
        known = lineage.get(name)
        lines += ["", f"## {name.capitalize()}", ""]
        lines += _table(known) if known else ["Not recorded."]
    return "\n".join([*lines, "", "## Settings of the model", "", *_table(model), ""])


def _table(entries: dict[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value} |"
        for name, value in entries.items()
    ]
    return ["| what | value |", "|---|---|", *rows]
