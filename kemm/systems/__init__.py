"""Published systems, each a choice of kemm's parts, named in ``SYSTEMS``.

A system is built ``from_config`` of a published checkpoint and can be given that checkpoint's weights: its ``NAMES``
say which parameter is which (`kemm.systems.names`). ``docs/parity.md`` shows, for each, that the same weights then give
the numbers of the reference implementation.
"""

from __future__ import annotations

#: name → "module:Class"
SYSTEMS = {
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
