"""Encoders: the towers that turn pictures, text, sound, video, regions and graphs into tokens, named in ``ENCODERS``.

What each owes is in ``kemm.encoders.encoder``: ``features`` gives tokens (B, L, D), one vector (B, D) and a mask.
"""

from __future__ import annotations

from typing import Any

#: name → "module:Class" of a tower; ``timm:NAME`` and ``transformers:PATH_OR_NAME`` take any model of those libraries,
#: ``tuned:FOLDER`` what ``kemm tune-tower`` wrote.
ENCODERS = {
    "efficientnet-lite0": "kemm.encoders.vision:EfficientNetLite0",
    "timm": "kemm.encoders.timm_images:Timm",
    "tuned": "kemm.encoders.tuned:open_tower",
    "vit": "kemm.encoders.patch_transformer:PictureTransformer",
    "minilm": "kemm.encoders.text:MiniLM",
    "transformers": "kemm.encoders.text:HuggingFaceText",
    "audio": "kemm.encoders.audio:SpectrogramTransformer",
    "speech": "kemm.encoders.speech:SpeechConvolution",
    "video": "kemm.encoders.video:VideoTransformer",
    "regions": "kemm.encoders.regions:RegionTokens",
    "graph": "kemm.encoders.graph:GraphTokens",
}


def build_encoder(name: str, **options: Any) -> Any:
    """Build a tower by its name: ``minilm``, ``timm:vit_tiny_patch16_224``, ``transformers:FOLDER``, ``vit`` …

    Args:
        name: of ``ENCODERS``; for a family, a colon and the model follow.
        options: the class's own.

    Raises:
        InputError: no tower has that name, or its family no such model; gives the nearest right one.
    """
    from kg.errors import InputError
    from kg.registry import resolve

    family, colon, model = name.partition(":")
    if not colon and name.startswith(("timm/", "hf/")):  # as configurations said before
        right = name.replace("timm/", "timm:", 1).replace("hf/", "transformers:", 1)
        raise InputError(f"there is no encoder '{name}'; did you mean '{right}'?")
    tower = resolve(ENCODERS, family, "encoder")
    if family in ("timm", "transformers", "tuned"):
        if not model:
            what = "a folder: 'tuned:FOLDER'" if family == "tuned" else f"a model: '{family}:NAME'"
            raise InputError(f"the encoder '{name}' needs {what}")
        return tower(model, **options)
    if colon:
        raise InputError(f"the encoder '{family}' takes no model; write '{family}' without ':{model}'")
    return tower(**options)


def tuned_towers(settings: Any) -> dict[str, Any]:
    """The towers that a model's settings (``ModelSettings``) say are trained with it, in float32, by modality."""
    made = {}
    for modality, name in (("vision", settings.vision), ("language", settings.text)):
        chosen = getattr(settings.towers, modality)
        if chosen.mode != "tuned":
            continue
        tower = build_encoder(name).float().requires_grad_(True)
        if chosen.blocks is not None:
            tower.freeze(chosen.blocks)
        made[modality] = tower
    return made
