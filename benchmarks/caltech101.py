"""Caltech-101 (Li, Fergus & Perona, 2004): its 101 classes as entities of WordNet, and its photos in three parts.

The offsets were chosen by reading the glosses beside the photos, not by what a classifier says of them: the hedgehogs
are insectivores, and ImageNet's "porcupine, hedgehog" are rodents. Where WordNet has no synset of the thing, the
nearest more general one is taken (marked ⊃). Four pairs of classes share an entity, so there are 97.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kg.ingest.wordnet import SYNSET

#: class → noun synset of WordNet 3.0, as "offset lemma".
SYNSETS = {
    "Faces": "05600637 face",
    "Faces_easy": "05600637 face",
    "Leopards": "02128385 leopard",
    "Motorbikes": "03790512 motorcycle",
    "accordion": "02672831 accordion",
    "airplanes": "02691156 airplane",
    "anchor": "02709367 anchor",
    "ant": "02219486 ant",
    "barrel": "02795169 barrel",
    "bass": "02565573 bass",
    "beaver": "02363005 beaver",
    "binocular": "02841315 binoculars",
    "bonsai": "13111881 bonsai",
    "brain": "05481095 brain",
    "brontosaurus": "01709484 brontosaurus",
    "buddha": "09532214 Buddha",
    "butterfly": "02274259 butterfly",
    "camera": "02942699 camera",
    "cannon": "02950256 cannon",
    "car_side": "02958343 car",
    "ceiling_fan": "03271574 electric fan",  # ⊃
    "cellphone": "02992529 cellphone",
    "chair": "03001627 chair",
    "chandelier": "03005285 chandelier",
    "cougar_body": "02125311 cougar",
    "cougar_face": "02125311 cougar",
    "crab": "01976957 crab",
    "crayfish": "01985128 crayfish",
    "crocodile": "01697178 crocodile",
    "crocodile_head": "01697178 crocodile",
    "cup": "03147509 cup",
    "dalmatian": "02110341 dalmatian",
    "dollar_bill": "13395897 dollar bill",
    "dolphin": "02068974 dolphin",
    "dragonfly": "02268443 dragonfly",
    "electric_guitar": "03272010 electric guitar",
    "elephant": "02503517 elephant",
    "emu": "01519873 emu",
    "euphonium": "03301568 euphonium",
    "ewer": "03950228 ewer",
    "ferry": "03329663 ferry",
    "flamingo": "02007558 flamingo",
    "flamingo_head": "02007558 flamingo",
    "garfield": "09587565 fictional character",  # ⊃
    "gerenuk": "02420828 gerenuk",
    "gramophone": "03452267 gramophone",
    "grand_piano": "03452741 grand piano",
    "hawksbill": "01664990 hawksbill",
    "headphone": "03261776 headphone",
    "hedgehog": "01893825 hedgehog",
    "helicopter": "03512147 helicopter",
    "ibis": "02005790 ibis",
    "inline_skate": "04102037 in-line skate",
    "joshua_tree": "12482893 Joshua tree",
    "kangaroo": "01877134 kangaroo",
    "ketch": "03612010 ketch",
    "lamp": "03636649 lamp",
    "laptop": "03642806 laptop",
    "llama": "02437616 llama",
    "lobster": "01982650 lobster",
    "lotus": "11717399 lotus",
    "mandolin": "03716966 mandolin",
    "mayfly": "02262449 mayfly",
    "menorah": "03746155 Menorah",
    "metronome": "03757604 metronome",
    "minaret": "03767745 minaret",
    "nautilus": "01968897 nautilus",
    "octopus": "01970164 octopus",
    "okapi": "02439398 okapi",
    "pagoda": "03874965 pagoda",
    "panda": "02510455 giant panda",
    "pigeon": "01811909 pigeon",
    "pizza": "07873807 pizza",
    "platypus": "01873310 platypus",
    "pyramid": "04029125 Pyramid",
    "revolver": "04086273 revolver",
    "rhino": "02391994 rhinoceros",
    "rooster": "01792158 rooster",
    "saxophone": "04141076 saxophone",
    "schooner": "04147183 schooner",
    "scissors": "04148054 scissors",
    "scorpion": "01770393 scorpion",
    "sea_horse": "01456756 seahorse",
    "snoopy": "09604868 Snoopy",
    "soccer_ball": "04254680 soccer ball",
    "stapler": "04303497 stapler",
    "starfish": "02317335 starfish",
    "stegosaurus": "01701859 stegosaurus",
    "stop_sign": "06794110 street sign",  # ⊃
    "strawberry": "07745940 strawberry",
    "sunflower": "11978233 sunflower",
    "tick": "01776313 tick",
    "trilobite": "01768244 trilobite",
    "umbrella": "04507155 umbrella",
    "watch": "04555897 watch",
    "water_lilly": "11714853 water lily",
    "wheelchair": "04576002 wheelchair",
    "wild_cat": "02124623 wildcat",
    "windsor_chair": "04590933 Windsor chair",
    "wrench": "04606574 wrench",
    "yin_yang": "06806469 symbol",  # ⊃
}


@dataclass(frozen=True)
class Photos:
    """Photos and which entity each shows.

    Attributes:
        files: n paths.
        entities: E IRIs, sorted; ``shown``: (n,) rows of them.
        part: (n,) "train", "validation" or "test".
    """

    files: list[str]
    entities: list[str]
    shown: Any
    part: Any


def photos(folder: Path) -> Photos:
    """The photos below ``folder``, by their paths half for training, a fifth for choices, the rest for figures."""
    with (folder / "images.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return divided(
        [str(folder / row["path"]) for row in rows],
        [synset(row["class"]) for row in rows],
        [_part(draw(row["path"])) for row in rows],
    )


def divided(files: list[str], shows: list[str], parts: list[str]) -> Photos:
    """Photos with their entities numbered."""
    import numpy as np

    entities = sorted(set(shows))
    number = {entity: row for row, entity in enumerate(entities)}
    return Photos(files, entities, np.array([number[entity] for entity in shows]), np.array(parts))


def synset(name: str) -> str:
    """The IRI of a class's entity."""
    return f"{SYNSET}{SYNSETS[name].split()[0]}-n"


def draw(text: str) -> float:
    """A number in [0, 1) by a hash."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def _part(draw: float) -> str:
    return "train" if draw < 0.5 else "validation" if draw < 0.7 else "test"
