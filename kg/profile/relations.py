"""What relations are like: their shapes and patterns, the rules between them, and the literals that they give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kg import patterns
from kg.profile.said import Said
from kg.profile.thresholds import Thresholds


def relations_and_rules(
    edges: tuple[Any, Any, Any], relations: Sequence[str], said: Said, limits: Thresholds
) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Describe every relation, and list the rules between relations."""
    size = len(said.is_entity), len(relations)
    pairs = patterns.Pairs(*edges, *size)
    least, support = limits.confidence, limits.support
    inverse = patterns.implications(pairs, is_reversed=True, confidence=least, support=support)
    double = patterns.implications(pairs, is_reversed=False, confidence=least, support=support)
    known = {rule.body[0]: rule.head for rule in [*inverse, *double]}
    composed = [
        rule
        for rule in patterns.compositions(pairs, confidence=least, support=support)
        if rule.head not in rule.body and known.get(rule.body[0]) != rule.head
    ]
    rows = []
    for number, shape in enumerate(patterns.shapes(*edges, *size)):
        if not shape.edges:
            continue
        found = []
        if shape.edges - shape.loops >= limits.support and shape.symmetric is not None:
            if shape.symmetric >= limits.confidence:
                found.append("symmetric")
            elif shape.symmetric <= limits.antisymmetric:
                found.append("antisymmetric")
        found += ["inverse"] if any(rule.body[0] == number for rule in inverse) else []
        found += ["duplicate"] if any(rule.body[0] == number for rule in double) else []
        found += ["composed"] if any(rule.head == number for rule in composed) else []
        row = {"relation": relations[number], "label": said.label(relations[number]), **asdict(shape)}
        rows.append(row | {"literals": said.relations[relations[number]] - shape.edges, "patterns": found})
    drawn = {row["relation"] for row in rows}
    empty: dict[str, Any] = dict.fromkeys(patterns.RelationShape.__slots__, 0)
    empty |= {"tails_per_head": None, "heads_per_tail": None, "cardinality": "", "symmetric": None}
    for iri, count in said.relations.items():
        if iri not in drawn:
            rows.append({"relation": iri, "label": said.label(iri), **empty, "literals": count, "patterns": []})
    rows.sort(key=lambda row: (-row["edges"] - row["literals"], row["relation"]))

    def named(rules: list[patterns.Rule]) -> list[dict[str, Any]]:
        return [
            {
                "body": [relations[number] for number in rule.body],
                "head": relations[rule.head],
                "labels": [said.label(relations[number]) for number in (*rule.body, rule.head)],
                "support": rule.support,
                "confidence": rule.confidence,
            }
            for rule in rules[: limits.most]
        ]

    lists = {"inverse": named(inverse), "duplicate_relations": named(double), "compositions": named(composed)}
    return rows, lists


def literals(said: Said) -> list[dict[str, Any]]:
    """Count the literals by datatype and language."""
    kinds: dict[tuple[str, str], list[Any]] = defaultdict(lambda: [0, set()])
    for (relation, datatype, language), count in said.literal_kinds.items():
        kind = kinds[datatype or "text", language or ""]
        kind[0] += count
        kind[1].add(relation)
    rows = [
        {"datatype": datatype, "language": language, "count": count, "relations": len(relations)}
        for (datatype, language), (count, relations) in kinds.items()
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["datatype"], row["language"]))
