"""The quick start's last stage: two questions asked, a fact corrected, the first one asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kemm.predict.predictor import Predictor
from kemm.predict.reader import Reader
from kg.ingest.countries import PLACE

#: (ISO code of the flag shown, question, right answers); fixed here, whatever the model says to them.
ONE_HOP = ("BR", "What is the capital of this country?", ["Brasília"])
TWO_HOP = ("PT", "What is the capital of a country that borders this country?", ["Madrid"])
ANOTHER = PLACE + "Rio_de_Janeiro"  # what the cited fact is made to say


def ask_and_correct(reader: Reader, photographs: Path) -> dict[str, Any]:
    """Ask, retract the cited fact and add another as one version, ask again; then set the store right."""
    predictor = Predictor(reader)
    examples = [
        _example(predictor, photographs / f"{code}-0.jpg", text, gold) for code, text, gold in (ONE_HOP, TWO_HOP)
    ]
    image, question = photographs / f"{ONE_HOP[0]}-0.jpg", ONE_HOP[1]
    evidence, _, reading = predictor.explain(image, question)
    if not evidence.facts:  # the picture is taken for strange: there is nothing to correct
        return {"examples": examples, "edit": {}}
    cited = evidence.facts[int(reading.pointed.argmax())].statement
    graph = reader.world.graph
    version = graph.version
    predictor.edit(retract=cited.fact, add=(cited.head, cited.relation, ANOTHER), source="quick start")
    edited = graph.version
    after = predictor.predict(image, question).as_dict()
    predictor.edit(retract=(cited.head, cited.relation, ANOTHER), add=cited.fact, source=cited.source)
    said = f"{evidence.label(cited.head)}, {evidence.label(cited.relation)}"
    return {
        "examples": examples,
        "edit": {
            "question": question,
            "image": str(image),
            "before": {key: examples[0][key] for key in ("answer", "confidence", "citations")},
            "change": [f"- {said}: {evidence.label(cited.tail)}", f"+ {said}: {graph.labels([ANOTHER])[ANOTHER]}"],
            "after": {key: after[key] for key in ("answer", "confidence", "citations")},
            "version_before": version,
            "version_after": edited,
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
        "note": prediction.trace["why"] or f"linked to {prediction.trace['anchors'][0]['label']}",
        **{key: prediction.as_dict()[key] for key in ("answer", "confidence", "known", "citations", "trace")},
    }
