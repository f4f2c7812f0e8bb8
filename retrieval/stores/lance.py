"""A store in a LanceDB folder: embedded, on disk, larger than memory. Needs the `lance` extra.

Lance keeps every version of a table, but a record here stands in several tables. `head.json` names the version of each
that belong together and is replaced at once: a reader opens exactly these, and a writer that was killed half-way
leaves versions behind that nobody reads and that the next writer takes back.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import numpy as np

from assistant.errors import RetrievalError
from retrieval.embed import ROLES
from retrieval.stores.lance_reads import BACKGROUND_FILE, HEAD_FILE, LanceReads
from retrieval.stores.lance_tables import TABLES, numbers, quoted, rows_of, schemas
from retrieval.stores.store import Head, Stored, word_counts

_LOCK_FILE = ".lock"
_KEPT = timedelta(days=1)


class LanceStore(LanceReads):
    """An index in a LanceDB folder.

    Args:
        folder: of the store; made by `create`.
    """

    def create(self, head: Head, background: bytes) -> None:
        """Make an empty store."""
        unfinished = (self.folder / HEAD_FILE).is_file() and not self.head().complete
        if unfinished or self._is_abandoned():
            self.close()
            shutil.rmtree(self.folder)
        if self.folder.exists() and any(self.folder.iterdir()):
            raise RetrievalError(f"{self.folder} is not empty; name another folder, or remove it first.")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / BACKGROUND_FILE).write_bytes(background)
        with self._writing():
            base = self.connect()
            tables = {name: base.create_table(name, schema=schema) for name, schema in schemas(head.dimension).items()}
            self._publish(tables, dataclasses.replace(head, next_key=0, records=0, words=0))

    def _is_abandoned(self) -> bool:
        """Whether a first filling was killed before there was a head: our files, and none of anybody else's."""
        if not self.folder.is_dir() or (self.folder / HEAD_FILE).exists():
            return False
        ours = {BACKGROUND_FILE, _LOCK_FILE, *(f"{name}.lance" for name in TABLES)}
        return (self.folder / _LOCK_FILE).exists() and {path.name for path in self.folder.iterdir()} <= ours

    def put_head(self, head: Head) -> None:
        """Change what the store says of itself."""
        with self._writing() as tables:
            self._publish(tables, head)

    def add(self, records: Sequence[Stored]) -> Head:
        """Add records, all or none."""
        with self._writing() as tables:
            head = self.head()
            counts = [word_counts(one.passage) for one in records]
            for name, rows in rows_of(records, counts, head.dimension, set(self._vocabulary(tables, counts))).items():
                if rows.num_rows:
                    tables[name].add(rows)
            self._publish(
                tables,
                dataclasses.replace(
                    head,
                    version=uuid.uuid4().hex,
                    next_key=max([head.next_key, *(one.key + 1 for one in records)]),
                    records=head.records + len(records),
                    words=head.words + sum(sum(one.values()) for one in counts),
                ),
            )
        return self.head()

    def _vocabulary(self, tables: dict[str, Any], counts: Sequence[Any]) -> list[str]:
        """Return the words of some records that the vocabulary lacks."""
        wanted = sorted({word for one in counts for word in one})
        known: set[str] = set()
        for start in range(0, len(wanted), 2000):
            listed = ", ".join(map(quoted, wanted[start : start + 2000]))
            found = tables["words"].search().where(f"word IN ({listed})").select(["word"]).to_arrow()
            known.update(found["word"].to_pylist())
        return [word for word in wanted if word not in known]

    def delete(self, keys: Sequence[int]) -> Head:
        """Take records out, all or none."""
        with self._writing() as tables:
            head = self.head()
            gone = self.records(keys)
            for name, column in (("records", "key"), ("image", "key"), ("postings", "key")):
                tables[name].delete(f"{column} IN ({numbers(gone)})")
            tables["text"].delete(f"key IN ({numbers([key * ROLES + role for key in gone for role in range(ROLES)])})")
            words = sum(sum(word_counts(passage).values()) for passage in gone.values())
            self._publish(
                tables,
                dataclasses.replace(
                    head, version=uuid.uuid4().hex, records=head.records - len(gone), words=head.words - words
                ),
            )
        return self.head()

    def optimise(self, exact_limit: int) -> None:
        """Compact the tables, index the words, and the vectors where they are many."""
        from lancedb.index import BTree, IvfSq

        with self._writing() as tables:
            head = self.head()
            for name in TABLES:
                # Nothing is cleaned up yet: until the new head stands, the old versions are what is served.
                tables[name].optimize(cleanup_older_than=timedelta(weeks=5200))
            for name, column in (("postings", "word"), ("words", "word"), ("records", "key"), ("records", "document")):
                if tables[name].count_rows():
                    tables[name].create_index(column, config=BTree(), replace=True)
            for name in ("text", "image"):
                count = tables[name].count_rows()
                if count > exact_limit:
                    parts = max(1, min(int(4 * np.sqrt(count)), count // 64))
                    tables[name].create_index(
                        "vector", config=IvfSq(distance_type="dot", num_partitions=parts), replace=True
                    )
            self._publish(tables, dataclasses.replace(head, version=uuid.uuid4().hex))
            with suppress(OSError, RuntimeError):
                for name in TABLES:
                    tables[name].optimize(cleanup_older_than=_KEPT)

    @contextmanager
    def _writing(self) -> Iterator[dict[str, Any]]:
        """Hold the writers' lock, with every table taken back to the version that is served."""
        with (self.folder / _LOCK_FILE).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tables: dict[str, Any] = {}
            if (self.folder / HEAD_FILE).is_file():
                self.refresh()
                base = self.connect()
                for name in TABLES:
                    tables[name] = base.open_table(name)
                    if tables[name].version != self.pins[name]:
                        tables[name].checkout(self.pins[name])
                        tables[name].restore()
            yield tables

    def _publish(self, tables: dict[str, Any], head: Head) -> None:
        """Make what was written the state that is served; until here nobody sees it."""
        values = {
            "head": json.loads(head.to_json()),
            "versions": {name: int(tables[name].version) for name in TABLES},
        }
        new = self.folder / f".{HEAD_FILE}.new"
        with new.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(new, self.folder / HEAD_FILE)
        self.refresh()
