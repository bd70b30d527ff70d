"""The commands ``data filter``, ``capfilt`` and ``stamps``: image–text pairs cleaned; pictures with sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kemm.cli import screen, stores
from kemm.cli.screen import Json
from kemm.cli.stores import Store

data_commands = typer.Typer(no_args_is_help=True, help="Image–text pairs to pre-train on, and data of packages.")

Lists = Annotated[
    list[Path], typer.Argument(help="JSON lines, TSV, CSV (image, text[, key]) or tar shards", show_default=False)
]
Out = Annotated[Path, typer.Option("--out", help="JSON lines to write", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.add_typer(data_commands, name="data")


@data_commands.command("filter")
def filter_(
    pairs: Lists,
    out: Out,
    test: Annotated[
        list[Path], typer.Option("--test", help="Pictures, or a folder of them, to keep near-duplicates of out")
    ] = [],  # noqa: B006 - typer hands over a fresh list
    dropped: Annotated[Path | None, typer.Option("--dropped", help="JSON lines of what was dropped, and why")] = None,
    side: Annotated[int, typer.Option(min=0, help="Pixels that the shorter side must exceed")] = 200,
    aspect: Annotated[float, typer.Option(min=1, help="Longer side over shorter, at most")] = 3.0,
    texts: Annotated[int, typer.Option(min=1, help="Texts of one picture, at most")] = 1000,
    pictures: Annotated[int, typer.Option(min=1, help="Pictures with one text, at most")] = 10,
    vocabulary: Annotated[int, typer.Option(min=1, help="Words and pairs of words that are not rare")] = 100_000_000,
    shortest: Annotated[int, typer.Option(min=0, help="Words of a text, at least")] = 3,
    longest: Annotated[int, typer.Option(min=1, help="Words of a text, at most")] = 20,
    distance: Annotated[int, typer.Option(min=0, max=256, help="Bits of 256 in which near-duplicates differ")] = 26,
    json: Json = False,
) -> None:
    """Drop pairs by ALIGN's filters; Ctrl-C stops, the same command goes on."""
    from kemm.data.pair_filters import Limits, filter_pairs

    limits = Limits(side, aspect, texts, pictures, vocabulary, shortest, longest, distance)
    with screen.work(json), screen.counting("pairs looked at") as progress:
        result = filter_pairs(pairs, out, limits, test, dropped, progress)
    screen.show(result, json, lambda: _print_kept(result, result["kept"], out))


@data_commands.command()
def capfilt(
    pairs: Lists,
    captioner: Annotated[
        Path, typer.Option("--captioner", help="Folder of a blip-captioner (`kemm import-weights`)", show_default=False)
    ],
    judge: Annotated[Path, typer.Option("--filter", help="Folder of a blip-retrieval", show_default=False)],
    tokenizer: Annotated[
        Path, typer.Option("--tokenizer", help="tokenizer.json, or the checkpoint's folder with it", show_default=False)
    ],
    out: Out,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Least probability of a match")] = 0.5,
    nucleus: Annotated[float, typer.Option(min=0.01, max=1, help="Captions are drawn from this probability")] = 0.9,
    shortest: Annotated[int, typer.Option(min=0, help="Tokens of a caption, at least")] = 5,
    longest: Annotated[int, typer.Option(min=1, help="Tokens of a caption, at most")] = 20,
    seed: Annotated[int, typer.Option(help="Of what is drawn")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once")] = 16,
    json: Json = False,
) -> None:
    """Write a caption for every picture and keep the texts that match theirs (BLIP); the same command goes on."""
    with screen.work(json), screen.counting("pictures captioned") as progress:
        from kemm.data.capfilt import CapFilt, Writing, write_and_filter

        writing = Writing(nucleus, shortest, longest, threshold, seed, batch)
        result = write_and_filter(pairs, out, CapFilt(captioner, judge, tokenizer, writing), progress)
    screen.show(result, json, lambda: _print_kept(result, result["web"] + result["written"], out))


@data_commands.command()
def stamps(
    store: Store,
    folder: Annotated[
        Path, typer.Option("--folder", help="Of the stamps; Debian's tuxpaint-stamps-default has them")
    ] = Path("/usr/share/tuxpaint/stamps"),
    wordnet: Annotated[bool, typer.Option(help="With WordNet's meanings of the names")] = True,
    json: Json = False,
) -> None:
    """Put Tux Paint's stamps into a store: names in many languages, kinds, WordNet's meanings, pictures by split."""
    with stores.new_or_existing(store, json) as graph:
        from kemm.data.stamp_facts import add_stamps

        result = add_stamps(graph, folder, wordnet)
    screen.show(result, json)


def _print_kept(result: dict[str, Any], kept: int, out: Path) -> None:
    screen.line(f"{kept:,} texts of {result['read']:,} pairs kept in {out}\n")
    if result["resumed_at"]:
        screen.line(f"went on after {result['resumed_at']:,} pairs\n")
    screen.table(("dropped", "texts"), list(result["dropped"].items()))
