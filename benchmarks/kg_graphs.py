"""The graphs that ``benchmarks/kg.py`` measures on, written once into its work folder.

WordNet with labels, aliases and glosses (819,915 triples), repeated under other IRIs and with other glosses until the
file has as many triples as asked for; and FB15k-237, all its splits, four times with the names of the copies made
distinct. Where FB15k-237 is not there, a graph of its shape is generated: as many entities, relations and triples,
drawn with the same kind of long tail.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
#: Of FB15k-237 (Toutanova & Chen, 2015), for the graph that stands in for it.
FB_ENTITIES, FB_RELATIONS, FB_TRIPLES = 14_541, 237, 310_116

PREFIXES = {
    "wno": "http://wordnet-rdf.princeton.edu/ontology#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


def wordnet_files(folder: Path, num_triples: int) -> tuple[Path, Path]:
    """Write the same triples as N-Triples and as Turtle; return both paths."""
    lines, turtle = folder / f"wordnet-{num_triples}.nt", folder / f"wordnet-{num_triples}.ttl"
    if not (lines.exists() and turtle.exists()):
        with _whole(lines) as nt, _whole(turtle) as ttl:
            for name, iri in PREFIXES.items():
                ttl.write(f"@prefix {name}: <{iri}> .\n")
            subject = ""
            for head, relation, tail in islice(_wordnet_copies(), num_triples):
                nt.write(f"<{head}> <{relation}> {tail} .\n")
                ttl.write(f" ;\n    {_short(relation)} {_short(tail)}" if head == subject else "")
                if head != subject:
                    ttl.write(" .\n" if subject else "")
                    ttl.write(f"<{head}> {_short(relation)} {_short(tail)}")
                    subject = head
            ttl.write(" .\n")
    return lines, turtle


def _wordnet_copies() -> Iterator[tuple[str, str, str]]:
    """Yield WordNet for ever, with tails as N-Triples writes them."""
    from kg.ingest.wordnet import SYNSET, wordnet

    copy = 0
    while True:
        copy += 1
        home = SYNSET if copy == 1 else f"{SYNSET}copy{copy}/"
        mark = "" if copy == 1 else f" ({copy})"
        for head, relation, tail in wordnet():
            if isinstance(tail, str):
                end = f"<{tail.replace(SYNSET, home)}>"
            else:
                end = f'"{tail.value.translate(_ESCAPES)}{mark}"@{tail.language}'
            yield head.replace(SYNSET, home), relation, end


def _short(term: str) -> str:
    if term == RDF_TYPE:
        return "a"
    bare = term.strip("<>")
    for name, iri in PREFIXES.items():
        if bare.startswith(iri):
            return f"{name}:{bare[len(iri) :]}"
    return term if term[:1] in '<"' else f"<{term}>"


def fb15k_file(folder: Path, data: Path | None, copies: int) -> tuple[Path, str]:
    """Write FB15k-237 ``copies`` times as TSV; return the path and whether it is the real one or generated."""
    origin = "FB15k-237" if data is not None and (data / "train.tsv.gz").is_file() else "generated like FB15k-237"
    path = folder / f"{'fb15k' if origin == 'FB15k-237' else 'generated'}-x{copies}.tsv"
    if not path.exists():
        triples = list(_read_splits(data) if data is not None and origin == "FB15k-237" else _generated())
        with _whole(path) as file:
            for copy in range(copies):
                mark = f"#{copy}" if copy else ""
                file.writelines(f"{head}{mark}\t{relation}\t{tail}{mark}\n" for head, relation, tail in triples)
    return path, origin


def _read_splits(data: Path) -> Iterator[tuple[str, ...]]:
    for split in ("train", "valid", "test"):
        with gzip.open(data / f"{split}.tsv.gz", "rt", encoding="utf-8") as file:
            for line in file:
                yield tuple(line.rstrip("\n").split("\t"))


def _generated(seed: int = 0) -> Iterator[tuple[str, str, str]]:
    draw = random.Random(seed)
    entities = [f"/m/{number:06x}" for number in range(FB_ENTITIES)]
    relations = [f"/domain/{number % 60}/relation_{number}" for number in range(FB_RELATIONS)]
    made: set[tuple[str, str, str]] = set()
    while len(made) < FB_TRIPLES:
        head, tail = (entities[int(FB_ENTITIES * draw.random() ** 2.5)] for _ in "ht")
        made.add((head, relations[int(FB_RELATIONS * draw.random() ** 3)], tail))
    return iter(sorted(made))


class _whole:
    """Open a file for writing text that gets its name only when all is written."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_suffix(path.suffix + ".part")

    def __enter__(self):  # type: ignore[no-untyped-def]
        self._file = self._part.open("w", encoding="utf-8", newline="\n")
        return self._file

    def __exit__(self, kind: object, *rest: object) -> None:
        self._file.close()
        if kind is None:
            self._part.rename(self._path)
        else:
            self._part.unlink()


def main() -> None:
    """Write the graphs that the arguments name and print their paths as JSON: ``FOLDER DATA NUM_TRIPLES… COPIES``."""
    import sys

    folder, data, *sizes, copies = sys.argv[1:]
    wordnet = {size: [str(path) for path in wordnet_files(Path(folder), int(size))] for size in sizes}
    path, origin = fb15k_file(Path(folder), Path(data) if data else None, int(copies))
    print(json.dumps({"wordnet": wordnet, "fb15k": str(path), "origin": origin}))


if __name__ == "__main__":
    main()
