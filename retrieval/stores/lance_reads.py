"""Reading a LanceDB store at the versions that its `head.json` names."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import ConfigError, RetrievalError
from retrieval.embed import ROLES
from retrieval.passage import Passage
from retrieval.stores.lance_tables import TABLES, after, numbers, quoted
from retrieval.stores.store import Head, Postings, Space, Stored

HEAD_FILE = "head.json"
BACKGROUND_FILE = "background.npz"
_PROBES = 20


class LanceReads:
    """The reading half of a `LanceStore`.

    Args:
        folder: of the store; made by `create`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: dict[str, Any] = {}
        self._read: str | None = None
        self.pins: dict[str, int] = {}
        self._head: Head | None = None

    @property
    def name(self) -> str:
        """The folder, as it is named on a command line."""
        return f"lance:{self.folder}"

    def head(self) -> Head:
        """Return what the store holds now."""
        self.refresh()
        assert self._head is not None
        return self._head

    def background(self) -> bytes:
        """Return the sample that tells chance from likeness."""
        return (self.folder / BACKGROUND_FILE).read_bytes()

    def refresh(self) -> None:
        """Open the tables at the versions that `head.json` names, if it has changed."""
        path = self.folder / HEAD_FILE
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise RetrievalError(
                f"{self.folder} is no LanceDB store of this project: it has no {HEAD_FILE}. "
                f"Fill it: python -m retrieval.migrate INDEX {self.name}"
            ) from error
        if self._read == text:
            return
        values = json.loads(text)
        head = Head.from_json(json.dumps(values.get("head")), self.name)
        base = self.connect()
        tables = {}
        for name in TABLES:
            tables[name] = base.open_table(name)
            tables[name].checkout(values["versions"][name])
        self._tables, self.pins, self._head, self._read = tables, values["versions"], head, text

    def connect(self) -> Any:
        """Open the folder with LanceDB."""
        return _lancedb().connect(str(self.folder))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Pin the versions that are current now."""
        self.refresh()
        yield

    def near(
        self, space: Space, vector: np.ndarray, count: int, without: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines and keys of the nearest vectors, best first."""
        table = self._tables[space]
        if not table.count_rows():
            return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
        query = table.search(vector.astype(np.float32), vector_column_name="vector").distance_type("dot")
        if table.list_indices():
            query = query.nprobes(_PROBES)
        if without is not None:
            query = query.where(f"patient IS NULL OR patient != {quoted(without)}", prefilter=True)
        found = query.select(["key", "_distance"]).limit(count).to_arrow()
        # Lance's distance of "dot" is 1 - cosine for vectors of length 1.
        cosines = 1.0 - found["_distance"].to_numpy().astype(np.float32)
        keys = found["key"].to_numpy().astype(np.int64)
        order = np.lexsort((keys, -cosines))
        return cosines[order], keys[order]

    def words_with(self, prefixes: Collection[str]) -> list[str]:
        """Return every word that begins with one of some prefixes."""
        if not prefixes:
            return []
        parts = [f"(word >= {quoted(one)} AND word < {quoted(after(one))})" for one in sorted(prefixes)]
        found = self._tables["words"].search().where(" OR ".join(parts)).select(["word"]).to_arrow()
        return sorted(set(found["word"].to_pylist()))

    def postings(self, words: Sequence[str]) -> Postings:
        """Return where some words stand."""
        table = self._tables["postings"].search()
        wanted = ", ".join(map(quoted, words)) or "''"
        found = table.where(f"word IN ({wanted})").select(["word", "key", "times", "length"]).to_arrow()
        coded = found["word"].combine_chunks().dictionary_encode()
        return Postings(
            tuple(coded.dictionary.to_pylist()),
            coded.indices.to_numpy(zero_copy_only=False),
            found["key"].to_numpy(),
            found["times"].to_numpy(),
            found["length"].to_numpy(),
        )

    def records(self, keys: Collection[int]) -> dict[int, Passage]:
        """Return the records of some keys."""
        if not keys:
            return {}
        found = self._tables["records"].search().where(f"key IN ({numbers(keys)})").select(["key", "record"])
        rows = found.limit(len(keys)).to_arrow().to_pylist()
        return {row["key"]: Passage.from_dict(json.loads(row["record"])) for row in rows}

    def chunks(self, document: str) -> list[tuple[int, Passage]]:
        """Return all records of one document, in order."""
        found = self._tables["records"].search().where(f"document = {quoted(document)}").select(["key", "record"])
        rows = sorted(found.to_arrow().to_pylist(), key=lambda row: int(row["key"]))
        return [(row["key"], Passage.from_dict(json.loads(row["record"]))) for row in rows]

    def picture(self, name: str) -> bytes | None:
        """Return the JPEG that `Evidence.image` names, if there is one."""
        self.refresh()
        found = self._tables["records"].search().where(f"picture = {quoted(name)}").select(["jpeg"]).to_arrow()
        return bytes(found["jpeg"][0].as_py()) if found.num_rows else None

    def keys_of(self, ids: Collection[str], patient: str | None) -> list[int]:
        """Return the keys of documents or chunks by id, and of a patient's cases."""
        self.refresh()
        parts = [f"patient = {quoted(patient)}"] if patient is not None else []
        if ids:
            listed = ", ".join(map(quoted, sorted(ids)))
            parts += [f"id IN ({listed})", f"document IN ({listed})"]
        if not parts:
            return []
        found = self._tables["records"].search().where(" OR ".join(parts)).select(["key"]).to_arrow()
        return sorted(found["key"].to_pylist())

    def export(self, batch: int = 256) -> Iterator[list[Stored]]:
        """Yield all records with their vectors, in order."""
        self.refresh()
        keys = sorted(self._tables["records"].search().select(["key"]).to_arrow()["key"].to_pylist())
        for start in range(0, len(keys), batch):
            part = keys[start : start + batch]
            passages = self.records(part)
            texts = self._vectors("text", [key * ROLES + role for key in part for role in range(ROLES)])
            images = self._vectors("image", part)
            jpegs = self._tables["records"].search().where(f"key IN ({numbers(part)}) AND jpeg IS NOT NULL")
            pictures = {row["key"]: row["jpeg"] for row in jpegs.select(["key", "jpeg"]).to_arrow().to_pylist()}
            yield [
                Stored(
                    key,
                    passages[key],
                    texts[key * ROLES],
                    texts.get(key * ROLES + 1),
                    images.get(key),
                    pictures.get(key),
                )
                for key in part
            ]

    def _vectors(self, name: str, keys: Collection[int]) -> dict[int, np.ndarray]:
        found = self._tables[name].search().where(f"key IN ({numbers(keys)})").select(["key", "vector"]).to_arrow()
        return {row["key"]: np.asarray(row["vector"], dtype=np.float32) for row in found.to_pylist()}

    def close(self) -> None:
        """Let go of the tables."""
        self._tables, self._read = {}, None


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError as error:
        raise ConfigError("A LanceDB store needs the lance extra: pip install 'medassist[lance]'.") from error
    return lancedb
