"""`Watcher`: which studies in watched folders are complete, while files are still being copied in.

It looks at sizes and times only, so it works on network drives too. A file is settled when neither has changed for a
while, as this process has seen it; one that cannot be read yet is waited for longer, since a copy may have stalled. A
series waits until its whole folder is settled, and longer where a number is missing among its slices.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import AssistantError, ConfigError, WorklistError
from assistant.gather import Gathered, gather_series
from assistant.imaging.several import SLICED
from assistant.studies import Study, folder_files

if TYPE_CHECKING:
    from assistant.imaging.series import SliceHead

PATIENCE = 6
"""What cannot be read, or lacks a slice, is waited for this many times as long as a settled file."""
RETRIES = 2
"""So often is a study handed out again on which the model failed."""
_UNFINISHED = frozenset({".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".download", ".swp"})

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in ns."""


@dataclass(frozen=True)
class WatchPlan:
    """How often to look, and when a file counts as complete."""

    every_s: float = 5.0
    """Seconds between two looks."""
    settled_s: float = 10.0
    """Seconds in which a file's size and time must not have changed."""

    def __post_init__(self) -> None:
        if not 0.05 <= self.every_s <= 86400 or not 0.1 <= self.settled_s <= 86400:
            raise ConfigError(
                f"--every is {self.every_s:g} s and --settled {self.settled_s:g} s; use 0.05 s and 0.1 s up to a day."
            )

    @property
    def patience_s(self) -> float:
        """Seconds to wait for a file that cannot be read, or a slice that is missing."""
        return PATIENCE * self.settled_s


@dataclass
class _File:
    """What is known of one file."""

    stamp: Stamp
    since: float
    """When this stamp was first seen."""
    readable: bool | None = None
    """None before it was tried."""
    head: SliceHead | None = None
    released: bool = False


class Watcher:
    """Looks at folders again and again.

    Args:
        folders: searched to the bottom.
        leave_out: the run's own folder, whose files are never images.
        plan: when files count as complete.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        leave_out: Path,
        plan: WatchPlan,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders, self._leave_out, self._plan, self._clock = folders, leave_out, plan, clock
        self._files: dict[Path, _File] = {}
        self._handed: dict[tuple[tuple[Path, Stamp], ...], int] = {}
        self._failed: dict[tuple[tuple[Path, Stamp], ...], float] = {}

    @property
    def waiting(self) -> int:
        """How many files are not complete yet."""
        return sum(not one.released for one in self._files.values())

    def look(self) -> Gathered | None:
        """Look once.

        Returns:
            All complete studies of the folders, those handed out before among them, so that priors can be found; None
            where nothing has changed since the last look. `fresh` tells which are to be reported.
        """
        now = self._clock()
        gone = len(self._scan(now))
        released = sum(self._release(path, one, now) for path, one in self._files.items() if not one.released)
        held = self._incomplete(now)
        for path in held:
            self._files[path].released = False
        due = any(now >= when for when in self._failed.values())
        if not (released - len(held) > 0 or gone or due):
            return None
        ready = sorted(path for path, one in self._files.items() if one.released)
        studies = [Study((path,), found=True) for path in ready]
        return gather_series(studies, read_head=lambda path: self._files[path].head)

    def fresh(self, studies: Iterable[Study]) -> list[Study]:
        """Return the studies that were not handed out in their present form, and count them as handed out.

        Args:
            studies: complete ones, of the last look.
        Returns:
            Those to report on now.
        """
        now = self._clock()
        found = []
        for study in studies:
            form = self._form(study)
            tried = self._handed.get(form, 0)
            again = tried <= RETRIES and now >= self._failed.get(form, float("inf"))
            if tried and not again:
                continue
            self._failed.pop(form, None)
            self._handed[form] = tried + 1
            found.append(study)
        return found

    def failed(self, studies: Iterable[Study]) -> None:
        """Have studies handed out again after a while, unless that was done too often."""
        for study in studies:
            form = self._form(study)
            if self._handed.get(form, 0) <= RETRIES:
                self._failed[form] = self._clock() + self._plan.patience_s

    def _form(self, study: Study) -> tuple[tuple[Path, Stamp], ...]:
        """Return what a study is made of: its files as they are now."""
        return tuple((path, self._files[path].stamp) for path in study.images if path in self._files)

    def _scan(self, now: float) -> list[Path]:
        """Take in which files there are; returns those that are gone."""
        there: set[Path] = set()
        for folder in self._folders:
            for path in folder_files(folder, self._leave_out)[0]:
                if path.suffix.lower() in _UNFINISHED or path.name.endswith("~"):
                    continue
                try:
                    stat = path.stat()
                except OSError:
                    continue
                there.add(path)
                stamp = (stat.st_size, stat.st_mtime_ns)
                known = self._files.get(path)
                if known is None or known.stamp != stamp:
                    self._files[path] = _File(stamp, now)
        gone = [path for path in self._files if path not in there]
        for path in gone:
            del self._files[path]
        return gone

    def _release(self, path: Path, one: _File, now: float) -> bool:
        """Release a file that is settled and can be read, or that was waited for long enough."""
        if now - one.since < self._plan.settled_s:
            return False
        if one.readable is None:
            # What was last written long ago is no copy under way: its end need not be tried.
            recent = time.time() - one.stamp[1] / 1e9 < self._plan.patience_s
            one.readable, one.head = _try(path, to_its_end=recent)
        elif not one.readable and now - one.since >= self._plan.patience_s:
            one.released = True  # the run will say what is wrong with it
            return True
        one.released = one.readable
        return one.released

    def _incomplete(self, now: float) -> list[Path]:
        """Return released slices whose series is not complete yet."""
        unsettled = {path.parent for path, one in self._files.items() if now - one.since < self._plan.settled_s}
        series: dict[str, list[Path]] = defaultdict(list)
        for path, one in self._files.items():
            if one.released and one.head and one.head.series and one.head.modality in SLICED:
                series[one.head.series].append(path)
        done = {path for form in self._handed for path, _ in form}
        held = []
        for paths in series.values():
            if all(path in done for path in paths):
                continue
            newest = max(self._files[path].since for path in paths)
            moving = any(path.parent in unsettled for path in paths)
            if moving or (self._gap(paths) and now - newest < self._plan.patience_s):
                held += paths
        return held

    def _gap(self, paths: Sequence[Path]) -> bool:
        """Tell whether a number is missing among the slices of a series."""
        heads = [self._files[path].head for path in paths]
        numbers = {head.number for head in heads if head is not None and head.number is not None}
        return bool(numbers) and (min(numbers) > 1 or len(numbers) < max(numbers) - min(numbers) + 1)


def _try(path: Path, *, to_its_end: bool) -> tuple[bool, SliceHead | None]:
    """Tell whether a file can be read, to its end if asked, and read its head."""
    from assistant.imaging.images import is_volume, load_images
    from assistant.imaging.load import load_picture
    from assistant.imaging.series import slice_head

    try:
        head = slice_head(path)
    except AssistantError:  # a damaged header costs its own file, not the watch
        head = None
    if not to_its_end or (head is not None and head.left_out):
        return True, head
    try:
        if is_volume(path):
            load_images(path)
        else:
            load_picture(path)
    except (AssistantError, OSError):
        return False, head
    return True, head


def watched_folders(inputs: Sequence[str]) -> list[Path]:
    """Return the folders to watch.

    Args:
        inputs: as the command line names them.
    Returns:
        The folders.
    Raises:
        WorklistError: none is given, or one is no folder.
    """
    folders = [Path(os.path.expanduser(one)) for one in inputs]
    if not folders:
        raise WorklistError("--watch has no folder to look at. Name one or more.")
    wrong = [str(one) for one in folders if not one.is_dir()]
    if wrong:
        raise WorklistError(
            f"--watch takes folders, and {', '.join(wrong)} is none. Name the folder, or leave --watch."
        )
    return folders
