"""The audit log: who asked when, with which model and index. Nothing of what was asked, shown or answered.

One JSON object a line, each with the SHA-256 of itself and of the line before it: whoever changes, removes or moves a
line breaks the chain from there on. `FILE.head` holds the number and hash of the last line, so that lines cut from the
end are missed too. A line is on the disk before its request is answered; one that a kill left unfinished is cut off at
the next start, and that is noted in the log.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from assistant.errors import AssistantError, ConfigError, DataError
from assistant.json_lines import write_atomically

_LONGEST = 65536
"""More bytes than a line can have."""
FIRST = "0" * 64
"""What the first line has in place of a hash before it."""


@dataclass(frozen=True)
class Verdict:
    """What `verify_log` found."""

    lines: int
    head: str
    """Hash of the last line; noted elsewhere, it shows later whether the log was written anew."""
    fault: str | None
    """The first thing wrong, None if all is well."""
    note: str | None = None
    """What is worth knowing though nothing is wrong."""


class AuditLog:
    """Appends to one log; one process at a time.

    Args:
        path: of the log; made when missing, readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file = _open(path)
        try:
            self._number, self._last = self._mend()
        except BaseException:
            self._file.close()
            raise

    def append(self, what: str, *, who: str, **fields: Any) -> None:
        """Write one line, and return when it is on the disk.

        Args:
            what: the kind of event.
            who: an id of ours: a key's or a user's name, never a patient's.
            **fields: plain JSON values; no content.
        """
        with self._lock:
            record = {
                "n": self._number + 1,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "what": what,
                "who": who,
                **fields,
                "prev": self._last,
            }
            digest = _digest(record)
            self._write(_canonical({**record, "hash": digest}) + b"\n")
            self._number, self._last = self._number + 1, digest
            self._note_head()

    def close(self) -> None:
        """Let another process write."""
        self._file.close()

    def _write(self, line: bytes) -> None:
        """Put a whole line on the disk, or nothing: half a line would spoil the one after it."""
        size = os.fstat(self._file.fileno()).st_size
        try:
            # Unbuffered: a full disk fails here, not at the next line.
            os.write(self._file.fileno(), line)
            os.fsync(self._file.fileno())
        except OSError as error:
            os.ftruncate(self._file.fileno(), size)
            raise AssistantError(
                f"The audit log {self.path} cannot be written ({error.strerror}), and nothing is answered without it. "
                "Free its disk."
            ) from error

    def _note_head(self) -> None:
        write_atomically(_head_path(self.path), json.dumps({"n": self._number, "hash": self._last}) + "\n")

    def _mend(self) -> tuple[int, str]:
        """Read the log's end; cut off an unfinished line and note that in the log."""
        with self.path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - _LONGEST))
            content = log.read()
        whole = content[: content.rfind(b"\n") + 1]
        number, last = 0, FIRST
        if whole:
            record = _record(whole.splitlines()[-1])
            if record is None:
                raise ConfigError(
                    f"The last whole line of the audit log {self.path} is no record of it. "
                    f"Look with `python app.py audit verify {self.path}`, and begin another log with --audit."
                )
            number, last = int(record["n"]), str(record["hash"])
        dropped = len(content) - len(whole)
        if dropped:
            os.ftruncate(self._file.fileno(), size - dropped)
            os.fsync(self._file.fileno())
            self._number, self._last = number, last
            self.append("mended", who="server", dropped_bytes=dropped)
            return self._number, self._last
        return number, last


def verify_log(path: Path, *, known: str | None = None) -> Verdict:
    """Check every line of a log against the one before it, and the last against `FILE.head`.

    Args:
        path: of the log.
        known: a hash of its last line, noted elsewhere at some time; it must stand in the log still.
    Returns:
        The first thing wrong, or that nothing is.
    Raises:
        DataError: the log cannot be read.
    """
    before = _noted(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"The audit log {path} cannot be read ({error.strerror}). Check the path.") from error
    last, hashes = FIRST, [FIRST]
    lines = content.split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        fault = _fault(line, number, last)
        if fault:
            return Verdict(number - 1, last, f"line {number}: {fault}")
        last = str(json.loads(line)["hash"])
        hashes.append(last)
    count = len(lines) - 1
    note = "the last line is unfinished, as a kill leaves it; the next start mends it" if lines[-1] else None
    fault = _head_fault(_head_path(path).name, before, _noted(path), hashes)
    if known is not None and known not in hashes:
        fault = "no line has the hash that was noted: the log was written anew, or its end was cut"
    return Verdict(count, last, fault, note)


def _fault(line: bytes, number: int, last: str) -> str | None:
    """Say what is wrong with one line."""
    record = _record(line)
    if record is None or _canonical(record) != line:
        return "it is no record of the log: it was changed"
    if record["hash"] != _digest({key: value for key, value in record.items() if key != "hash"}):
        return "it was changed: its hash does not fit what it says"
    if record["n"] != number:
        return f"it says that it is number {record['n']}: lines were removed, added or moved"
    if record["prev"] != last:
        return "it does not follow the line before it: lines were removed, added or moved"
    return None


def _noted(path: Path) -> bytes | None:
    """Return what `FILE.head` holds now."""
    try:
        return _head_path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def _head_fault(name: str, before: bytes | None, after: bytes | None, hashes: list[str]) -> str | None:
    """Compare with the noted end, as it was before the log was read and after.

    The log may be one line ahead of it, after a kill between the two writes. A server at work moves it meanwhile: then
    what was noted before must stand in the log, and what was noted later may be of lines that came after the look.
    """
    count = len(hashes) - 1
    if after is None:
        return f"{name} is missing, so lines may have been cut from the end" if count > 1 else None
    moved = before != after
    ends = [_end(one) for one in ((before, after) if moved and before is not None else (after,))]
    for number, digest in ends:
        if number < 0:
            return f"{name} cannot be read: it was changed"
        if number > count:
            if moved and number == ends[-1][0] > ends[0][0]:
                continue
            return f"after line {count}: {number - count} line(s) were removed from the end"
        if hashes[number] != digest or (count - number > 1 and not (moved and number < ends[-1][0])):
            return f"{name} names another last line: the log was written anew, or the file was changed"
    return None


def _end(noted: bytes) -> tuple[int, str]:
    """Return number and hash of the last line as the head tells them, -1 where it cannot be read."""
    try:
        told = json.loads(noted)
        return max(-1, int(told["n"])), str(told["hash"])
    except (ValueError, KeyError, TypeError):
        return -1, ""


def _open(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise ConfigError(
            f"The audit log {path} cannot be written ({error.strerror}). Choose another --audit."
        ) from error
    file = os.fdopen(descriptor, "ab")
    for _ in range(20):  # a server that has just been stopped lets go in a moment
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except OSError:
            time.sleep(0.05)
    file.close()
    raise ConfigError(f"Another process writes the audit log {path}. Stop it, or choose another --audit.")


def _head_path(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and {"n", "prev", "hash"} <= set(record) else None


def _canonical(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(record)).hexdigest()
