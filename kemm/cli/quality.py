"""Commands that say how good a graph is: ``kg profile`` and ``kg audit``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kemm.cli import screen, stores
from kemm.cli.screen import Json
from kemm.cli.stores import Store, Version

Html = Annotated[Path | None, typer.Option("--html", help="Write a page with plots there too")]


def register(kg_commands: typer.Typer) -> None:
    """Add the commands of this file to ``kemm kg``."""
    kg_commands.command()(profile)
    kg_commands.command()(audit)


def profile(
    store: Store,
    html: Html = None,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Share of its pairs for which a relation pattern must hold")
    ] = 0.8,
    support: Annotated[int, typer.Option(min=1, help="Pairs that a relation needs to have patterns")] = 20,
    version: Version = None,
    json: Json = False,
) -> None:
    """Say what a graph is like: degrees, components, relation patterns, gaps, duplicates and contradictions."""
    from kg.profile import Thresholds
    from kg.profile import profile as look

    limits = Thresholds(confidence=confidence, support=support)
    with stores.existing(store, json) as graph, screen.counting("statements read") as progress:
        found = look(graph, limits, progress, version=version).as_dict()
        name = graph.database.name
    if html:
        from kemm.report.profile_page import write_profile

        screen.note(f"wrote {write_profile(found, html, name)}")
    screen.show(found, json, lambda: _print_profile(found))


def audit(
    train: Annotated[str, typer.Option("--train", help="A file of triples, or the URL of a store")],
    test: Annotated[str, typer.Option("--test", help="A file of triples, or the URL of a store")],
    text: Annotated[
        Path | None,
        typer.Option("--text", help="Names and descriptions: TSV or JSON lines with id, label, description"),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="TSV or CSV with the columns path, entity, split")
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of pairs that makes relations inverse or duplicate; by default 0.99 − f"
        ),
    ] = None,
    distance: Annotated[int, typer.Option(min=0, max=256, help="Bits of 256 in which near-duplicates differ")] = 26,
    json: Json = False,
) -> None:
    """Look for leaks of a test set: same, inverse and duplicate triples, texts, unseen entities, alike pictures."""
    from kg.audit import Limits
    from kg.audit import audit as look

    with screen.work(json):
        limits = Limits(overlap=overlap, distance=distance)
        found = look(train, test, texts=text, images=images, limits=limits).as_dict()
    screen.show(found, json, lambda: _print_audit(found))


def share(value: float | None) -> str:
    """``0.349 → '34.9 %'``."""
    return "" if value is None else f"{100 * value:.1f} %"


def _print_profile(found: dict[str, Any]) -> None:
    screen.pairs({**found["counts"], "version": found["version"]})
    rows = [(way, *(found["degrees"][way][key] for key in _DEGREES)) for way in ("out", "in", "all")]
    screen.table(("degree", *_DEGREES), rows)
    parts = found["components"]
    largest = f"the largest of {parts['largest']:,} entities ({share(parts['largest_share'])})"
    screen.line(f"connected components: {parts['count']:,}, {largest}, {parts['isolated']:,} single entities\n")
    hubs = [(hub["label"], hub["out"], hub["in"]) for hub in found["degrees"]["hubs"][:10]]
    screen.table(("most connected", "out", "in"), hubs)
    rows = [
        (row["label"], row["edges"], row["literals"], row["cardinality"], ", ".join(row["patterns"]))
        for row in found["relations"][:30]
    ]
    screen.table(("relation", "edges", "literals", "kind", "patterns"), rows)
    if len(found["relations"]) > 30:
        screen.line(f"… and {len(found['relations']) - 30:,} more (--json or --html)\n")
    for title, key in _RULES:
        if found[key]:
            screen.table((title, "pairs", "holds for"), [_rule(rule, key) for rule in found[key][:10]])
    if found["literals"]:
        rows = [(_short(row["datatype"]), row["language"], row["count"], row["relations"]) for row in found["literals"]]
        screen.table(("literals", "language", "count", "relations"), rows[:15])
    missing, entities = found["missing"], max(found["counts"]["entities"], 1)
    lacking = [
        (f"no {what}", missing[what], share(missing[what] / entities)) for what in ("label", "description", "picture")
    ]
    screen.table(("entities with", "count", "share"), lacking)
    twins, broken = found["duplicates"], found["contradictions"]
    screen.line(
        f"{twins['pairs']:,} pairs of one label share neighbours; {twins['same_label']:,} entities share a label"
    )
    if twins["examples"]:
        rows = [(pair["label"], *pair["entities"], share(pair["shared"])) for pair in twins["examples"][:10]]
        screen.table(("label", "entity", "and", "shared"), rows)
    screen.line(f"{broken['heads']:,} entities contradict one of {broken['functional']:,} functional relations")
    if broken["examples"]:
        rows = [
            (*row["labels"][:2], "; ".join(row["labels"][2:]), "; ".join(row["sources"])) for row in broken["examples"]
        ]
        screen.table(("entity", "relation", "several tails", "sources"), rows[:10])
    rows = [
        tuple(row[key] for key in ("source", "triples", "entities", "relations", "only_here"))
        for row in found["sources"]
    ]
    screen.table(("source", "triples", "entities", "relations", "entities only here"), rows)


_DEGREES = ("mean", "median", "p90", "p99", "max", "zero")
_RULES = (
    ("inverse relations", "inverse"),
    ("duplicate relations", "duplicate_relations"),
    ("compositions (estimated)", "compositions"),
)


def _rule(rule: Mapping[str, Any], kind: str) -> tuple[Any, ...]:
    *body, head = rule["labels"]
    written = f"{' ∘ '.join(body)} → {head}{' turned round' if kind == 'inverse' else ''}"
    return written, rule["support"], share(rule["confidence"])


def _short(datatype: str) -> str:
    return datatype.rsplit("#", 1)[-1]


def _print_audit(found: dict[str, Any]) -> None:
    sizes = [(name, *found[name].values()) for name in ("train", "test")]
    screen.table(("set", *found["train"]), sizes)
    test = found["test"]["triples"]
    rows: list[Sequence[Any]] = []
    for name, what in _LEAKS:
        if found[name] is not None:
            rows.append((what, found[name]["count"], share(found[name]["count"] / test)))
    rows.append(
        ("reversed in training by any relation", round(found["inverse"]["any"] * test), share(found["inverse"]["any"]))
    )
    rows.append(
        (
            "same pair in training by another relation",
            round(found["duplicate"]["any"] * test),
            share(found["duplicate"]["any"]),
        )
    )
    screen.table(("test triples", "count", "share"), rows)
    for kind in ("inverse", "duplicate"):
        if found[kind]["rules"]:
            rules = [tuple(rule.values()) for rule in found[kind]["rules"]]
            screen.table((f"{kind} relations", "implies", "pairs", "holds for"), rules)
    unseen = found["unseen"]
    screen.line(
        f"{unseen['entities']:,} test entities and {unseen['relations']:,} relations are not in the training set"
    )
    if found["text"] is None:
        screen.line("no texts to look in (give --text)")
    if alike := found["images"]:
        screen.line(
            f"{alike['pairs']:,} pairs of {alike['of']:,} pictures look alike across splits "
            f"(at most {found['limits']['distance']} of 256 bits differ), {alike['unreadable']:,} can't be read"
        )
        rows = [(*pair["paths"], pair["distance"]) for pair in alike["examples"]]
        if rows:
            screen.table(("picture", "and", "bits"), rows)
    screen.line(f"relations count as inverse or duplicate from {share(found['limits']['overlap'])} of their pairs on")


_LEAKS = (
    ("leaked", "same, inverse or duplicate"),
    ("same", "in the training set"),
    ("inverse", "turned round in training"),
    ("duplicate", "in training by a duplicate relation"),
    ("text", "stated in a description"),
    ("unseen", "with an unseen entity or relation"),
)
