"""Search by words over labels, aliases and descriptions, or over plain texts: BM25 in a persistent tantivy index."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Any, Self

import tantivy

from kg.errors import InputError
from kg.mentions import STOP_WORDS
from kg.records import Entity
from retrieval.index import Hit
from retrieval.index.words import readable

#: A word in the label says more than one in an alias, and that more than one in the description.
#: With `TIE`, and without common words, chosen on 300 synsets of WordNet. With 3, 2, 1 and a sum over the fields, half
#: of a gloss's words found its synset among the first ten for 0.50 (now 0.86), "what is the meaning of NAME" found one
#: of that name first for 0.35 (0.76), a name alone for 0.92 (0.96).
BOOSTS = {"label": 1.5, "alias": 1.25, "description": 1.0}
#: How much of a word's lesser fields counts beside its best: a sum lets a short label of one common word win.
TIE = 0.3
#: Lucene's words that say nothing of a text; those of `STOP_WORDS` beyond them ("can", "have") say which relation.
_EMPTY = frozenset(
    """
    a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to
    was will with
    """.split()  # noqa: SIM905
)
#: How words are folded: name → the language whose endings go ("carries" is found by "carry"), and the common words.
#: On validation questions of FVQA, facts as texts: recall@1 0.46 folded, 0.50 english, 0.54 with Lucene's words.
TOKENIZERS = {"folded": ("", STOP_WORDS), "english": ("english", _EMPTY)}
_MAX_WORDS = 64  # of a query; a question longer than that is a document
_LONGEST = 200  # bytes of a word; what is longer is data that somebody put into a text
_HEAP = 64_000_000  # bytes, for the writer
_K1 = 1.2  # BM25's, as tantivy has it


class LexicalIndex:
    """Entities, or texts, by their words, case and accents folded; a folder on disk, changed in place.

    A query is any text. Its words are looked up as terms, joined by OR: no query syntax is parsed, so nothing in it
    needs escaping. A plain text counts as a description without a label.

    Args:
        tokenizer: a name of `TOKENIZERS`, by which words are folded; an index keeps the one it was made with.
    """

    def __init__(self, folder: str | os.PathLike[str], index: tantivy.Index, tokenizer: str = "folded") -> None:
        self.folder = Path(folder)
        self._index = index
        self._schema = index.schema
        self._analyzer = _analyzer(tokenizer)
        index.register_tokenizer(tokenizer, self._analyzer)
        self._common = frozenset(self._analyzer.analyze(" ".join(TOKENIZERS[tokenizer][1])))
        self._searcher = index.searcher()

    @classmethod
    def create(cls, folder: str | os.PathLike[str], tokenizer: str = "folded") -> Self:
        """Make an empty index in a new or empty folder."""
        assert tokenizer in TOKENIZERS
        Path(folder).mkdir(parents=True, exist_ok=True)
        builder = tantivy.SchemaBuilder()
        builder.add_integer_field("id", stored=True, indexed=True, fast=True)
        for name in BOOSTS:
            builder.add_text_field(name, stored=False, tokenizer_name=tokenizer)
        return cls(folder, tantivy.Index(builder.build(), path=os.fspath(folder)), tokenizer)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a stored index.

        Raises:
            InputError: there is none.
        """
        if not (os.path.isdir(path) and tantivy.Index.exists(os.fspath(path))):
            raise InputError(f"{os.fspath(path)}: no lexical index; build it again with `kemm index`")
        schema = json.loads((Path(path) / "meta.json").read_text(encoding="utf-8"))["schema"]
        kept = next(one["options"]["indexing"]["tokenizer"] for one in schema if one["type"] == "text")
        return cls(path, tantivy.Index.open(os.fspath(path)), kept)

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def add(self, ids: Sequence[int], items: Sequence[Entity | str]) -> None:
        """Add entities or texts under ids; all of them count, or none."""
        self._change([], zip(ids, items, strict=True))

    def remove(self, ids: Sequence[int]) -> int:
        before = len(self)
        self._change(ids, ())
        return before - len(self)

    def update(self, ids: Sequence[int], items: Sequence[Entity | str], gone: Sequence[int] = ()) -> None:
        """Forget ``gone``, and what is held of ``ids``, and add ``ids`` anew: one change."""
        self._change([*ids, *gone], zip(ids, items, strict=True))

    def _change(self, gone: Sequence[int], new: Any) -> None:
        writer = self._index.writer(_HEAP, 1)
        for key in gone:
            writer.delete_documents_by_query(tantivy.Query.term_query(self._schema, "id", key))
        for key, entity in new:
            document = tantivy.Document()
            document.add_integer("id", key)
            for name, text in _fields(entity):
                document.add_text(name, readable(text))
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()
        self._searcher = self._index.searcher()

    def search(self, query: str, k: int) -> list[Hit]:
        """Entities that share words with a text, best first.

        score(e) = Σ_w (1 − τ) max_f s_wf + τ Σ_f s_wf,   s_wf = boost_f · BM25(w, e_f)
        """
        words = self._words(query)
        if not words or not len(self) or k < 1:
            return []
        wanted = []
        for word in words:
            fields = [
                tantivy.Query.boost_query(tantivy.Query.term_query(self._schema, field, word), boost)
                for field, boost in BOOSTS.items()
            ]
            wanted.append((tantivy.Occur.Should, tantivy.Query.disjunction_max_query(fields, TIE)))
        found = self._searcher.search(tantivy.Query.boolean_query(wanted), k).hits
        ids = self._searcher.fast_field_values("id", [address for _, address in found])
        return [Hit(int(key), float(score)) for key, (score, _) in zip(ids, found, strict=True) if key is not None]

    def _words(self, query: str) -> list[str]:
        """The different words of a query, folded as the index's are; common ones only where there are no others."""
        words = list(dict.fromkeys(self._analyzer.analyze(readable(query))))
        return ([word for word in words if word not in self._common] or words)[:_MAX_WORDS]

    def scores(self, query: str, items: Sequence[Entity | str]) -> list[float]:
        """About what `search` would give entities that aren't in the index: its word counts, fields of mean length.

        BM25(w, e_f) ≈ idf(w, f) · (k1 + 1) · tf / (tf + k1),   idf = ln(1 + (N − n + ½) / (n + ½))
        """
        words, total = self._words(query), len(self)
        rarity: dict[tuple[str, str], float] = {}
        for word in words:
            for field in BOOSTS:
                held = min(int(self._searcher.doc_freq(field, word)), total)  # counts the removed until they are merged
                rarity[field, word] = log(1 + (total - held + 0.5) / (held + 0.5))
        result = []
        for entity in items:
            counts = {field: Counter[str]() for field in BOOSTS}
            for field, text in _fields(entity):
                counts[field].update(self._analyzer.analyze(readable(text)))
            score = 0.0
            for word in words:
                parts = [
                    boost * rarity[field, word] * (_K1 + 1) * counts[field][word] / (counts[field][word] + _K1)
                    for field, boost in BOOSTS.items()
                ]
                score += (1 - TIE) * max(parts) + TIE * sum(parts)
            result.append(score)
        return result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Every change is on disk already; ``path`` must be the index's own folder."""
        assert Path(path) == self.folder, "a lexical index lives in its folder; copy the folder instead"


def _fields(entity: Entity | str) -> list[tuple[str, str]]:
    if isinstance(entity, str):
        return [("description", entity)]
    said = [("label", entity.label), *(("alias", alias) for alias in entity.aliases)]
    return [*said, ("description", entity.description)] if entity.description else said


def _analyzer(tokenizer: str) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(_LONGEST)).filter(tantivy.Filter.lowercase())
    builder = builder.filter(tantivy.Filter.ascii_fold())
    language, _ = TOKENIZERS[tokenizer]
    return (builder.filter(tantivy.Filter.stemmer(language)) if language else builder).build()
