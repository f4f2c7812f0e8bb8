"""Where received images wait: a folder a study, every object on the disk before it is acknowledged.

SPOOL/.drafts/       objects that are being written; emptied on start, since nobody was told that they are here
SPOOL/<study>/       16 digits made of the study's UID; objects named by their numbers and a digest, for the owner alone
"""

from __future__ import annotations

import itertools
import os
import shutil
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import PacsError
from assistant.pacs.archive import file_name, study_folder, sync_folder, to_report_on
from assistant.pacs.receiver import FULL, TAKEN

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LEAST_FREE = 500_000_000
"""Bytes of the disk that stay free."""


class Spool:
    """A spool that one process fills and empties; threads may share it.

    Args:
        folder: made when missing.
        most_bytes: of all that waits.
        most_objects: of one study.
    Raises:
        PacsError: the folder cannot be written.
    """

    def __init__(self, folder: Path, *, most_bytes: int, most_objects: int) -> None:
        self.folder, self.most_bytes, self.most_objects = folder, most_bytes, most_objects
        self._drafts = folder / ".drafts"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
            shutil.rmtree(self._drafts, ignore_errors=True)
            self._drafts.mkdir(mode=0o700)
        except OSError as error:
            raise PacsError(f"{folder} cannot be written: {error.strerror}. Choose another --out.") from None
        self._lock = threading.Lock()
        self._number = itertools.count()
        self._last: dict[str, float] = {}
        self._sizes: dict[str, dict[str, int]] = {}
        for study in folder.glob("[!.]*"):
            self._last[study.name] = time.monotonic()
            self._sizes[study.name] = {one.name: one.stat().st_size for one in study.iterdir()}

    @property
    def size(self) -> int:
        """How many bytes wait."""
        return sum(sum(one.values()) for one in self._sizes.values())

    def take(self, dataset: Dataset, content: bytes) -> int:
        """Write an object; when this returns, it is on the disk.

        Args:
            dataset: of the object.
            content: its file.
        Returns:
            a status of C-STORE: taken, also for what this program wrote itself and so leaves; or full.
        """
        if not to_report_on(dataset):
            return TAKEN
        name, file = study_folder(str(dataset.StudyInstanceUID)), file_name(dataset)
        study = self.folder / name
        with self._lock:
            there = self._sizes.get(name, {})
            full = file not in there and len(there) >= self.most_objects
            full |= self.size + len(content) > self.most_bytes
        if full or shutil.disk_usage(self.folder).free < LEAST_FREE + len(content):
            return FULL
        draft = self._drafts / f"{next(self._number)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        with self._lock:
            if not study.exists():
                study.mkdir(mode=0o700)
                sync_folder(self.folder)
            os.replace(draft, study / file)
            sync_folder(study)
            self._sizes.setdefault(name, {})[file] = len(content)
            self._last[name] = time.monotonic()
        return TAKEN

    def stable(self, seconds: float) -> list[Path]:
        """Return the studies to which nothing has come for so long, the longest waiting first."""
        now = time.monotonic()
        with self._lock:
            quiet = sorted((last, name) for name, last in self._last.items() if now - last >= seconds)
        return [self.folder / name for _, name in quiet]

    def touched(self, study: Path) -> float:
        """Return when the last object of a study came, on the monotonic clock."""
        return self._last.get(study.name, 0.0)

    def files(self, study: Path) -> frozenset[str]:
        """Return the names of a study's objects."""
        with self._lock:
            return frozenset(self._sizes.get(study.name, {}))

    def remove(self, study: Path, known: Collection[str]) -> bool:
        """Remove a study, unless something has come to it meanwhile.

        Args:
            study: its folder.
            known: the objects that may go.
        Returns:
            whether it is gone.
        """
        with self._lock:
            if set(self._sizes.get(study.name, {})) - set(known):
                return False
            away = self._drafts / f"{next(self._number)}"
            os.replace(study, away)
            self._sizes.pop(study.name, None)
            self._last.pop(study.name, None)
        shutil.rmtree(away, ignore_errors=True)
        return True
