"""Files of one JSON object a line, and of anything else, written so that a kill at any moment leaves them whole."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from assistant.errors import WorklistError

logger = logging.getLogger(__name__)

Record = dict[str, Any]


def write_atomically(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write a file so that a reader, or a kill, sees the old content or the new, never a part.

    Several processes and threads may write the same file: one after the other, and the last one's content stays.

    Args:
        path: its folder is made when missing.
        content: of the file.
        durable: wait until it is on the disk. Without, it is not there, or empty, after a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_name(f".{path.name}.part")
    with _held(waiting) as handle:
        handle.truncate(0)  # what a kill left
        handle.write(content.encode() if isinstance(content, str) else content)
        handle.flush()
        if durable:
            os.fsync(handle.fileno())
        os.replace(waiting, path)


@contextlib.contextmanager
def _held(waiting: Path) -> Iterator[IO[bytes]]:
    """Open a draft that nobody else is writing; who comes meanwhile waits, and then makes one of its own."""
    while True:
        with waiting.open("ab") as handle:  # not "wb", which would empty what another is writing
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                ours = os.path.samestat(os.fstat(handle.fileno()), waiting.stat())
            except FileNotFoundError:
                ours = False  # its writer has put it in its place
            if ours:
                yield handle
                return


def each_line(path: Path, start: int = 0, *, mend: bool = False) -> Iterator[Record]:
    """Read a JSON-lines file of ours line by line, but for a last line that is not finished.

    Args:
        path: may be absent, which reads as empty.
        start: where to begin, in bytes; the start of a line.
        mend: cut that line off. For who keeps others from writing alone: a kill left it, nobody is at work on it.
    Yields:
        One record a line.
    Raises:
        WorklistError: a line that is not the last is no JSON object, so the file was changed by something else.
    """
    if not path.exists():
        return
    sound, torn = start, 0
    with path.open("rb") as handle:
        handle.seek(start)
        for number, line in enumerate(handle, start=1):
            record = parsed(line)
            if record is None:
                if line.endswith(b"\n") and handle.read(1):
                    seen = f"{path} line {number} is not a JSON object: {line[:60]!r}"
                    raise WorklistError(f"{seen}. Repair or delete that line, or choose another --out.")
                torn = len(line)
                break
            sound += len(line)
            yield record
    if torn and mend:
        logger.warning("dropped an unfinished last line of %d bytes", torn)
        os.truncate(path, sound)


def read_lines(path: Path, start: int = 0, *, mend: bool = False) -> list[Record]:
    """Return all that `each_line` reads."""
    return list(each_line(path, start, mend=mend))


def parsed(line: bytes) -> Record | None:
    """Return the JSON object of a finished line, None for anything else."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def as_lines(records: Iterable[Mapping[str, Any]]) -> str:
    """Return the lines of a file of records."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
