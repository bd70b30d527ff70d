"""The facts around a question, as ``kemm.report.subgraph`` laid them out, drawn as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kemm.report.canvas import CARD, INK, MUTED, svg
from kemm.report.formats import CITED
from kemm.report.subgraph import ARROW, BEND, LABEL_SIZE, SIZE, TEXT_LINE, Drawing, Edge, Node

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ASKED = "#0072B2"  # the box of what was asked about, under white text


def draw_subgraph(drawing: Drawing, title: str) -> str:
    """The drawing that ``subgraph.arrange`` laid out."""
    from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
    from matplotlib.path import Path

    def box(axes: Axes, node: Node) -> None:
        fill, edge, line = {
            "anchor": (ASKED, ASKED, 1.0),
            "answer": (CARD, CITED, 2.2),
            "entity": (CARD, MUTED, 1.0),
        }[node.role]
        corner = (node.x + 6, node.y - node.height / 2 + 6)
        style = "round,pad=6,rounding_size=7"
        dashes = (0, (3, 2)) if node.is_repeat else "solid"
        look: dict[str, Any] = {"fc": fill, "ec": edge, "linewidth": line, "linestyle": dashes, "zorder": 3}
        axes.add_patch(FancyBboxPatch(corner, node.width - 12, node.height - 12, style, **look))
        weight = "bold" if node.role != "entity" else "normal"
        colour = "white" if node.role == "anchor" else INK
        for row, text in enumerate(node.lines):
            y = node.y + (row - (len(node.lines) - 1) / 2) * TEXT_LINE
            place: dict[str, Any] = {"ha": "center", "va": "center_baseline", "zorder": 4}
            axes.text(node.x + node.width / 2, y, text, fontsize=SIZE, color=colour, fontweight=weight, **place)

    def line(axes: Axes, edge: Edge) -> None:
        (x0, y0), (x1, y1) = edge.start, edge.end
        colour, weight, width = (CITED, "bold", 2.4) if edge.is_cited else (MUTED, "normal", 1.1)
        middle = max((x0 + edge.shelf) / 2, edge.shelf - BEND / 2)
        points = [(x0, y0), (edge.shelf - BEND, y0), (middle, y0), (middle, y1), (edge.shelf, y1), (x1 - 4, y1)]
        curve = Path(points, [1, 2, 4, 4, 4, 2])
        axes.add_patch(PathPatch(curve, fill=False, ec=colour, linewidth=width, zorder=2.5 if edge.is_cited else 2))
        halo: dict[str, Any] = {"facecolor": CARD, "edgecolor": "none", "pad": 1.5}
        words: dict[str, Any] = {
            "fontsize": LABEL_SIZE,
            "color": colour,
            "fontweight": weight,
            "ha": "right",
            "va": "center_baseline",
        }
        axes.text(x1 - ARROW * 0.62, y1, edge.label, bbox=halo, zorder=6, **words)
        tip, back = (x1 - 1, x1 - 10) if edge.points_far else (x1 - 11, x1 - 2)
        axes.add_patch(Polygon([(tip, y1), (back, y1 - 4.5), (back, y1 + 4.5)], fc=colour, ec="none", zorder=5))

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, drawing.width)
        axes.set_ylim(drawing.height, 0)
        for edge in drawing.edges:
            line(axes, edge)
        for node in drawing.nodes.values():
            box(axes, node)

    return svg("subgraph " + title, title, drawing.width, drawing.height, (0, 0, 0, 0), draw)
