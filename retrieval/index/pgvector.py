"""Nearest neighbours of vectors inside PostgreSQL, by its extension pgvector (0.8 or later): one table an index."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from kg.errors import InputError, StoreError
from retrieval.index import Hit

KINDS = ("exact", "hnsw")
#: Metric → pgvector's operator, its operator class, and what makes a score, higher is better, of its distance.
METRICS = {
    "inner_product": ("<#>", "vector_ip_ops", lambda distance: -distance),
    "l2": ("<->", "vector_l2_ops", lambda distance: -(distance**2)),
    "cosine": ("<=>", "vector_cosine_ops", lambda distance: 1 - distance),
}
#: From here on ``auto`` is HNSW: reading every row costs PostgreSQL more than it costs FAISS.
APPROXIMATE_FROM = 20_000
TABLE = "kemm_vectors"
_GONE = -1
_ROWS = 8192  # sent at a time
_EFFORT = 200  # hnsw.ef_search: 40 by default, which finds fewer of the ten nearest than FAISS at its tuned effort
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)


class PgVectorIndex:
    """Vectors (N, D) under 64-bit ids, each with a kind, as `retrieval.index.dense.DenseIndex` has them in a file.

    Scores are inner products, −‖q − x‖² or cosines. Every call that changes something is one transaction: a reader sees
    all of it or nothing, and a client that is killed leaves nothing half done. ``address`` is
    ``postgresql://USER@HOST/DATABASE``.
    """

    def __init__(self, address: str, table: str, about: dict[str, Any]) -> None:
        self.address, self.table = address, table
        self.dimension: int = about["dimension"]
        self.kind: str = about["kind"]
        self.metric: str = about["metric"]
        self._lock = threading.RLock()
        self._connection: Any = None

    @classmethod
    def create(
        cls,
        address: str,
        dimension: int,
        size: int = 0,
        kind: str = "auto",
        metric: str = "inner_product",
        table: str = TABLE,
    ) -> Self:
        """Make an empty index in place of whatever the table holds: exact, hnsw, or auto, by its future ``size``.

        Raises:
            InputError: no PostgreSQL address, no fit name of a table, or no pgvector on the server.
            StoreError: the server can't be reached.
        """
        assert kind in ("auto", *KINDS) and metric in METRICS
        kind = ("hnsw" if size >= APPROXIMATE_FROM else "exact") if kind == "auto" else kind
        about = {"dimension": dimension, "kind": kind, "metric": metric}
        made = cls(address, _fit(table), about)
        with made._transaction() as run:
            run("SELECT pg_advisory_xact_lock(7503121)")  # two at once would both create the extension
            if run("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").fetchone() is None:
                raise InputError(f"the server of {_shown(address)} has no pgvector: install it there, then try again")
            run("CREATE EXTENSION IF NOT EXISTS vector")
            run("DROP TABLE IF EXISTS {table}")
            run(
                "CREATE TABLE {table} (id bigint PRIMARY KEY, kind text NOT NULL, vector vector({dimension}) NOT NULL)",
                dimension=dimension,
            )
            run("CREATE INDEX ON {table} (kind)")
            run("COMMENT ON TABLE {table} IS {about}", about=json.dumps(about))
        return made

    @classmethod
    def open(cls, path: str | os.PathLike[str], table: str = TABLE) -> Self:
        """Open a stored index by the address of its database.

        Raises:
            InputError: there is none.
            StoreError: the server can't be reached.
        """
        address = os.fspath(path)
        opened = cls(address, _fit(table), {"dimension": 0, "kind": "", "metric": ""})
        with opened._transaction() as run:
            found = run("SELECT obj_description(to_regclass({name}), 'pg_class')", name=table).fetchone()
        try:
            about = json.loads(found[0] or "")
            opened.dimension, opened.kind, opened.metric = about["dimension"], about["kind"], about["metric"]
        except (ValueError, KeyError):
            raise InputError(f"{_shown(address)}: no index '{table}'; build it again with `kemm index`") from None
        return opened

    def __len__(self) -> int:
        with self._transaction() as run:
            return int(run("SELECT count(*) FROM {table}").fetchone()[0])

    @property
    def ids(self) -> np.ndarray:
        """The ids held, int64 (N,), in no particular order."""
        with self._transaction() as run:
            return np.array([row[0] for row in run("SELECT id FROM {table}")], dtype=np.int64)

    def add(self, ids: Sequence[int] | np.ndarray, items: np.ndarray, kind: str = "") -> None:
        """Add vectors float32 (N, D), all of one kind; ids must be new and not negative: `update` takes any."""
        self._change([], ids, items, kind)

    def remove(self, ids: Sequence[int] | np.ndarray) -> int:
        """Forget ids; return how many were there."""
        return self._change(ids, [], np.zeros((0, self.dimension), dtype=np.float32), "")

    def update(self, ids: Sequence[int] | np.ndarray, items: np.ndarray, kind: str = "") -> None:
        """Put vectors (N, D) in place of those held under ``ids``, new ids among them or not."""
        self._change(ids, ids, items, kind)

    def _change(
        self, gone: Sequence[int] | np.ndarray, new: Sequence[int] | np.ndarray, items: np.ndarray, kind: str
    ) -> int:
        keys = np.asarray(new, dtype=np.int64)
        assert items.shape == (len(keys), self.dimension) and (keys >= 0).all()
        with self._transaction() as run:
            struck = 0
            if len(gone):
                wanted = np.asarray(gone, dtype=np.int64).tolist()
                struck = run("DELETE FROM {table} WHERE id = ANY(%s::bigint[])", wanted).rowcount
            if len(keys):
                with run.copy("COPY {table} (id, kind, vector) FROM STDIN (FORMAT binary)") as copy:
                    copy.write(_COPY_HEAD)
                    for start in range(0, len(keys), _ROWS):
                        part = slice(start, start + _ROWS)
                        copy.write(_rows(keys[part], kind.encode(), np.asarray(items[part], dtype=np.float32)))
                    copy.write(b"\xff\xff")
                if self.kind == "hnsw":  # after the rows: several times faster than before them
                    run(
                        "CREATE INDEX IF NOT EXISTS {hnsw} ON {table} USING hnsw (vector {operators})",
                        hnsw=_Name(f"{self.table}_hnsw"),
                        operators=_Name(METRICS[self.metric][1]),
                    )
        return struck

    def search(self, query: np.ndarray, k: int, kinds: Sequence[str] = ()) -> list[Hit]:
        """Nearest ids of one vector (D,), best first; only of some kinds, where any are given."""
        scores, ids = self.search_batch(query[None], k, kinds)
        return [Hit(key, score) for key, score in zip(ids[0].tolist(), scores[0].tolist(), strict=True) if key != _GONE]

    def search_batch(self, queries: np.ndarray, k: int, kinds: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Nearest ids of vectors (Q, D): scores float32 (Q, k), ids int64 (Q, k); −inf and −1 beyond the last."""
        assert queries.ndim == 2 and queries.shape[1] == self.dimension
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), k), _GONE, dtype=np.int64)
        operator, _, score = METRICS[self.metric]
        with self._transaction() as run:
            run(
                "SET LOCAL hnsw.iterative_scan = strict_order"
            )  # go on where rows of other kinds, or dead, fill a batch
            run("SET LOCAL hnsw.ef_search = {effort}", effort=min(max(k, _EFFORT), 1000))
            found = run(
                "SELECT q.place - 1, near.id, near.distance"
                " FROM unnest(%s::text[]) WITH ORDINALITY AS q (vector, place)"
                " CROSS JOIN LATERAL (SELECT id, vector {operator} q.vector::vector AS distance FROM {table} {only}"
                " ORDER BY vector {operator} q.vector::vector LIMIT {k}) AS near"
                " ORDER BY q.place, near.distance, near.id",
                [_written(query) for query in np.asarray(queries, dtype=np.float32)],
                *([list(kinds)] if kinds else []),
                operator=_Word(operator),
                only=_Word("WHERE kind = ANY(%s)" if kinds else ""),
                k=max(k, 0),
            ).fetchall()
        place = np.zeros(len(queries), dtype=np.int64)
        for row, key, distance in found:
            ids[row, place[row]], scores[row, place[row]] = key, score(distance)
            place[row] += 1
        return scores, ids

    def vectors(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """The stored vectors of ids, float32 (N, D); a zero row for an id that isn't held."""
        keys = np.asarray(ids, dtype=np.int64).tolist()
        result = np.zeros((len(keys), self.dimension), dtype=np.float32)
        with self._transaction() as run:
            found = run("SELECT id, vector FROM {table} WHERE id = ANY(%s::bigint[])", keys, binary=True)
            held = {key: np.frombuffer(data, dtype=">f4", offset=4) for key, data in found}
        for row, key in enumerate(keys):
            if key in held:
                result[row] = held[key]
        return result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Every change is in the database already; ``path`` must be its address."""
        assert os.fspath(path) == self.address, "an index of PostgreSQL lives in its database"

    def close(self) -> None:
        """Give the connection back; the next call takes another."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[_Runner]:
        """One transaction, on a connection that is made anew if the last one broke."""
        try:
            import psycopg
        except ModuleNotFoundError:
            raise InputError("an index in PostgreSQL needs a driver: pip install 'kemm[postgres]'") from None
        with self._lock:
            try:
                if self._connection is None or self._connection.closed or self._connection.broken:
                    self._connection = psycopg.connect(_plain(self.address), autocommit=True)
                with self._connection.transaction():
                    yield _Runner(self._connection, self.table)
            except psycopg.errors.UndefinedTable as error:
                known = f"{_shown(self.address)}: no index '{self.table}'; build it again with `kemm index`"
                raise InputError(known) from error
            except psycopg.OperationalError as error:
                raise StoreError(f"{_shown(self.address)}: {str(error).strip().splitlines()[0]}") from error


class _Name(str):
    """An identifier, to be quoted as one."""


class _Word(str):
    """SQL of this file's own, put in as it stands."""


class _Runner:
    """Runs SQL in which ``{table}`` is the index's table and other names in braces are given."""

    def __init__(self, connection: Any, table: str) -> None:
        self._connection, self._table = connection, table

    def __call__(self, text: str, *values: Any, binary: bool = False, **parts: Any) -> Any:
        return self._connection.execute(self._composed(text, parts), values or None, binary=binary)

    def copy(self, text: str) -> Any:
        return self._connection.cursor().copy(self._composed(text, {}))

    def _composed(self, text: str, parts: dict[str, Any]) -> Any:
        from psycopg import sql

        def part(value: Any) -> Any:
            if isinstance(value, _Name):
                return sql.Identifier(value)
            return sql.SQL(value) if isinstance(value, _Word) else sql.Literal(value)

        made = {name: part(value) for name, value in parts.items()}
        return sql.SQL(text).format(table=sql.Identifier(self._table), **made)


def _rows(ids: np.ndarray, kind: bytes, vectors: np.ndarray) -> bytes:
    """Rows (id, kind, vector) in the binary form of COPY, all of one length: each field after its length in bytes."""
    dimension = vectors.shape[1]
    head = [("fields", ">i2"), ("id_size", ">i4"), ("id", ">i8"), ("kind_size", ">i4"), ("kind", "u1", (len(kind),))]
    tail = [("vector_size", ">i4"), ("dimension", ">i2"), ("unused", ">i2"), ("vector", ">f4", (dimension,))]
    row = np.dtype([*head, *tail])
    made = np.zeros(len(ids), dtype=row)
    made["fields"], made["id_size"], made["id"] = 3, 8, ids
    made["kind_size"], made["kind"] = len(kind), np.frombuffer(kind, dtype=np.uint8)
    made["vector_size"], made["dimension"], made["vector"] = 4 + 4 * dimension, dimension, vectors
    return made.tobytes()


def _written(vector: np.ndarray) -> str:
    """A vector as pgvector reads it; nine digits bring a float32 back as it was."""
    return "[" + ",".join(f"{x:.9g}" for x in vector.tolist()) + "]"


def _fit(table: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,40}", table):
        raise InputError(f"'{table}' can't name a table: use a–z, 0–9 and _, at most 41, no digit first")
    return table


def _plain(address: str) -> str:
    """The address as libpq reads it: SQLAlchemy's ``postgresql+psycopg`` is ``postgresql``."""
    if not re.match(r"postgres(ql)?(\+psycopg)?://", address):
        raise InputError(f"'{_shown(address)}' is no address of PostgreSQL: write postgresql://USER@HOST/DATABASE")
    return re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql://", address)


def _shown(address: str) -> str:
    """The address without its password."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", address)
