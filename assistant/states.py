"""Where every study of a worklist stands, in SQLite: claimed by one process, done, failed or quarantined.

Source: SQLite's write-ahead log (WAL) lets processes of one machine share the file. A claim is one transaction, so two
processes never hold the same study. Whose process has ended is told by a lock that the system releases with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

from assistant.errors import WorklistError

CRASHES = 10
"""So often may a process end while it holds a study, before the study is quarantined.

A process holds some dozens at a time, so most that it ends with are innocent: the limit is high."""
TRIES = 3
"""So many runs may fail on a study, before it is quarantined."""

Claim = Literal["mine", "done", "other", "elsewhere", "quarantined"]
"""What came of asking for a study: ours to report; reported; another study's name; another process has it; given up."""

_DELETE = "Delete it: what is reported stands in reports.jsonl as well."
_MENDS = {
    "full": "Free some space there, or choose another --out.",
    "locked": "Another process is at work on it and does not end. Look what holds it, and give the same command again.",
}
"""By SQLite's own word for what is wrong: what to do when the table is no worse for it."""
_WAIT_S = 60.0
"""How long one process waits for another that writes."""
_TABLE = """
CREATE TABLE IF NOT EXISTS studies (
    study TEXT PRIMARY KEY, key TEXT NOT NULL, inputs TEXT NOT NULL, state TEXT NOT NULL,
    owner TEXT, tries INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0, error TEXT
)
"""
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS by_inputs ON studies (inputs)",
    "CREATE INDEX IF NOT EXISTS by_state ON studies (state)",
)


class States:
    """The table of one worklist. Threads may share it."""

    def __init__(self, folder: Path, *, again: bool = False) -> None:
        """Open or make the table, and enter this process among those at work.

        Args:
            folder: of the worklist.
            again: give out quarantined studies too.
        Raises:
            WorklistError: the table is damaged, or was made by something else.
        """
        self._workers = folder / ".workers"
        self._again = again
        self._mutex = threading.RLock()
        self._owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._workers.mkdir(parents=True, exist_ok=True)
        self._alive: IO[str] = (self._workers / self._owner).open("w", encoding="ascii")
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        path = folder / "worklist.sqlite"
        try:
            self._db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            for statement in (_TABLE, *_INDEXES):
                self._db.execute(statement)
            self._db.execute("SELECT study, key, inputs, state, owner, tries, crashes, error FROM studies LIMIT 1")
        except sqlite3.DatabaseError as error:
            self._alive.close()
            (self._workers / self._owner).unlink(missing_ok=True)
            mend = next((mend for word, mend in _MENDS.items() if word in str(error)), _DELETE)
            raise WorklistError(f"{path} cannot be used ({error}). {mend}") from error

    def close(self) -> None:
        """Leave; studies that are still claimed are anybody's again."""
        with self._mutex:
            self._db.execute("UPDATE studies SET state='pending', owner=NULL WHERE owner=?", (self._owner,))
            self._db.close()
            (self._workers / self._owner).unlink(missing_ok=True)
            self._alive.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def claim(self, study: str, key: str, inputs: Sequence[str]) -> tuple[Claim, str | None]:
        """Ask for a study.

        Args:
            study: its id.
            key: what its id stands for; another key under the same id is another study of that name.
            inputs: as its record names them.
        Returns:
            what came of it, and for a quarantined study the reason.
        """
        with self._transaction() as db:
            row = db.execute("SELECT key, state, owner, crashes, error FROM studies WHERE study=?", (study,)).fetchone()
            if row is None:
                db.execute(
                    "INSERT INTO studies (study, key, inputs, state, owner) VALUES (?, ?, ?, 'running', ?)",
                    (study, key, json.dumps(list(inputs)), self._owner),
                )
                return "mine", None
            old_key, state, owner, crashes, error = row
            if state == "done":
                return ("done" if old_key == key else "other"), None
            if state == "running" and owner != self._owner:
                if self._is_alive(owner):
                    return "elsewhere", None
                crashes += 1
                if crashes >= CRASHES:
                    error = f"The process ended {crashes} times while it held this study. Look at its files."
                    db.execute(
                        "UPDATE studies SET state='quarantined', owner=NULL, crashes=?, error=? WHERE study=?",
                        (crashes, error, study),
                    )
                    return "quarantined", error
            if state == "quarantined" and old_key == key and not self._again:
                return "quarantined", error
            db.execute(
                "UPDATE studies SET state='running', owner=?, crashes=?, key=?, inputs=? WHERE study=?",
                (self._owner, crashes, key, json.dumps(list(inputs)), study),
            )
            return "mine", None

    def _is_alive(self, owner: str) -> bool:
        """Tell whether the process still runs: it holds a lock as long as it does."""
        try:
            with (self._workers / owner).open("r", encoding="ascii") as other:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        (self._workers / owner).unlink(missing_ok=True)
        return False

    def done(self, studies: Sequence[tuple[str, str, Sequence[str]]]) -> None:
        """Enter reported studies: id, key and inputs of each; failures of the same inputs are forgotten."""
        with self._transaction() as db:
            for study, key, inputs in studies:
                named = json.dumps(list(inputs))
                db.execute(
                    "INSERT INTO studies (study, key, inputs, state) VALUES (?, ?, ?, 'done') "
                    "ON CONFLICT(study) DO UPDATE SET state='done', key=excluded.key, owner=NULL, error=NULL",
                    (study, key, named),
                )
                db.execute("DELETE FROM studies WHERE inputs=? AND state IN ('failed', 'quarantined')", (named,))

    def failed(self, study: str, inputs: Sequence[str], error: str, *, for_good: bool = False) -> None:
        """Enter a failure in place of what was kept for the same inputs before.

        Args:
            study: its id.
            inputs: as its record names them.
            error: the reason.
            for_good: quarantine it at once: trying again could not help.
        """
        named = json.dumps(list(inputs))
        with self._transaction() as db:
            db.execute(
                "DELETE FROM studies WHERE inputs=? AND study!=? AND state IN ('failed', 'quarantined')", (named, study)
            )
            db.execute(
                "INSERT INTO studies (study, key, inputs, state, tries, error) VALUES (?, '', ?, 'failed', 1, ?) "
                "ON CONFLICT(study) DO UPDATE SET state='failed', tries=tries+1, error=excluded.error, owner=NULL "
                "WHERE state!='done'",
                (study, named, error),
            )
            db.execute(
                "UPDATE studies SET state='quarantined' WHERE study=? AND state='failed' AND (tries>=? OR ?)",
                (study, TRIES, for_good),
            )

    def forget_done(self, studies: Sequence[str]) -> None:
        """Drop reported studies whose report is gone, so that they are reported again."""
        with self._transaction() as db:
            db.executemany("DELETE FROM studies WHERE study=? AND state='done'", [(one,) for one in studies])

    def rename(self, inputs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> None:
        """Give failures other names for their inputs.

        Args:
            inputs: what they are called, and what they shall be called.
        """
        with self._mutex:
            kept = {inputs for (inputs,) in self._db.execute("SELECT inputs FROM studies WHERE error IS NOT NULL")}
        pairs = [(json.dumps(list(new)), old) for before, new in inputs if (old := json.dumps(list(before))) in kept]
        with self._transaction() as db:
            db.executemany("UPDATE studies SET inputs=? WHERE inputs=?", pairs)

    def keys(self) -> dict[str, str]:
        """Return the reported studies: id to key."""
        with self._mutex:
            return dict(self._db.execute("SELECT study, key FROM studies WHERE state='done' ORDER BY rowid"))

    def failures(self) -> list[tuple[str, list[str], str]]:
        """Return id, inputs and reason of failed and quarantined studies, in the order of their inputs."""
        with self._mutex:
            rows = self._db.execute(
                "SELECT study, inputs, error FROM studies WHERE state IN ('failed', 'quarantined') "
                "ORDER BY inputs, study"
            ).fetchall()
        return [(study, json.loads(inputs), error or "") for study, inputs, error in rows]

    def to_retry(self) -> list[list[str]]:
        """Return the inputs of studies that failed and are not quarantined."""
        with self._mutex:
            rows = self._db.execute("SELECT inputs FROM studies WHERE state='failed' ORDER BY inputs").fetchall()
        return [json.loads(inputs) for (inputs,) in rows]

    def counts(self) -> dict[str, int]:
        """Return how many studies are in each state."""
        with self._mutex:
            return dict(self._db.execute("SELECT state, COUNT(*) FROM studies GROUP BY state ORDER BY state"))
