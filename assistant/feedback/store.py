"""`FeedbackStore`: feedback in a database, SQLite on this machine or PostgreSQL by its address, through SQLAlchemy.

The tables are made and brought up to date by Alembic's steps in `migrations`. SQLite's file is its owner's alone (mode
0600), and what is deleted from it is overwritten.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ConfigError, DataError
from assistant.feedback.address import Address
from assistant.feedback.records import Feedback, KeptPicture

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.orm import Session

logger = logging.getLogger(__name__)

_WAIT_S = 20
"""How long one process waits for another that writes."""


_LOCK = 718281828
"""Number of the lock on the tables of a PostgreSQL server; the next one is that of what is written into them."""


class FeedbackStore:
    """Keeps feedback. It opens the database when it is first needed; threads may share it.

    Args:
        address: of the database.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    @property
    def exists(self) -> bool:
        """Whether there is anything to read: a file that was never written to is not made by looking."""
        return self.address.file is None or self.address.file.exists()

    def open(self) -> None:
        """Connect, and bring the tables up to date.

        Raises:
            ConfigError: the driver is missing, the file cannot be made, or is no database.
            DataError: the server cannot be reached, or a newer version of this program made the tables.
        """
        with self._lock:
            if self._engine is None:
                self._engine = self._opened()

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def put(self, feedback: Feedback) -> None:
        """Keep one; an earlier one on the same answer is replaced.

        Args:
            feedback: to keep.
        """
        from assistant.feedback.tables import FeedbackRow, PictureRow

        values = {one.name: getattr(feedback, one.name) for one in fields(feedback) if one.name != "pictures"}
        values |= {"options": list(feedback.options), "history": [list(turn) for turn in feedback.history]}
        rows = [
            PictureRow(place=place, content_id=one.content_id, role=one.role, png=one.png)
            for place, one in enumerate(feedback.pictures)
        ]
        with self._session() as session:
            self._alone_writes(session)  # or another could put the same answer's in between the look and the insert
            before = session.get(FeedbackRow, feedback.id)
            if before is not None:
                session.delete(before)
                session.flush()
            session.add(FeedbackRow(**values, pictures=rows))

    def all(self, *, pictures: bool = False) -> Iterator[Feedback]:
        """Give everything that is kept, by day and id.

        Args:
            pictures: with the pixels that were agreed to, one record's at a time.
        Yields:
            Each one.
        """
        from sqlalchemy import select

        from assistant.feedback.tables import FeedbackRow

        with self._session() as session:
            names = list(session.scalars(select(FeedbackRow.id).order_by(FeedbackRow.day, FeedbackRow.id)))
            for name in names:
                row = session.get(FeedbackRow, name)
                if row is not None:
                    yield _feedback(row, pictures)
                    session.expunge_all()

    def purge(
        self, *, before: date | None = None, names: Sequence[str] = (), every: bool = False, pictures_only: bool = False
    ) -> int:
        """Delete feedback, or the pixels in it, for good.

        Args:
            before: what was given before this day.
            names: these ids.
            every: all of it.
            pictures_only: the pixels alone; what was said stays.
        Returns:
            How many records were deleted, or lost pixels.
        """
        from sqlalchemy import select

        from assistant.feedback.tables import FeedbackRow

        wanted = select(FeedbackRow)
        if not every:
            chosen = FeedbackRow.id.in_(names)
            wanted = wanted.where(chosen | (FeedbackRow.day < before) if before is not None else chosen)
        count = 0
        with self._session() as session:
            for row in session.scalars(wanted):
                held = [one for one in row.pictures if one.png is not None]
                count += bool(held) if pictures_only else 1
                for picture in held if pictures_only else ():
                    picture.png = None
                if not pictures_only:
                    session.delete(row)
        if count and self.address.file is not None:
            self._shrink()
        return count

    def _shrink(self) -> None:
        """Give back the room of what was deleted."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._ready().connect() as connection:
                connection.exec_driver_sql("VACUUM")
        except SQLAlchemyError as error:
            raise self._fault(error) from None

    def _alone_writes(self, session: Session) -> None:
        """Let no other transaction write from here to the end of this one."""
        from sqlalchemy import text

        if self.address.file is not None:
            session.connection().exec_driver_sql("BEGIN IMMEDIATE")  # the driver itself begins with the first change
        else:
            session.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK + 1})"))

    def _ready(self) -> Engine:
        self.open()
        assert self._engine is not None
        return self._engine

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """Give a session that is committed at the end, or not at all; faults become words without content."""
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.orm import Session

        engine = self._ready()
        try:
            with Session(engine) as session, session.begin():
                yield session
        except SQLAlchemyError as error:
            raise self._fault(error) from None

    def _fault(self, error: Exception) -> DataError:
        """Return a fault in words; SQLAlchemy's own message quotes the values that were to be written."""
        cause = type(getattr(error, "orig", None) or error).__name__
        return DataError(
            f"The feedback database {self.address.shown} cannot be used ({cause}). Is it reachable, with room?"
        )

    def _opened(self) -> Engine:
        from sqlalchemy import create_engine, event
        from sqlalchemy.exc import SQLAlchemyError

        if self.address.file is not None:
            _make_private(self.address.file)
        options: dict[str, Any] = {"timeout": _WAIT_S}
        try:
            engine = create_engine(self.address.url, connect_args=options, hide_parameters=True, pool_pre_ping=True)
        except ImportError:
            raise ConfigError("Feedback in PostgreSQL needs the pg extra: pip install 'medassist[pg]'.") from None
        except (SQLAlchemyError, ValueError):
            raise ConfigError(f"feedback is {self.address.shown}, which is no address of a database.") from None
        if self.address.file is not None:
            event.listen(engine, "connect", _careful)
        try:
            with _alone(self.address.file), engine.begin() as connection:
                migrate(connection)
        except DataError:
            engine.dispose()
            raise
        except Exception as error:
            engine.dispose()
            raise self._fault(error) from None
        return engine


def migrate(connection: Connection) -> None:
    """Bring the tables up to date.

    Args:
        connection: in a transaction.
    Raises:
        DataError: they were made by a later version of this program.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import text

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))  # one process at a time
    known = {one.revision for one in ScriptDirectory.from_config(config).walk_revisions()}
    there = set(MigrationContext.configure(connection).get_current_heads())
    if there - known:
        raise DataError("The feedback database was made by a later version of this program. Update the program.")
    command.upgrade(config, "head")


def _careful(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for rule in ("foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {rule}")
    cursor.close()


def _make_private(path: Path) -> None:
    """Make the file, for its owner alone, before SQLite would make it for everybody."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise ConfigError(f"The feedback file {path} cannot be made or written ({error.strerror}).") from error


@contextmanager
def _alone(path: Path | None) -> Iterator[None]:
    """Let one process at a time change the tables of a file."""
    if path is None:
        yield
        return
    # Not the database's own file: closing any handle on it would end SQLite's locks in this process.
    beside = path.with_name(f"{path.name}.lock")
    with os.fdopen(os.open(beside, os.O_RDWR | os.O_CREAT, 0o600), "wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _feedback(row: Any, pictures: bool) -> Feedback:
    values = {one.name: getattr(row, one.name) for one in fields(Feedback) if one.name != "pictures"}
    kept = tuple(KeptPicture(one.content_id, one.role, one.png if pictures else None) for one in row.pictures)
    values |= {"options": tuple(row.options), "history": tuple((role, text) for role, text in row.history)}
    return Feedback(**values, pictures=kept)
