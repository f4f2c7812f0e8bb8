"""The staging folder of a build: what was read, the blocks embedded so far, and the plan that says whether to go on.

plan.json           what is being built, from what; another plan starts afresh
records.jsonl       pieces of the corpora as read, checked and without duplicates
rows.bin            a row for each (`STAGED`)
read.json           written when reading has finished: what was left out
block-*.jsonl, npz  see `retrieval.embed`
index/              the folder that will take the place of the old one
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import RetrievalError
from retrieval.dedup import Seen
from retrieval.embed import BLOCK, Progress, embed_block
from retrieval.encoder import Encoder
from retrieval.passage import Passage
from retrieval.reading import Faults, Tally

logger = logging.getLogger(__name__)

STAGED = np.dtype([("offset", "<i8"), ("document", "<i8"), ("digest", "<i8"), ("first", "?")])
"""Where a record's line begins, the number of its document, a digest of it and its picture, the document's first."""
_ROWS_AT_ONCE = 65_536

Source = Callable[[Faults, Tally], Iterable[Passage]]


class Stage:
    """One build under way."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        """Open the staging folder, and empty it unless it holds the same plan."""
        self.folder = folder
        self.index = folder / "index"
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(plan, sort_keys=True, ensure_ascii=False)
        path = folder / "plan.json"
        self.resumed = path.is_file() and path.read_text(encoding="utf-8") == text
        if not self.resumed:
            for item in folder.iterdir():
                if item.name != "lock":
                    shutil.rmtree(item) if item.is_dir() else item.unlink()
            path.write_text(text, encoding="utf-8")
        self.index.mkdir(exist_ok=True)

    def read(self, source: Source, seen: Callable[[Path | None], Seen]) -> Tally:
        """Read the corpora into the folder, unless that was done before.

        Args:
            source: gives the pieces.
            seen: opens the memory of what is there already, at the path given.
        Returns:
            What was left out.
        Raises:
            RetrievalError: faults in the corpora, all of them.
        """
        done = self.folder / "read.json"
        if done.is_file():
            return Tally(**json.loads(done.read_text(encoding="utf-8")))
        faults, tally = Faults(), Tally()
        memory = self.folder / "seen.sqlite"
        memory.unlink(missing_ok=True)
        with seen(memory) as known, (self.folder / "records.jsonl").open("wb") as lines:
            self._take_in(known.new(source(faults, tally), faults, tally), known, lines)
        memory.unlink()
        faults.raise_if_any()
        aside = self.folder / "read.json.part"
        aside.write_text(json.dumps(dataclasses.asdict(tally)), encoding="utf-8")
        os.replace(aside, done)
        return tally

    def _take_in(self, passages: Iterable[Passage], known: Seen, lines: Any) -> None:
        offset = 0
        with (self.folder / "rows.bin").open("wb") as rows:
            pending: list[tuple[int, int, int, bool]] = []
            for passage in passages:
                number, first = known.document(passage.document)
                pending.append((offset, number, digest(passage), first))
                offset += lines.write(json.dumps(passage.to_dict(), ensure_ascii=False).encode() + b"\n")
                if len(pending) >= _ROWS_AT_ONCE:
                    rows.write(np.array(pending, dtype=STAGED).tobytes())
                    pending = []
            rows.write(np.array(pending, dtype=STAGED).tobytes())

    def rows(self) -> np.ndarray:
        """Return (N,) `STAGED`, left on disk."""
        path = self.folder / "rows.bin"
        if not path.stat().st_size:
            return np.zeros(0, dtype=STAGED)
        return np.memmap(path, dtype=STAGED, mode="r")

    def records(self, rows: np.ndarray) -> Iterator[Passage]:
        """Give the records of some rows."""
        with (self.folder / "records.jsonl").open("rb") as lines:
            for row in rows:
                lines.seek(int(row["offset"]))
                yield Passage.from_dict(json.loads(lines.readline()))

    def embed(self, chosen: np.ndarray, first_key: int, encoder: Encoder, progress: Progress | None) -> int:
        """Embed the chosen rows block by block; blocks that are there already are not embedded again.

        Args:
            chosen: (N,) numbers of rows, rising.
            first_key: of the first; the others follow.
            encoder: makes the vectors.
            progress: called with records done and records in all.
        Returns:
            How many blocks there are.
        """
        rows = self.rows()
        blocks = range(0, len(chosen), BLOCK)
        for number, start in enumerate(blocks):
            part = rows[chosen[start : start + BLOCK]]
            keys = np.arange(first_key + start, first_key + start + len(part), dtype=np.int64)
            passages = list(self.records(part))
            embed_block(self.folder, number, passages, keys, part["first"], encoder, self.index)
            if progress:
                progress(start + len(part), len(chosen))
        return len(blocks)

    def clear_index(self) -> None:
        """Take away what an earlier attempt put into the index folder, but for the pictures."""
        for item in self.index.iterdir():
            if item.name != "images":
                shutil.rmtree(item) if item.is_dir() else item.unlink()

    @contextmanager
    def kept_if_worth_it(self) -> Iterator[None]:
        """On an error, leave the folder for the next attempt if it holds a block, and delete it if not."""
        try:
            yield
        except BaseException:
            if not any(self.folder.glob("block-*.npz")):
                self.drop()
            raise

    def drop(self) -> None:
        """Delete the whole staging folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def digest(passage: Passage) -> int:
    """Return 63 bits that change with any field of a record, or with the size or time of its picture."""
    values = passage.to_dict()
    if passage.image is not None:
        found = os.stat(passage.image)
        values["image"] = [Path(passage.image).name, found.st_size, found.st_mtime_ns]
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def check_target(out: Path, manifest_file: str) -> None:
    """Refuse to write over something that is no index.

    Args:
        out: the folder to write.
        manifest_file: the name by which an index is known.
    Raises:
        RetrievalError: `out` holds something else.
    """
    if out.exists() and not (out / manifest_file).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise RetrievalError(f"{out} exists and is no index; give another folder, or remove it first.")
