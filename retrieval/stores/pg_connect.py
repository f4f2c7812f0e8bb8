"""Addresses of PostgreSQL databases, and connections to them. Needs the `pg` extra."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from assistant.errors import ConfigError, RetrievalError

SCHEMES = ("postgresql://", "postgres://")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_KNOWN = frozenset({"schema", "host", "sslmode"})
_TIMEOUT_S = 30


@dataclass(frozen=True)
class Address:
    """Where one index stands."""

    user: str
    password: str | None
    host: str
    """A name, or the folder of a socket."""
    port: int
    database: str
    schema: str
    encrypted: bool

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read an address such as `postgresql://user@host:5432/database?schema=medassist`.

        Args:
            url: `host` in its query names the folder of a socket; `sslmode` is disable or require.
        Returns:
            The address; a password that it lacks is taken from PGPASSWORD.
        Raises:
            ConfigError: a part of it cannot be meant.
        """
        parts = urlsplit(url)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        schema, mode = asked.get("schema", "medassist"), asked.get("sslmode", "disable")
        try:
            port = parts.port or 5432
        except ValueError:
            port = 0
        faults = [f"it has {name!r}, which is none of {', '.join(sorted(_KNOWN))}" for name in set(asked) - _KNOWN]
        if not _SCHEMA.fullmatch(schema):
            faults.append(f"schema is {schema!r}; use small letters, digits and _")
        if mode not in ("disable", "require"):
            faults.append(f"sslmode is {mode!r}; use disable or require")
        if not port:
            faults.append("its port is no number")
        if faults:
            raise ConfigError(f"The database address is not usable: {'; '.join(sorted(faults))}.")
        return cls(
            user=unquote(parts.username or "postgres"),
            password=unquote(parts.password) if parts.password else os.environ.get("PGPASSWORD"),
            host=asked.get("host") or parts.hostname or "localhost",
            port=port,
            database=unquote(parts.path.lstrip("/")) or "postgres",
            schema=schema,
            encrypted=mode == "require",
        )

    @property
    def shown(self) -> str:
        """The address for a reader: without its password."""
        where = f"/{self.database}?host={self.host}&" if self.host.startswith("/") else None
        return f"postgresql://{self.user}@{where or f'{self.host}:{self.port}/{self.database}?'}schema={self.schema}"


def connect(address: Address) -> Any:
    """Connect, and see to it that the server knows vectors.

    Args:
        address: of the database.
    Returns:
        A `pg8000.native.Connection`.
    Raises:
        ConfigError: the extra is not installed.
        RetrievalError: the server cannot be reached, refuses, or has no pgvector.
    """
    try:
        from pg8000.exceptions import DatabaseError, InterfaceError
        from pg8000.native import Connection
    except ImportError as error:
        raise ConfigError("A PostgreSQL store needs the pg extra: pip install 'medassist[pg]'.") from error
    socket = f"{address.host}/.s.PGSQL.{address.port}" if address.host.startswith("/") else None
    try:
        connection = Connection(
            address.user,
            host=address.host,
            port=address.port,
            unix_sock=socket,
            database=address.database,
            password=address.password,
            ssl_context=True if address.encrypted else None,
            timeout=_TIMEOUT_S,
            application_name="medassist",
        )
    except (DatabaseError, InterfaceError, OSError) as error:
        raise RetrievalError(f"{address.shown} cannot be reached ({_reason(error)}). Is the server up?") from error
    try:
        if not connection.run("SELECT 1 FROM pg_extension WHERE extname = 'vector'"):
            connection.run("CREATE EXTENSION IF NOT EXISTS vector")
    except DatabaseError as error:
        connection.close()
        raise RetrievalError(
            f"{address.shown} has no pgvector ({_reason(error)}). Install it on the server, and let a person who may "
            "run there: CREATE EXTENSION vector"
        ) from error
    # A long search is cut neither short nor left to run after its asker is gone.
    connection.run("SET idle_in_transaction_session_timeout = '10min'")
    return connection


def _reason(error: Exception) -> str:
    """Return the server's own sentence, which names no password."""
    told = error.args[0] if error.args else error
    return str(told.get("M", type(error).__name__)) if isinstance(told, dict) else str(told)
