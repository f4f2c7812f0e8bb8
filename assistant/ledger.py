"""The files of a report run, written so that a kill at any moment loses nothing and doubles nothing.

DIR/reports.jsonl    one line a study, appended and flushed to the disk before the next batch starts
DIR/failures.jsonl   the studies that have failed and not yet succeeded, with the reason
DIR/studies/         one page a study; written before its line, so a line without a page means a page was deleted
DIR/.lock            held while a run is going on; the system releases it when the process ends, however it ends
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from assistant.errors import WorklistError

logger = logging.getLogger(__name__)

Record = dict[str, Any]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a kill, sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_name(f".{path.name}.part")
    with waiting.open("wb") as handle:
        handle.write(content.encode() if isinstance(content, str) else content)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(waiting, path)


def read_lines(path: Path) -> list[Record]:
    """Read a JSON-lines file of ours, and cut off a last line that a kill left unfinished.

    Args:
        path: may be absent, which reads as empty.
    Returns:
        One record a line.
    Raises:
        WorklistError: a line that is not the last is no JSON object, so the file was changed by something else.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    records: list[Record] = []
    sound = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        record = _parsed(line)
        if record is None:
            if sound + len(line) < len(content):
                raise WorklistError(
                    f"{path} line {number} is not a JSON object: {line[:60]!r}. "
                    "Repair or delete that line, or choose another --out."
                )
            break
        records.append(record)
        sound += len(line)
    if sound < len(content):
        logger.warning("dropped an unfinished last line of %d bytes", len(content) - sound)
        with path.open("r+b") as handle:
            handle.truncate(sound)
            handle.flush()
            os.fsync(handle.fileno())
    return records


def _parsed(line: bytes) -> Record | None:
    """Return the JSON object of a finished line, None for anything else."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _as_lines(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


class Ledger:
    """What a report run in one folder has done; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is touched before the `with` begins."""
        self.folder = folder
        self._reports = folder / "reports.jsonl"
        self._failures = folder / "failures.jsonl"
        self._lock: IO[str] | None = None
        self.done: dict[str, Record] = {}
        """Reported studies by id, in the order of the file."""
        self.failed: dict[str, Record] = {}
        """Failed studies by id."""

    def __enter__(self) -> Ledger:
        """Take the lock and read what earlier runs left.

        Returns:
            This ledger.
        Raises:
            WorklistError: another process writes into the folder, or it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("a+", encoding="ascii")
        except OSError as error:
            raise WorklistError(f"{self.folder} cannot be written: {error.strerror}. Choose another --out.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise WorklistError(
                f"Another report run is writing into {self.folder}. Wait for it to end, or choose another --out."
            ) from error
        self._lock = lock
        try:
            self.done = {record["study"]: record for record in read_lines(self._reports)}
            self.failed = {record["study"]: record for record in read_lines(self._failures)}
        except KeyError as error:
            self._release()
            raise WorklistError(f"{self.folder} holds a line without {error}. Choose another --out.") from error
        except WorklistError:
            self._release()
            raise
        self._settle_failures(dict(self.failed))
        self._reports.touch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock."""
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def add_reports(self, records: Sequence[Record]) -> None:
        """Append reports and wait until they are on the disk; their studies count as failed no more.

        Args:
            records: each with its own `study`, none of them reported before.
        Raises:
            ValueError: a study is in the ledger already.
        """
        if not records:
            return
        for record in records:
            if record["study"] in self.done:
                raise ValueError(f"study {record['study']} is reported already")
        with self._reports.open("a", encoding="utf-8") as handle:
            handle.write(_as_lines(records))
            handle.flush()
            os.fsync(handle.fileno())
        self.done |= {record["study"]: record for record in records}
        mended = {tuple(record["inputs"]) for record in records}
        self._settle_failures({k: v for k, v in self.failed.items() if tuple(v["inputs"]) not in mended})

    def add_failures(self, records: Sequence[Record]) -> None:
        """Keep why these studies failed, in place of what was kept for the same inputs before.

        Args:
            records: each with `study`, `inputs` and `error`.
        """
        failed = dict(self.failed)
        for record in records:
            stale = [
                study for study, old in failed.items() if study != record["study"] and old["inputs"] == record["inputs"]
            ]
            for study in stale:
                del failed[study]
            failed[record["study"]] = record
        self._settle_failures(failed)

    def _settle_failures(self, failed: dict[str, Record]) -> None:
        """Make the file of failures hold exactly `failed`, less the studies that are done."""
        failed = {study: record for study, record in failed.items() if study not in self.done}
        if failed != self.failed or not self._failures.exists():
            write_atomically(self._failures, _as_lines(failed.values()))
        self.failed = failed
