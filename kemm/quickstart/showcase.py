"""The quick start's last stage: two questions asked, a fact corrected, the first one asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kemm.predict.predictor import Predictor
from kemm.predict.reader import Reader
from kg.ingest.countries import COUNTRY, PLACE, RELATION

#: (ISO code of the flag shown, question, right answers); fixed here, whatever the model says to them.
ONE_HOP = ("EG", "What is the capital of this country?", ["Cairo"])
TWO_HOP = ("PT", "What is the capital of a country that borders this country?", ["Madrid"])
CORRECTED = ("EG", "Cairo", "Alexandria")


def ask_and_correct(reader: Reader, photographs: Path) -> dict[str, Any]:
    """Ask, retract the cited fact and add another as one version, ask again; then set the store right."""
    predictor = Predictor(reader)
    examples = [
        _example(predictor, photographs / f"{code}-0.jpg", text, gold) for code, text, gold in (ONE_HOP, TWO_HOP)
    ]
    code, old, new = CORRECTED
    graph = reader.world.graph
    capital, country = RELATION + "capital", COUNTRY + code
    before = next(graph.triples(head=country, relation=capital))
    version = graph.version
    place = PLACE + new
    predictor.edit(retract=before.fact, add=(country, capital, place), source="quick start")
    graph_version = graph.version
    after = predictor.predict(photographs / f"{code}-0.jpg", ONE_HOP[1]).as_dict()
    predictor.edit(retract=(country, capital, place), add=before.fact, source=before.source)
    return {
        "examples": examples,
        "edit": {
            "question": ONE_HOP[1],
            "image": str(photographs / f"{code}-0.jpg"),
            "before": {key: examples[0][key] for key in ("answer", "confidence", "citations")},
            "change": [
                f"- {graph.labels([country])[country]}, capital: {old}",
                f"+ {graph.labels([country])[country]}, capital: {new}",
            ],
            "after": {key: after[key] for key in ("answer", "confidence", "citations")},
            "version_before": version,
            "version_after": graph_version,
        },
    }


def _example(predictor: Predictor, image: Path, question: str, gold: list[str]) -> dict[str, Any]:
    prediction = predictor.predict(image, question)
    evidence, _, reading = predictor.explain(image, question)
    cited = {(c.head, c.relation, c.tail) for c in prediction.citations}
    facts = []
    for fact, pointed in zip(evidence.facts, reading.pointed.tolist(), strict=False):
        words = tuple(evidence.label(end) for end in fact.statement.fact)
        facts.append(
            {
                "head": words[0],
                "relation": words[1],
                "tail": words[2],
                "score": round(pointed, 4),
                "cited": words in cited,
                "hop": fact.hop,
            }
        )
    return {
        "image": str(image),
        "question": question,
        "gold": gold,
        "facts": facts,
        "note": f"linked to {prediction.trace['anchors'][0]['label']}"
        if prediction.trace["anchors"]
        else "nothing linked",
        **{key: prediction.as_dict()[key] for key in ("answer", "confidence", "known", "citations", "trace")},
    }
