"""Encoders: the towers that turn pictures, text and graphs into token features, named in ``ENCODERS``."""

from __future__ import annotations

from typing import Any

#: name → "module:Class" of a tower; ``timm/NAME`` and ``hf/NAME`` take any model of those libraries.
ENCODERS = {
    "efficientnet-lite0": "kemm.encoders.vision:EfficientNetLite0",
    "timm": "kemm.encoders.vision:Timm",
    "minilm": "kemm.encoders.text:MiniLM",
    "hf": "kemm.encoders.text:HuggingFaceText",
}


def build_encoder(name: str, **options: Any) -> Any:
    """Build a tower by its name: ``minilm``, ``efficientnet-lite0``, ``timm/vit_tiny_patch16_224``, ``hf/FOLDER``.

    Raises:
        InputError: no tower has that name.
    """
    from kg.registry import resolve

    family, slash, model = name.partition("/")
    tower = resolve(ENCODERS, family, "encoder")
    return tower(model, **options) if slash else tower(**options)
