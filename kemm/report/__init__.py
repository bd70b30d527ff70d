"""The report of a run: one self-contained HTML page with plots and tables, and the same figures as JSON.

    write_report(report, out)     writes out/report.html and out/report.json, returns the path of the page

formats.py   how numbers and names are written        canvas.py         axes that become SVG, by matplotlib
pictures.py  photos and flags as data URIs            plots.py          the bars and curves drawn on them
html.py      the dict → view → page.html.j2           subgraph.py       the facts behind one answer, laid out by hops
page.html.j2 the page                                 subgraph_plot.py  the same, drawn
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kemm.report.html import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    if name == "write_report":  # jinja2, matplotlib and networkx are only wanted when a report is
        from kemm.report.html import write_report

        return write_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
