"""The profile of a graph as one HTML page that needs nothing else: figures, plots and the tables behind them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from kemm.report import formats, plots
from kg.errors import InputError

#: Relations and components drawn; the table has all.
_DRAWN = 16


def write_profile(found: dict[str, Any], out: str | Path, name: str) -> Path:
    """Write the page of ``kg.profile`` at ``out``, replaced whole, and return its path.

    Args:
        found: ``Profile.as_dict()``.
        name: what the graph is called.

    Raises:
        InputError: ``out`` can't be written.
    """
    path = Path(out)
    if path.is_dir():
        path = path / "profile.html"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(render(found, name), encoding="utf-8", errors="replace")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: the page can't be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def render(found: dict[str, Any], name: str) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": formats.number, "percent": formats.percent, "name": formats.short_name}
    degrees, relations = found["degrees"]["bins"], found["relations"]
    drawn = [(row["label"], row["edges"] + row["literals"]) for row in relations[:_DRAWN]]
    kinds = [
        (f"{row['datatype'].rsplit('#', 1)[-1]} {row['language']}".strip(), row["count"]) for row in found["literals"]
    ]
    parts = {"components": found["components"]["bins"]}
    one_size = sum(row["count"] > 0 for row in parts["components"]) < 2  # a sentence says as much
    pictures = {
        "degrees": plots.size_bars({"in": degrees["in"], "out": degrees["out"]}, "Entities by number of edges"),
        "components": "" if one_size else plots.size_bars(parts, "Components by number of entities"),
        "relations": plots.count_bars(drawn, "Facts by relation"),
        "kinds": plots.count_bars(list(found["cardinalities"].items()), "Relations by kind"),
        "literals": plots.count_bars(kinds[:_DRAWN], "Literals by datatype"),
        "sources": plots.count_bars(
            [(row["source"], row["triples"]) for row in found["sources"][:_DRAWN]], "By source"
        ),
    }
    return environment.get_template("profile.html.j2").render(
        p=found, name=Path(name).name or name, plots={key: Markup(svg) for key, svg in pictures.items()}
    )
