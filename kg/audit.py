"""Does the test set leak? What of it a model could have read off its training data, and what it could never know.

    found = audit("train.tsv", "test.tsv", texts="entity2text.tsv.gz", images="images.tsv")
    found.inverse["share"]          # 0.35: so much of the test set is a training triple turned round

- **same**: test triples that are in the training set.
- **inverse**, **duplicate**: test triples (h, r, t) for which (t, s, h), or (h, s, t), is in the training set, where r
  and s are inverse, or duplicates: FB15k's and WN18's flaw (Toutanova & Chen, 2015, who dropped relations that share
  97 % of their pairs for FB15k-237). As in Dettmers et al. (2018, arXiv:1707.01476, section 3), r and s are inverse if
  one implies the other in at least 0.99 − f of its pairs, f being the share of the triples that are not looked at.
  They look at the training set only; we look at both sets, and take for f the test set's share, since a validation
  set is mostly as large. A symmetric relation is its own inverse, which is what is left of this flaw in WN18RR.
- **text**: test triples one of whose entities is named in the other's description.
- **unseen**: test entities and relations that are not in the training set.
- **images**: pictures of different splits that look alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kg import patterns, registry
from kg.errors import FormatError, InputError
from kg.images import near_duplicates
from kg.records import Literal
from kg.texts import Texts, named_in_texts, read_texts

Edge = tuple[str, str, str]


@dataclass(frozen=True)
class Limits:
    """From when on something counts as a leak.

    Attributes:
        overlap: share of a relation's pairs for which it implies another; by default 0.99 − f, see above.
        support: pairs that a relation needs for it.
        shortest_name: letters of a name below which its being in a text means nothing.
        distance: bits of 256 in which the hashes of two pictures may differ, see ``kg.images``.
        most: examples of each kind.
    """

    overlap: float | None = None
    support: int = 10
    shortest_name: int = 4
    distance: int = 26
    most: int = 10


@dataclass(frozen=True)
class Audit:
    """What was found; each kind is ``{"count", "share", "examples", …}``, shares of the test triples.

    Attributes:
        train, test: ``{"triples", "entities", "relations", "literals"}``; literals are only read as texts.
        inverse, duplicate: also ``"by_relation"`` and ``"rules"``, and ``"any"``: the share whatever s is.
        text: None where there was none; also ``"texts"``, how many entities have one.
        unseen: also ``"entities"`` and ``"relations"``, counts of them.
        images: None where there were none; ``"pairs"``, ``"pictures"`` that are in one, ``"of"``, ``"unreadable"``.
        leaked: test triples that are the same, inverse or duplicate.
    """

    train: dict[str, int]
    test: dict[str, int]
    same: dict[str, Any]
    inverse: dict[str, Any]
    duplicate: dict[str, Any]
    text: dict[str, Any] | None
    unseen: dict[str, Any]
    images: dict[str, Any] | None
    leaked: dict[str, Any]
    limits: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def audit(
    train: str | Path | Iterable[Edge],
    test: str | Path | Iterable[Edge],
    *,
    texts: str | Path | Texts | None = None,
    images: str | Path | None = None,
    limits: Limits | None = None,
) -> Audit:
    """Compare a test set with its training set.

    Args:
        train, test: files that ``kg.ingest`` reads, addresses of stores (``sqlite:///…``), or triples.
        texts: entity → (name, description), or a file of them, see ``kg.texts.read_texts``. Labels and descriptions in
            ``train`` are used too.
        images: a table with the columns path, entity and split, as ``kemm media add`` takes it.

    Raises:
        InputError: a file can't be read, or one of the two sets is empty.
    """
    given = limits or Limits()
    known, learned = _read(train)
    asked, _ = _read(test)
    more: Texts = read_texts(texts) if isinstance(texts, str | Path) else texts or {}
    for name, edges in (("training", known), ("test", asked)):
        if not edges:
            raise InputError(f"the {name} set has no triple between entities: nothing to compare")
    overlap = given.overlap if given.overlap is not None else 0.99 - len(asked) / (len(known) + len(asked))
    numbers: dict[str, int] = {}
    names: dict[str, int] = {}
    train_rows, test_rows = (_numbered(edges, numbers, names) for edges in (known, asked))
    pairs = patterns.Pairs(*_columns(train_rows), len(numbers), len(names))
    heads, relations, tails = test_rows.T
    is_same = _has(pairs, heads, tails, relations[:, None] == np.arange(len(names)))
    relation_names = list(names)
    found: dict[str, dict[str, Any]] = {}
    leaks = {"same": is_same}
    together = np.unique(np.concatenate([train_rows, test_rows]), axis=0)
    whole = patterns.Pairs(*_columns(together), len(numbers), len(names))
    for kind, is_reversed in (("inverse", True), ("duplicate", False)):
        rules = patterns.implications(whole, is_reversed=is_reversed, confidence=overlap, support=given.support)
        linked = np.zeros((len(names), len(names)), dtype=bool)
        for rule in rules:
            linked[rule.body[0], rule.head] = linked[rule.head, rule.body[0]] = True
        listed = [_named(rule, relation_names) for rule in rules[: given.most]]
        if is_reversed:
            shapes = patterns.shapes(*_columns(together), len(numbers), len(names))
            for relation, shape in enumerate(shapes):
                proper = shape.edges - shape.loops
                if proper >= given.support and shape.symmetric is not None and shape.symmetric >= overlap:
                    linked[relation, relation] = True
                    rule = patterns.Rule((relation,), relation, proper, shape.symmetric)
                    listed.append(_named(rule, relation_names))
        ends = (tails, heads) if is_reversed else (heads, tails)
        others = np.ones((len(names), len(names)), dtype=bool)
        if not is_reversed:
            np.fill_diagonal(others, False)
        leaks[kind] = _has(pairs, *ends, linked[relations])
        anyway = _has(pairs, *ends, others[relations])
        found[kind] = _leak(leaks[kind], asked, given.most) | {
            "by_relation": _by_relation(leaks[kind], relations, relation_names),
            "rules": listed,
            "any": float(anyway.mean()),
        }
    seen = np.zeros(len(numbers), dtype=bool)
    seen[train_rows[:, [0, 2]]] = True
    seen_relations = np.isin(np.arange(len(names)), train_rows[:, 1])
    is_unseen = ~(seen[heads] & seen[tails] & seen_relations[relations])
    in_test = np.unique(test_rows[:, [0, 2]])
    return Audit(
        train=_size(known, learned),
        test=_size(asked, {}),
        same=_leak(is_same, asked, given.most),
        **found,
        text=_text_leaks(asked, learned | dict(more), given),
        unseen=_leak(is_unseen, asked, given.most)
        | {
            "entities": int((~seen[in_test]).sum()),
            "entity_share": float((~seen[in_test]).mean()),
            "relations": len(set(relations[~seen_relations[relations]].tolist())),
        },
        images=None if images is None else near_duplicates(images, given.distance, given.most),
        leaked=_leak(leaks["same"] | leaks["inverse"] | leaks["duplicate"], asked, 0),
        limits=asdict(given) | {"overlap": overlap},
    )


def _read(source: str | Path | Iterable[Edge]) -> tuple[list[Edge], dict[str, tuple[str, str]]]:
    """Return the distinct edges, and entity → (name, description) from literals."""
    edges: dict[Edge, None] = {}
    texts: dict[str, tuple[str, str]] = {}
    for head, relation, tail in _facts(source):
        if isinstance(tail, Literal):
            name, about = texts.get(head, ("", ""))
            if tail.language is None or tail.language.lower().startswith("en"):
                word = relation.rsplit("#", 1)[-1].rsplit("/", 1)[-1].lower()
                if word in ("label", "preflabel", "name"):
                    name = name or tail.value
                elif word in ("description", "comment", "definition", "abstract", "gloss"):
                    about = about or tail.value
                texts[head] = name, about
        else:
            edges[head, relation, str(tail)] = None
    return list(edges), {entity: text for entity, text in texts.items() if any(text)}


def _facts(source: str | Path | Iterable[Edge]) -> Iterator[tuple[str, str, Any]]:
    if not isinstance(source, str | Path):
        yield from source
        return
    if "://" in str(source):
        from kg.store.graph import KnowledgeGraph

        with KnowledgeGraph.open(source, create=False) as graph:
            yield from (statement.fact for statement in graph.triples())
        return
    from kg import ingest

    def stop(error: FormatError) -> None:
        raise error

    read = registry.resolve(ingest.READERS, ingest.format_of(source), "reader")
    if not Path(source).is_file():
        raise InputError(f"there is no file {source}")
    for fact in read(Path(source), stop):
        yield fact[:3]


def _numbered(edges: Iterable[Edge], numbers: dict[str, int], names: dict[str, int]) -> np.ndarray:
    """Return the edges as dense numbers, (M, 3), giving new names the next ones."""
    rows = [
        (
            numbers.setdefault(head, len(numbers)),
            names.setdefault(relation, len(names)),
            numbers.setdefault(tail, len(numbers)),
        )
        for head, relation, tail in edges
    ]
    return np.array(rows, dtype=np.int64)


def _columns(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rows[:, 0], rows[:, 1], rows[:, 2]


def _has(pairs: patterns.Pairs, heads: np.ndarray, tails: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Tell for each (head, tail) whether an edge between them is of one of the ``wanted`` relations, (K, R) → (K,)."""
    which, relation = pairs.between(heads, tails)
    found = np.zeros(len(heads), dtype=bool)
    found[which[wanted[which, relation]]] = True
    return found


def _leak(is_leak: np.ndarray, edges: list[Edge], most: int) -> dict[str, Any]:
    places = np.flatnonzero(is_leak)
    examples = [list(edges[place]) for place in places[:most].tolist()]
    return {"count": len(places), "share": len(places) / len(edges), "examples": examples}


def _text_leaks(edges: list[Edge], texts: Texts, limits: Limits) -> dict[str, Any] | None:
    if not texts:
        return None
    return _leak(named_in_texts(edges, texts, limits.shortest_name), edges, limits.most) | {"texts": len(texts)}


def _named(rule: patterns.Rule, names: list[str]) -> dict[str, Any]:
    ends = {"relation": names[rule.body[0]], "implies": names[rule.head]}
    return ends | {"support": rule.support, "confidence": rule.confidence}


def _by_relation(is_leak: np.ndarray, relations: np.ndarray, names: list[str]) -> dict[str, Any]:
    leaked, whole = Counter(relations[is_leak].tolist()), Counter(relations.tolist())
    return {names[number]: {"count": count, "of": whole[number]} for number, count in leaked.most_common()}


def _size(edges: list[Edge], texts: Mapping[str, Any]) -> dict[str, int]:
    entities = {end for head, _, tail in edges for end in (head, tail)}
    relations = {relation for _, relation, _ in edges}
    return {"triples": len(edges), "entities": len(entities), "relations": len(relations), "texts": len(texts)}
