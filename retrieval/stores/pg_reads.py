"""Reading a PostgreSQL store."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from assistant.errors import RetrievalError
from retrieval.embed import ROLES
from retrieval.passage import Passage
from retrieval.stores.pg_connect import Address, connect
from retrieval.stores.store import Head, Postings, Space, Stored

_COPY_HEADER = 19
_ENTRY = np.dtype(
    [("fields", ">i2"), ("a", ">i4"), ("word", ">i4"), ("b", ">i4"), ("key", ">i8"),
     ("c", ">i4"), ("times", ">i4"), ("d", ">i4"), ("length", ">i4")]
)  # fmt: skip
_LEAST_PROBED = 40
_MOST_PROBED = 1000


class PostgresReads:
    """The reading half of a `PostgresStore`.

    Args:
        url: its address.
    Raises:
        RetrievalError: the server cannot be reached or has no pgvector.
    """

    def __init__(self, url: str) -> None:
        self._address = Address.parse(url)
        self.schema = self._address.schema
        self.connection: Any = connect(self._address)

    @property
    def name(self) -> str:
        """The address without its password."""
        return self._address.shown

    def run(self, sql: str, **values: Any) -> list[list[Any]]:
        """Run one statement, with {s} for the schema and :name for values."""
        rows = self.connection.run(sql.format(s=self.schema), **values)
        return rows if isinstance(rows, list) else []

    def head(self) -> Head:
        """Return what the store holds now."""
        self.check()
        return Head.from_json(self.run("SELECT head FROM {s}.head")[0][0], self.name)

    def check(self) -> None:
        """Raise a RetrievalError unless there is an index."""
        if not self.exists():
            raise RetrievalError(
                f"{self.name} holds no index of this project. Fill it: python -m retrieval.migrate INDEX {self.name}"
            )

    def exists(self) -> bool:
        """Return whether there is an index."""
        return bool(self.run("SELECT to_regclass(:name) IS NOT NULL", name=f"{self.schema}.head")[0][0])

    def background(self) -> bytes:
        """Return the sample that tells chance from likeness."""
        return bytes(self.run("SELECT background FROM {s}.head")[0][0])

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read inside one transaction."""
        self.run("START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self.run("ROLLBACK")

    def near(
        self, space: Space, vector: np.ndarray, count: int, without: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines and keys of the nearest vectors, best first."""
        self.run(f"SET LOCAL hnsw.ef_search = {min(_MOST_PROBED, max(_LEAST_PROBED, 2 * count))}")
        condition = "" if without is None else "WHERE patient IS DISTINCT FROM :without"
        values: dict[str, Any] = {} if without is None else {"without": without}
        # pgvector's <#> is the negative inner product.
        rows = self.run(
            f"SELECT key, vector <#> CAST(:q AS vector) AS far FROM {{s}}.{space} {condition} ORDER BY far, key "
            f"LIMIT {int(count)}"
            if not self.approximate(space)
            else f"SELECT key, vector <#> CAST(:q AS vector) AS far FROM {{s}}.{space} {condition} ORDER BY far "
            f"LIMIT {int(count)}",
            q=vector_text(vector),
            **values,
        )
        return np.array([-far for _, far in rows], dtype=np.float32), np.array([key for key, _ in rows], dtype=np.int64)

    def approximate(self, space: Space) -> bool:
        """Return whether a space has an approximate index."""
        return bool(self.run("SELECT to_regclass(:name) IS NOT NULL", name=f"{self.schema}.{space}_near")[0][0])

    def words_with(self, prefixes: Collection[str]) -> list[str]:
        """Return every word that begins with one of some prefixes."""
        rows = self.run(
            "SELECT DISTINCT word FROM {s}.words "
            "JOIN unnest(CAST(:low AS text[]), CAST(:high AS text[])) AS p (low, high) "
            'ON word >= low COLLATE "C" AND word < high COLLATE "C"',
            low=sorted(prefixes),
            high=[one[:-1] + chr(ord(one[-1]) + 1) for one in sorted(prefixes)],
        )
        return sorted(row[0] for row in rows)

    def postings(self, words: Sequence[str]) -> Postings:
        """Return where some words stand; entries come in PostgreSQL's binary form, for they may be many."""
        rows = self.run("SELECT id, word FROM {s}.words WHERE word = ANY(CAST(:words AS text[]))", words=list(words))
        ids = np.array([row[0] for row in rows], dtype=np.int64)
        stream = io.BytesIO()
        if len(ids):
            listed = ", ".join(map(str, ids.tolist()))
            self.connection.run(
                f"COPY (SELECT word, key, times, length FROM {self.schema}.postings WHERE word IN ({listed})) "
                "TO STDOUT (FORMAT binary)",
                stream=stream,
            )
        # A header of 19 bytes without extensions, entries of equal size, and two bytes at the end.
        entries = np.frombuffer(stream.getvalue()[_COPY_HEADER:-2], dtype=_ENTRY)
        order = np.argsort(ids)
        places = order[np.searchsorted(ids[order], entries["word"])] if len(ids) else np.zeros(0, dtype=np.int64)
        return Postings(
            tuple(row[1] for row in rows),
            places,
            entries["key"].astype(np.int64),
            entries["times"].astype(np.int64),
            entries["length"].astype(np.int64),
        )

    def records(self, keys: Collection[int]) -> dict[int, Passage]:
        """Return the records of some keys."""
        rows = self.run(
            "SELECT key, record FROM {s}.records WHERE key = ANY(CAST(:keys AS bigint[]))",
            keys=[int(key) for key in keys],
        )
        return {key: Passage.from_dict(json.loads(record)) for key, record in rows}

    def chunks(self, document: str) -> list[tuple[int, Passage]]:
        """Return all records of one document, in order."""
        rows = self.run("SELECT key, record FROM {s}.records WHERE document = :name ORDER BY key", name=document)
        return [(key, Passage.from_dict(json.loads(record))) for key, record in rows]

    def picture(self, name: str) -> bytes | None:
        """Return the JPEG that `Evidence.image` names, if there is one."""
        rows = self.run("SELECT jpeg FROM {s}.records WHERE picture = :name AND jpeg IS NOT NULL", name=name)
        return bytes(rows[0][0]) if rows else None

    def keys_of(self, ids: Collection[str], patient: str | None) -> list[int]:
        """Return the keys of documents or chunks by id, and of a patient's cases."""
        rows = self.run(
            "SELECT key FROM {s}.records WHERE id = ANY(CAST(:ids AS text[])) OR document = ANY(CAST(:ids AS text[])) "
            "OR patient = CAST(:patient AS text) ORDER BY key",
            ids=sorted(ids),
            patient=patient,
        )
        return [row[0] for row in rows]

    def export(self, batch: int = 256) -> Iterator[list[Stored]]:
        """Yield all records with their vectors, in order."""
        last = -1
        while True:
            rows = self.run(
                f"SELECT r.key, r.record, t.vector::text, n.vector::text, i.vector::text, r.jpeg FROM {{s}}.records r "
                f"JOIN {{s}}.text t ON t.key = r.key * {ROLES} LEFT JOIN {{s}}.text n ON n.key = r.key * {ROLES} + 1 "
                f"LEFT JOIN {{s}}.image i ON i.key = r.key WHERE r.key > :last ORDER BY r.key LIMIT {int(batch)}",
                last=last,
            )
            if not rows:
                return
            yield [
                Stored(
                    key,
                    Passage.from_dict(json.loads(record)),
                    _numbers(text),
                    _numbers(title) if title else None,
                    _numbers(image) if image else None,
                    bytes(jpeg) if jpeg is not None else None,
                )
                for key, record, text, title, image, jpeg in rows
            ]
            last = rows[-1][0]

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def vector_text(values: np.ndarray | None) -> str:
    """Return a vector (E,) as pgvector reads it."""
    assert values is not None
    return "[" + ",".join(f"{value:.9g}" for value in values.tolist()) + "]"


def _numbers(text: str) -> np.ndarray:
    return np.fromstring(text[1:-1], dtype=np.float32, sep=",")
