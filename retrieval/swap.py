"""Putting a new index folder in the place of the old one, so that a reader or a crash never meets neither."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO

from assistant.errors import RetrievalError

logger = logging.getLogger(__name__)

_EXCHANGE = 2
_HERE = -100  # AT_FDCWD


def staging_folder(out: Path) -> Path:
    """Return the folder beside `out` in which the next index is made."""
    return out.parent / f".{out.name}.building"


def serving_folder(out: Path) -> Path:
    """Return the folder to read: `out`, or the old index that a crash between two renames left aside."""
    aside = _aside(out)
    return aside if not out.exists() and aside.is_dir() else out


def put_in_place(new: Path, out: Path) -> None:
    """Make `new` the folder `out`; what stood at `out` goes away.

    On Linux both names are exchanged in one step. Where the file system cannot, the old folder is first renamed to a
    name where `serving_folder` finds it.

    Args:
        new: a whole folder, on the same file system.
        out: where it goes.
    """
    if not out.exists():
        new.rename(out)
    elif _exchange(new, out):
        shutil.rmtree(new)
    else:
        out.rename(_aside(out))
        new.rename(out)
    shutil.rmtree(_aside(out), ignore_errors=True)


def mend(out: Path) -> None:
    """Undo what a crash between two renames left, before anything is written."""
    aside = _aside(out)
    if aside.is_dir() and not out.exists():
        aside.rename(out)
    elif aside.is_dir():
        shutil.rmtree(aside)


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the right to change an index; it ends with the process, however that ends.

    Args:
        out: the index folder.
    Yields:
        Nothing.
    Raises:
        RetrievalError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    lock = staging_folder(out) / "lock"
    for turn in count():
        time.sleep(min(turn, 10) / 1000)  # who clears up, and who begins, must get a turn as well
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            stream = lock.open("w")
        except FileNotFoundError:  # who was at work has just cleared up
            continue
        except FileExistsError:  # the same, between the two looks that `mkdir` takes
            if lock.parent.is_file():
                raise
            continue
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RetrievalError(f"Another process is changing {out}; wait until it has finished.") from error
            if _is_at(lock, stream):
                yield
                return


def _is_at(path: Path, stream: IO[str]) -> bool:
    """Tell whether an open file still has its name: a lock on one that was removed keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _aside(out: Path) -> Path:
    return out.parent / f".{out.name}.old"


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where the system or the file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))
