"""A page of results in Markdown, of which a command writes a part anew and leaves the rest."""

from __future__ import annotations

from kemm.evaluate.ablation_table import Row, knowledge_table, parts_table
from kg.errors import InputError


def put(page: str, name: str, text: str) -> str:
    """The page with a text between its marks for ``name``, at its end where it has none yet.

    Raises:
        InputError: a mark that begins a part without the one that ends it.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    part = f"{begin}\n{text.strip()}\n{end}"
    if begin not in page:
        return f"{page.rstrip()}\n\n{part}\n".lstrip()
    head, rest = page.split(begin, 1)
    if end not in rest:
        raise InputError(f"the page has '{begin}' without '{end}': add it where the part ends")
    return head + part + rest.split(end, 1)[1]


def ablation_part(title: str, config: str, rows: list[Row], left_out: dict[str, list[str]]) -> str:
    """The part of a page that an ablation fills: what was run, the tables, how to read them."""
    whole = next(row for row in rows if (row["variant"], row["knowledge"]) == ("whole", "full"))
    chosen = [f"{value:.3f} (seed {seed})" for seed, value in whole["validation"].items() if value is not None]
    validation = f" On `dev` questions, the whole with full knowledge: {', '.join(chosen)}." if chosen else ""
    return f"""## {title}: what knowledge and each part bring

`kemm ablate {config}`, {whole["steps"]} steps each, on questions that nothing was chosen by.
All are asked in wordings held out of training; the columns say what is held out besides.{validation}

Accuracies are means over the seeds (± the deviation between them). Differences are paired, on the same questions
of the same seeds, in brackets 95 % by bootstrap over seeds and questions. **Bold**: zero is left out. Where there
is one seed, the interval is of its questions alone; another seed may differ by more.

{knowledge_table(rows)}

Each variant, trained on the same batches from the same starting weights: its difference to the whole, with the
facts that are retrieved and, in the last column, without any.

{parts_table(rows, left_out)}
"""
