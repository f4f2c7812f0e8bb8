"""A store in PostgreSQL with the pgvector extension: one index for many machines. Needs the `pg` extra.

Everything of one index stands in one schema. Every change is one transaction, so that a client or a server that is
killed half-way leaves what was there; a search reads in one transaction too, and sees one state.

Address: `postgresql://user@host:port/database?schema=medassist`; `host` in the query names a socket's folder. The
password comes from the address, or better from the environment variable PGPASSWORD.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from assistant.errors import RetrievalError
from retrieval.embed import ROLES
from retrieval.stores.pg_reads import PostgresReads, vector_text
from retrieval.stores.store import Head, Space, Stored, word_counts

_SCHEMA = """
CREATE SCHEMA {s};
CREATE TABLE {s}.head (one bool PRIMARY KEY DEFAULT true CHECK (one), head text NOT NULL, background bytea NOT NULL);
CREATE TABLE {s}.records (key bigint PRIMARY KEY, id text NOT NULL UNIQUE, document text NOT NULL, patient text,
    record text NOT NULL, picture text, jpeg bytea);
CREATE INDEX ON {s}.records (document);
CREATE INDEX ON {s}.records (patient) WHERE patient IS NOT NULL;
CREATE INDEX ON {s}.records (picture) WHERE picture IS NOT NULL;
CREATE TABLE {s}.text (key bigint PRIMARY KEY, record bigint NOT NULL REFERENCES {s}.records ON DELETE CASCADE,
    patient text, vector vector({width}) NOT NULL);
CREATE INDEX ON {s}.text (record);
CREATE TABLE {s}.image (key bigint PRIMARY KEY REFERENCES {s}.records ON DELETE CASCADE, patient text,
    vector vector({width}) NOT NULL);
CREATE TABLE {s}.words (id serial PRIMARY KEY, word text COLLATE "C" NOT NULL UNIQUE);
CREATE TABLE {s}.postings (word int NOT NULL, key bigint NOT NULL REFERENCES {s}.records ON DELETE CASCADE,
    times int NOT NULL, length int NOT NULL, PRIMARY KEY (word, key));
CREATE INDEX ON {s}.postings (key)
"""


class PostgresStore(PostgresReads):
    """An index in one schema of a PostgreSQL database.

    Args:
        url: its address.
    Raises:
        RetrievalError: the server cannot be reached or has no pgvector.
    """

    @contextmanager
    def _writing(self) -> Iterator[Head]:
        """Give the head inside a transaction that no other writer shares; an error takes everything back."""
        self.check()
        self.run("START TRANSACTION")
        try:
            text = self.run("SELECT head FROM {s}.head FOR UPDATE")[0][0]
            yield Head.from_json(text, self.name)
            self.run("COMMIT")
        except BaseException:
            self.run("ROLLBACK")
            raise

    def create(self, head: Head, background: bytes) -> None:
        """Make an empty store."""
        if self.exists() and self.head().complete:
            raise RetrievalError(
                f"{self.name} holds an index already; name another with ?schema=NAME, or drop that schema first."
            )
        empty = dataclasses.replace(head, next_key=0, records=0, words=0)
        self.run("START TRANSACTION")
        try:
            self.run("DROP SCHEMA IF EXISTS {s} CASCADE")
            for statement in _SCHEMA.replace("{width}", str(int(head.dimension))).split(";"):
                self.run(statement)
            self.run(
                "INSERT INTO {s}.head (head, background) VALUES (:head, :sample)",
                head=empty.to_json(),
                sample=background,
            )
            self.run("COMMIT")
        except BaseException:
            self.run("ROLLBACK")
            raise

    def add(self, records: Sequence[Stored]) -> Head:
        """Add records, all or none."""
        counts = [word_counts(one.passage) for one in records]
        with self._writing() as head:
            self._copy("records", "key, id, document, patient, record, picture, jpeg", map(_record_row, records))
            self._copy("text", "key, record, patient, vector", _text_rows(records))
            pictured = [one for one in records if one.image is not None]
            self._copy(
                "image",
                "key, patient, vector",
                ((one.key, one.passage.patient_key, vector_text(one.image)) for one in pictured),
            )
            ids = self._word_ids({word for one in counts for word in one})
            self._copy(
                "postings",
                "word, key, times, length",
                (
                    (ids[word], one.key, times, sum(count.values()))
                    for one, count in zip(records, counts, strict=True)
                    for word, times in count.items()
                ),
            )
            head = dataclasses.replace(
                head,
                version=uuid.uuid4().hex,
                next_key=max([head.next_key, *(one.key + 1 for one in records)]),
                records=head.records + len(records),
                words=head.words + sum(sum(one.values()) for one in counts),
            )
            self.run("UPDATE {s}.head SET head = :head", head=head.to_json())
        return head

    def _word_ids(self, words: Collection[str]) -> dict[str, int]:
        wanted = sorted(words)
        known = "SELECT word, id FROM {s}.words WHERE word = ANY(CAST(:words AS text[]))"
        ids = {str(word): int(number) for word, number in self.run(known, words=wanted)}
        new = [word for word in wanted if word not in ids]
        rows = self.run(
            "INSERT INTO {s}.words (word) SELECT unnest(CAST(:words AS text[])) RETURNING word, id", words=new
        )
        return {**ids, **{str(word): int(number) for word, number in rows}}

    def _copy(self, table: str, columns: str, rows: Any) -> None:
        """Write rows through COPY, which is many times faster than single inserts."""
        lines = ("\t".join(map(_field, row)) + "\n" for row in rows)
        self.connection.run(
            f"COPY {self.schema}.{table} ({columns}) FROM STDIN", stream=io.BytesIO("".join(lines).encode())
        )

    def delete(self, keys: Sequence[int]) -> Head:
        """Take records out, all or none."""
        with self._writing() as head:
            gone = self.records(keys)
            self.run("DELETE FROM {s}.records WHERE key = ANY(CAST(:keys AS bigint[]))", keys=list(gone))
            words = sum(sum(word_counts(passage).values()) for passage in gone.values())
            head = dataclasses.replace(
                head, version=uuid.uuid4().hex, records=head.records - len(gone), words=head.words - words
            )
            self.run("UPDATE {s}.head SET head = :head", head=head.to_json())
        return head

    def put_head(self, head: Head) -> None:
        """Change what the store says of itself."""
        with self._writing():
            self.run("UPDATE {s}.head SET head = :head", head=head.to_json())

    def optimise(self, exact_limit: int) -> None:
        """Gather statistics; put an HNSW index over the vectors where they are many."""
        spaces: tuple[Space, ...] = ("text", "image")
        for space in spaces:
            count = self.run(f"SELECT count(*) FROM {{s}}.{space}")[0][0]
            if count > exact_limit and not self.approximate(space):
                self.run(f"CREATE INDEX {space}_near ON {{s}}.{space} USING hnsw (vector vector_ip_ops)")
        for table in ("records", "text", "image", "words", "postings"):
            self.run(f"ANALYZE {{s}}.{table}")


def _record_row(one: Stored) -> tuple[Any, ...]:
    passage = one.passage
    record = json.dumps(passage.to_dict(), ensure_ascii=False)
    return one.key, passage.id, passage.document, passage.patient_key, record, passage.image, one.jpeg


def _text_rows(records: Sequence[Stored]) -> Iterator[tuple[Any, ...]]:
    for one in records:
        yield one.key * ROLES, one.key, one.passage.patient_key, vector_text(one.text)
        if one.title is not None:
            yield one.key * ROLES + 1, one.key, one.passage.patient_key, vector_text(one.title)


_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_ESCAPED = re.compile(r"[\\\t\n\r]")


def _field(value: Any) -> str:
    """Return one value in COPY's text form."""
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], str(value))
