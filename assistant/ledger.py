"""The files of a report run, written so that a kill at any moment loses nothing and doubles nothing.

DIR/reports.jsonl    one line a study, appended and flushed to the disk batch by batch; what stands here is reported
DIR/failures.jsonl   the studies that have failed and not yet succeeded, with the reason
DIR/studies/         one page a study, written before its line; a run begins by writing those that are missing or empty
DIR/worklist.sqlite  where each study stands, so that several processes share the work; see `assistant.states`
DIR/inputs.jsonl     which name stands for which file, for its owner alone; see `assistant.names`
DIR/.lock            held while the files are written; the system releases it when the process ends, however it ends
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from assistant.errors import WorklistError
from assistant.json_lines import Record, as_lines, each_line, parsed, read_lines, write_atomically
from assistant.names import remember
from assistant.states import Claim, States

if TYPE_CHECKING:
    from assistant.studies import Study

logger = logging.getLogger(__name__)


def page_name(record: Mapping[str, Any]) -> str:
    """Return the file name, less its ending, of a study's page."""
    first = Path(record["inputs"][0])
    # The slices of a series lie in a folder that says more than the name of its first file.
    unnamed = first.parent.name if record.get("slices") and len(record["inputs"]) > 1 else first.stem
    title = unnamed if record["key"].startswith(record["study"]) else record["study"]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-.")[:60] or "study"
    return f"{readable}-{record['key'][:8]}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes and threads out of a run's files; the system opens the lock when a process ends.

    Args:
        folder: of the run; it exists.
    """
    with (folder / ".lock").open("a+", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _named(study: Study) -> Study:
    """Give a study the own names of its files, which are the same then wherever it is reported on."""
    return study if study.keep_names else replace(study, aliases=tuple(study.named((*study.images, *study.priors))))


class Ledger:
    """What the report runs in one folder have done; use it as a context manager. Several processes may share it.

    Args:
        folder: nothing in it is touched before the `with` begins.
        again: give out quarantined studies too.
    """

    def __init__(self, folder: Path, *, again: bool = False) -> None:
        self.folder = folder
        self._again = again
        self._reports = folder / "reports.jsonl"
        self._failures = folder / "failures.jsonl"
        self._read = 0
        self._ours: set[str] = set()
        """Reported before this process began, or by it. Others come to `done` too: of a process that was killed between
        its line and the table, the study is given out once more, and then its second report is dropped."""
        self._states: States | None = None
        self.done: dict[str, str] = {}
        """Reported studies, id to key, in the order of the file."""

    def __enter__(self) -> Ledger:
        """Read what earlier runs left, those of versions without a table too.

        Returns:
            This ledger.
        Raises:
            WorklistError: the folder cannot be written, or holds files that are not ours.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / ".lock").touch()
        except OSError as error:
            raise WorklistError(f"{self.folder} cannot be written: {error.strerror}. Choose another --out.") from error
        with locked(self.folder):
            new = self._catch_up()
            old = read_lines(self._failures)
            if any("study" not in one or "inputs" not in one for one in old):
                raise WorklistError(f"{self.folder} holds a line without 'study'. Choose another --out.")
            self._states = States(self.folder, again=self._again)
            known = self._states.keys()
            self._states.done([one for one in new if one[0] not in known])
            self._states.forget_done([study for study in known if study not in self.done])
            there = {study for study, _, _ in self._states.failures()} | set(self.done)
            for one in old:
                if one["study"] not in there:
                    self._states.failed(one["study"], one["inputs"], str(one.get("error", "")))
            self._reports.touch()
            self._ours = set(self.done)
            self._write_failures()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back what is still claimed."""
        self._table.close()
        self._states = None

    @property
    def _table(self) -> States:
        if self._states is None:
            raise ValueError("the ledger is not open; use it in a with statement")
        return self._states

    def _catch_up(self) -> list[tuple[str, str, list[str]]]:
        """Read the lines of the reports that were added since the last look: id, key and inputs of each."""
        new = []
        for record in each_line(self._reports, start=self._read, mend=True):
            if "study" not in record:
                raise WorklistError(f"{self.folder} holds a line without 'study'. Choose another --out.")
            self.done[record["study"]] = record.get("key", "")
            new.append((record["study"], record.get("key", ""), list(record.get("inputs", ()))))
        self._read = self._reports.stat().st_size if self._reports.exists() else 0
        return new

    def claim(self, study: str, key: str, inputs: Sequence[str]) -> tuple[Claim, str | None]:
        """Ask for a study; see `States.claim`."""
        return self._table.claim(study, key, inputs)

    def adopted(self, studies: Iterable[Study]) -> Iterator[Study]:
        """Yield studies, the names of each noted before it is given out; those of a whole list at once."""
        if isinstance(studies, Sequence):
            self.adopt(studies)
            yield from map(_named, studies)
            return
        for study in studies:
            self.adopt([study])
            yield _named(study)

    def adopt(self, studies: Sequence[Study]) -> None:
        """Note the studies' own names, and take failures that an earlier version kept under paths as theirs.

        Args:
            studies: of this run.
        Raises:
            WorklistError: the names cannot be written.
        """
        hidden = [study for study in studies if not study.keep_names]
        with locked(self.folder):
            remember(self.folder, [path for study in hidden for path in (*study.images, *study.priors)])
            self._table.rename([(study.inputs, study.names) for study in hidden])
            self._write_failures()

    def records(self) -> Iterator[Record]:
        """Yield the reports one by one, as they stand in the file."""
        with self._reports.open("rb") as handle:
            for line in handle:
                record = parsed(line)
                if record is not None:
                    yield record

    def counts(self) -> dict[str, int]:
        """Return how many studies are in each state."""
        return self._table.counts()

    def to_retry(self) -> list[list[str]]:
        """Return the inputs of studies that failed and are not quarantined."""
        return self._table.to_retry()

    def add_reports(self, records: Sequence[Record]) -> None:
        """Append reports and wait until they are on the disk; their studies count as failed no more.

        Args:
            records: each with its own `study`; one that another process has reported meanwhile is dropped.
        Raises:
            ValueError: a study was reported by this very process, or before it began.
        """
        if not records:
            return
        for record in records:
            if record["study"] in self._ours:
                raise ValueError(f"study {record['study']} is reported already")
        with locked(self.folder):
            self._catch_up()
            fresh = [record for record in records if record["study"] not in self.done]
            with self._reports.open("a", encoding="utf-8") as handle:
                handle.write(as_lines(fresh))
                handle.flush()
                os.fsync(handle.fileno())
            self._table.done(self._catch_up())
            self._ours.update(record["study"] for record in records)
            self._write_failures()

    def add_failures(self, records: Sequence[Record], *, for_good: Collection[str] = ()) -> None:
        """Keep why these studies failed, in place of what was kept for the same inputs before.

        Args:
            records: each with `study`, `inputs` and `error`.
            for_good: ids of those that are quarantined at once.
        """
        if not records:
            return
        with locked(self.folder):
            for one in records:
                self._table.failed(one["study"], one["inputs"], one["error"], for_good=one["study"] in for_good)
            self._write_failures()

    def _write_failures(self) -> None:
        """Make the file of failures say what the table does."""
        rows = self._table.failures()
        text = as_lines({"study": study, "inputs": inputs, "error": error} for study, inputs, error in rows)
        if not self._failures.exists() or self._failures.read_text(encoding="utf-8") != text:
            write_atomically(self._failures, text)
