"""Twenty-four toys of distinct colours, six makers, three towns: small enough to know every right answer."""

from __future__ import annotations

import colorsys
from pathlib import Path

from kemm.settings import Settings
from kg import KnowledgeGraph, Picture
from kg.records import RDFS, Literal
from tests.kemm.tiny_towers import paint

TOYS = [f"toy:{number}" for number in range(24)]
_NAMES = """
    Abra Bolo Cuno Dara Elmo Fina Gubo Hila Iska Juno Kora Lumi
    Mako Nilo Orla Puck Quin Rufo Sola Tiko Umba Vino Wila Zora
"""
MAKERS = ["Holzmann", "Barley", "Castell", "Dunkirk", "Engel", "Fontane"]
TOWNS = ["Leipzig", "Oslo", "Turin"]
MADE_BY, BASED_IN, WEIGHT = "r:madeBy", "r:basedIn", "r:weight"
LABELS = dict(zip(TOYS, _NAMES.split(), strict=True))
LABELS |= {f"maker:{name}": name for name in MAKERS} | {f"town:{name}": name for name in TOWNS}
LABELS |= {MADE_BY: "made by", BASED_IN: "based in", WEIGHT: "weight"}


def maker_of(toy: str) -> str:
    return MAKERS[TOYS.index(toy) % 6]


def town_of(toy: str) -> str:
    return TOWNS[TOYS.index(toy) % 3]


def weight_of(toy: str) -> str:
    return str(100 + 7 * TOYS.index(toy))


def colour_of(toy: str) -> tuple[int, int, int]:
    number = TOYS.index(toy)
    red, green, blue = colorsys.hsv_to_rgb(number / 24, 0.9, 0.95 if number % 2 else 0.6)
    return int(255 * red), int(255 * green), int(255 * blue)


def build_store(address: str, pictures: Path) -> None:
    """54 facts with labels; four training pictures and one test picture a toy."""
    with KnowledgeGraph.open(address) as graph:
        with graph.edit(source="toy shop") as edit:
            for iri, label in LABELS.items():
                edit.add(iri, RDFS + "label", Literal(label))
            for toy in TOYS:
                edit.add(toy, MADE_BY, f"maker:{maker_of(toy)}")
                edit.add(toy, WEIGHT, Literal(weight_of(toy)))
            for number, maker in enumerate(MAKERS):
                edit.add(f"maker:{maker}", BASED_IN, f"town:{TOWNS[number % 3]}")
        shown = []
        for toy in TOYS:
            for number, split in enumerate(("train", "train", "train", "train", "val")):
                name = f"{toy[4:]}-{number}.png"
                paint(pictures / name, colour_of(toy))
                shown.append(Picture(name, toy, split, str(pictures)))
        graph.add_pictures(shown, source="toy shop")


def settings_for(folder: Path) -> Settings:
    """A model of width 32 and two layers on the tiny towers, a hundred and twenty steps."""
    wordings = {
        "madeBy": {
            "ask": ["Who makes {x}?", "Which firm is {x} made by?", "Name the maker of {x}.", "By whom is {x} made?"],
            "of": ["the maker of {x}", "the firm that makes {x}"],
        },
        "basedIn": {"ask": ["Where is {x} based?", "Which town is {x} based in?", "Name the town {x} is based in."]},
        "weight": {"ask": ["What is the weight of {x}?", "How heavy, in weight, is {x}?", "Tell the weight of {x}."]},
    }
    return Settings.model_validate(
        {
            "run": folder / "run",
            "data": {"store": f"sqlite:///{folder}/toys.db", "index": folder / "index", "views": 2},
            "questions": {"min_facts": 4, "wordings": wordings, "repeats": 3, "unknown": 0.1, "yes_no": 12},
            "model": {
                "vision": "tiny-colours",
                "text": "tiny-text",
                "width": 32,
                "layers": 2,
                "heads": 2,
                "gnn_layers": 1,
                "grid": 2,
                "text_tokens": 16,
                "facts": 8,
                "dropout": 0.0,
            },
            "objectives": {
                "mlm": {},
                "mem": {},
                "link_prediction": {"dimension": 16, "batch": 16},
                "entity_image": {},
                "answering": {},
            },
            "train": {"steps": 120, "pairs": 20, "questions": 32, "warmup": 5, "learning_rate": 4e-3},
        }
    )
