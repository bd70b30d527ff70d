"""The facts behind one answer as a small drawing: what was asked about at the left, one column a hop, cited facts bold.

Each fact arrives at its farther end on a line of its own, so relation names never meet; an arrowhead points from head
to tail. A fact between two entities of one column shows the second of them once more, dashed, in the next column.
Twenty facts are readable; of more, the cited and the best scored stay and the rest are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import networkx as nx

from kemm.report.formats import one_line, short_name, shorten, text_width, wrap

SIZE = 12.0  # font size of nodes, pixels
LABEL_SIZE = 11.0  # font size of relations
ROW = 25.0  # height of one fact's line
TEXT_LINE = 15.0  # height of a text line in a node
PAD = 9.0  # inside a node, left and right
BEND = 60.0  # room for the curve between a column and the relation names
ARROW = 26.0  # room for the arrowhead and a bit of line on both sides of a relation's name
MARGIN = 4.0


@dataclass(slots=True)
class Node:
    """A box: centre ``y`` and left side ``x`` in pixels, y growing downwards."""

    lines: list[str]
    role: str = "entity"  # "anchor": asked about; "answer": what was answered; "entity"
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    is_repeat: bool = False  # the entity has a box of its own elsewhere


@dataclass(slots=True)
class Edge:
    """One fact, drawn from ``start`` (at the nearer end), level from ``shelf`` on, to ``end`` (at the farther end)."""

    near: str
    far: str
    label: str
    is_cited: bool
    points_far: bool  # the tail is the farther end
    start: tuple[float, float] = (0.0, 0.0)
    shelf: float = 0.0
    end: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class Drawing:
    """Everything ``subgraph_plot`` needs, in pixels."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0
    num_shown: int = 0
    num_omitted: int = 0


@dataclass(frozen=True, slots=True)
class _Fact:
    """A fact between two node keys. Equal numbers are different nodes: 1 g of salt is not 1 g of sugar."""

    head: str
    relation: str
    tail: str
    text: str  # the tail as it is shown
    score: float
    hop: int
    is_cited: bool


def arrange(facts: Sequence[dict[str, Any]], answer: str = "", anchors: Iterable[str] = (), limit: int = 20) -> Drawing:
    """Choose at most ``limit`` facts and give every node and edge its place.

    Args:
        facts: dicts with head, relation, tail and, if known, score, hop (1 touches an anchor) and cited.
        answer: the node with this text is marked.
        anchors: the entities asked about; when empty, the fewest entities that all one-hop facts touch.
        limit: facts drawn; the others are counted in ``num_omitted``.
    """
    read = _read(facts)
    ends = {end for f in read for end in (f.head, f.tail)}
    roots = [name for name in map(one_line, anchors) if name in ends] or _cover(read)
    kept = _choose(read, roots, limit)
    drawing = Drawing(num_shown=len(kept), num_omitted=len(read) - len(kept))
    if kept:
        _place(drawing, kept, roots, one_line(answer).casefold())
    return drawing


def _read(facts: Sequence[dict[str, Any]]) -> list[_Fact]:
    """Facts as records, without repetitions (a fact is cited if any of its repetitions is)."""
    unique: dict[tuple[str, str, str], _Fact] = {}
    for fact in facts:
        head, relation, tail = (one_line(fact.get(key, "")) for key in ("head", "relation", "tail"))
        is_number = re.fullmatch(r"[-+]?[\d.,]+", tail) is not None
        previous = unique.get((head, relation, tail))
        unique[head, relation, tail] = _Fact(
            head,
            relation,
            f"{tail}\0{head}\0{relation}" if is_number else tail,
            tail,
            float(fact.get("score") or 0.0),
            int(fact.get("hop") or 1),
            bool(fact.get("cited")) or (previous is not None and previous.is_cited),
        )
    return list(unique.values())


def _cover(facts: list[_Fact]) -> list[str]:
    """The fewest entities, greedily, that every one-hop fact touches; heads before tails."""
    open_facts = [f for f in facts if f.hop <= 1] or facts
    roots: list[str] = []
    while open_facts:
        touched: dict[str, int] = {}
        for end in [f.head for f in open_facts] + [f.tail for f in open_facts]:
            touched[end] = touched.get(end, 0) + 1
        root = max(touched, key=lambda end: touched[end])
        roots.append(root)
        open_facts = [f for f in open_facts if root not in (f.head, f.tail)]
    return roots


def _choose(facts: list[_Fact], roots: list[str], limit: int) -> list[_Fact]:
    """The cited facts, the facts that tie them to the roots, then the best scored that hang together."""
    if len(facts) <= limit:
        return facts
    graph = nx.MultiGraph()
    graph.add_nodes_from(roots)
    for number, fact in enumerate(facts):
        graph.add_edge(fact.head, fact.tail, fact=number)
    paths = nx.multi_source_dijkstra_path(graph, set(roots), weight=None)
    by_score = sorted(range(len(facts)), key=lambda i: (-facts[i].is_cited, -facts[i].score, facts[i].hop))
    kept: dict[int, None] = {}
    for number in by_score:
        ends = (facts[number].head, facts[number].tail)
        near: list[str] = min((paths[end] for end in ends if end in paths), key=len, default=[])
        bridge = [next(iter(graph[a][b].values()))["fact"] for a, b in pairwise(near)]
        wanted = dict.fromkeys([*bridge, number])
        if len(kept | wanted) <= limit:
            kept |= wanted
    return [facts[number] for number in kept]


def _place(drawing: Drawing, facts: list[_Fact], roots: list[str], answer: str) -> None:
    """Columns by distance from the roots; within a column, a tidy tree so that no tree edge crosses another."""
    graph = nx.Graph()
    for fact in facts:
        graph.add_edge(fact.head, fact.tail)
    roots = [r for r in roots if r in graph]
    for part in nx.connected_components(graph):  # facts that hang on nothing get a root of their own
        if not part.intersection(roots):
            roots.append(next(f.head for f in facts if f.head in part))
    depth: dict[str, int] = {}
    for column, layer in enumerate(nx.bfs_layers(graph, roots)):
        depth |= dict.fromkeys(layer, column)

    for fact in facts:
        for key, text in ((fact.head, fact.head), (fact.tail, fact.text)):
            drawing.nodes[key] = _node(text, key in roots, answer)

    children: dict[str, list[str]] = {key: [] for key in drawing.nodes}
    arriving: dict[str, list[Edge]] = {key: [] for key in drawing.nodes}
    seen = set(roots)
    best = {relation: max(f.score for f in facts if f.relation == relation) for relation in {f.relation for f in facts}}
    # cited first, then relation by relation, so that six neighbours stand together
    for fact in sorted(facts, key=lambda f: (not f.is_cited, -best[f.relation], f.relation, -f.score)):
        points_far = depth[fact.head] <= depth[fact.tail]
        near, far = (fact.head, fact.tail) if points_far else (fact.tail, fact.head)
        if depth[near] == depth[far]:
            far = f"{fact.tail}\0{len(drawing.nodes)}"
            drawing.nodes[far] = replace(_node(fact.text, False, answer), is_repeat=True)
            children[far], arriving[far], depth[far] = [], [], depth[near] + 1
        edge = Edge(near, far, shorten(short_name(fact.relation), 28), fact.is_cited, points_far)
        drawing.edges.append(edge)
        arriving[far].append(edge)
        if far not in seen:
            seen.add(far)
            children[near].append(far)

    top = MARGIN
    for root in roots:
        top += _stack(root, top, drawing.nodes, children, arriving)
    drawing.height = top + MARGIN
    _columns(drawing, depth)
    _route(drawing, arriving)


def _node(text: str, is_root: bool, answer: str) -> Node:
    name = short_name(text)
    role = "anchor" if is_root else "answer" if answer and name.casefold() == answer else "entity"
    lines = wrap(name, 24, 2)
    width = max(text_width(line, SIZE) for line in lines) + 2 * PAD
    return Node(lines, role, width=max(width, 34.0), height=TEXT_LINE * len(lines) + 7)


def _own_height(key: str, nodes: dict[str, Node], arriving: dict[str, list[Edge]]) -> float:
    return max(ROW * max(1, len(arriving[key])), nodes[key].height + 7)


def _stack(
    key: str, top: float, nodes: dict[str, Node], children: dict[str, list[str]], arriving: dict[str, list[Edge]]
) -> float:
    """Place a node and everything behind it below ``top``; return the height used."""
    own = _own_height(key, nodes, arriving)
    below = 0.0
    for child in children[key]:
        below += _stack(child, top + below, nodes, children, arriving)
    if below < own:  # the children are the shorter side: centre them on the node
        shift = (own - below) / 2
        for child in children[key]:
            _shift(child, shift, nodes, children)
    nodes[key].y = top + max(own, below) / 2
    nodes[key].height = max(nodes[key].height, ROW * len(arriving[key]) - 3)
    return max(own, below)


def _shift(key: str, by: float, nodes: dict[str, Node], children: dict[str, list[str]]) -> None:
    nodes[key].y += by
    for child in children[key]:
        _shift(child, by, nodes, children)


def _columns(drawing: Drawing, depth: dict[str, int]) -> None:
    """Give every column its left side, leaving room for the relation names that arrive at it."""
    x = MARGIN
    for column in range(max(depth.values()) + 1):
        arriving = [edge for edge in drawing.edges if depth[edge.far] == column]
        x += BEND if arriving else 0.0
        for edge in arriving:
            edge.shelf = x
        x += max((text_width(edge.label, LABEL_SIZE) + ARROW for edge in arriving), default=0.0)
        nodes = [drawing.nodes[key] for key, where in depth.items() if where == column]
        for node in nodes:
            node.x = x
        x += max(node.width for node in nodes)
    drawing.width = x + MARGIN


def _route(drawing: Drawing, arriving: dict[str, list[Edge]]) -> None:
    """Fix where each edge leaves and arrives; several facts of one node arrive one below the other."""
    for key, edges in arriving.items():
        node = drawing.nodes[key]
        edges.sort(key=lambda e: drawing.nodes[e.near].y)
        for number, edge in enumerate(edges):
            near = drawing.nodes[edge.near]
            edge.start = (near.x + near.width, near.y)
            edge.end = (node.x, node.y + (number - (len(edges) - 1) / 2) * ROW)
