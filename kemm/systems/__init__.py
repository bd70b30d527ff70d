"""Published systems, each a choice of kemm's parts, named in ``SYSTEMS``.

A system is built ``from_config`` of a published checkpoint and can be given that checkpoint's weights: its ``NAMES``
say which parameter is which (`kemm.systems.names`). ``docs/parity.md`` shows, for each, that the same weights then give
the numbers of the reference implementation.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from kg.errors import InputError

if TYPE_CHECKING:
    from kemm.systems.system import System

#: name → "module:Class"
SYSTEMS = {
    "align": "kemm.systems.align:ALIGN",
    "beit": "kemm.systems.beit:BEiT",
    "beit3": "kemm.systems.beit3:BEiT3",
    "bert": "kemm.systems.bert:BERT",
    "blip-answerer": "kemm.systems.blip_writer:BLIPAnswerer",
    "blip-captioner": "kemm.systems.blip_writer:BLIPCaptioner",
    "blip-retrieval": "kemm.systems.blip:BLIPRetrieval",
    "blip2": "kemm.systems.blip2_writer:BLIP2",
    "blip2-retrieval": "kemm.systems.blip2:BLIP2Retrieval",
    "clip": "kemm.systems.clip:CLIP",
    "coca": "kemm.systems.coca:CoCa",
    "flava": "kemm.systems.flava:FLAVA",
    "flava-codes": "kemm.systems.flava_codes:FLAVACodes",
    "git": "kemm.systems.git:GIT",
    "idefics": "kemm.systems.idefics:Idefics",
    "luke": "kemm.systems.luke:LUKE",
    "lxmert": "kemm.systems.lxmert:LXMERT",
    "mae": "kemm.systems.mae:MAE",
    "siglip": "kemm.systems.siglip:SigLIP",
    "t5": "kemm.systems.t5:T5",
    "timm": "kemm.systems.timm_towers:TimmTower",
    "vilt-masked-words": "kemm.systems.vilt:ViLTMaskedWords",
    "vilt-retrieval": "kemm.systems.vilt:ViLTRetrieval",
    "visual-bert": "kemm.systems.visual_bert:VisualBERT",
    "vit": "kemm.systems.vit:ViT",
}


def check_name(name: str) -> None:
    """Refuse the name of a system that there is not.

    Raises:
        InputError: lists those that there are.
    """
    if name not in SYSTEMS:
        near = difflib.get_close_matches(name, SYSTEMS, n=1)
        meant = f"; did you mean '{near[0]}'?" if near else ""
        raise InputError(f"there is no system '{name}'{meant} (there are: {', '.join(sorted(SYSTEMS))})")


def system_class(name: str) -> type[System]:
    """The class of a system.

    Raises:
        InputError: there is none of that name.
    """
    check_name(name)
    module, _, kind = SYSTEMS[name].partition(":")
    return getattr(importlib.import_module(module), kind)


def name_of(kind: type[System]) -> str:
    """The name that a class has in ``SYSTEMS``.

    Raises:
        InputError: it has none.
    """
    path = f"{kind.__module__}:{kind.__qualname__}"
    for name, known in SYSTEMS.items():
        if known == path:
            return name
    raise InputError(f"{path} is not a system that kemm knows; add it to kemm.systems.SYSTEMS")
