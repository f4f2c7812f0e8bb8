"""Where feedback is kept: the words of `--feedback`, made into an address that SQLAlchemy takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from assistant.errors import ConfigError
from assistant.imaging.identity import state_folder

DEFAULT, NONE = "default", "none"
FILE_NAME = "feedback.sqlite"
_POSTGRES = ("postgresql", "postgres", "postgresql+pg8000")


@dataclass(frozen=True)
class Address:
    """One database."""

    url: str
    """For SQLAlchemy; may hold a password, so it is never shown."""
    shown: str
    """For a reader."""
    file: Path | None = None
    """Of an SQLite database."""


def address_of(text: str) -> Address | None:
    """Read the value of `--feedback`.

    Args:
        text: `default`, `none`, a path, `sqlite:///PATH` or `postgresql://user@host/database`. `?host=/folder` names
            the folder of a socket, as it does for an index.
    Returns:
        The database; None for `none`.
    Raises:
        ConfigError: it can be none of these.
    """
    if text == NONE:
        return None
    if text == DEFAULT:
        return _file(state_folder() / FILE_NAME)
    scheme, colon, rest = text.partition("://")
    if not colon:
        if not text.strip() or text.endswith("/"):
            raise ConfigError(f"feedback is {text!r}; name a file, sqlite:///PATH, postgresql://…, or none.")
        return _file(Path(text).expanduser())
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return _file(Path(rest[1:]))
    if scheme in _POSTGRES:
        return _postgres(text)
    raise ConfigError(f"feedback begins with {scheme}://; use a file, sqlite:///PATH, postgresql://…, or none.")


def _file(path: Path) -> Address:
    return Address(f"sqlite+pysqlite:///{path}", str(path), path)


def _postgres(text: str) -> Address:
    """Name the driver that the `pg` extra brings, and turn a socket's folder into what it takes."""
    parts = urlsplit(text)
    try:
        port = parts.port or 5432
    except ValueError:
        raise ConfigError("The port in feedback's address is no number. Write postgresql://user@host:5432/db") from None
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    unknown = sorted(set(asked) - {"host"})
    if unknown:
        raise ConfigError(f"feedback's address has {unknown[0]!r}; after ? it takes host=FOLDER of a socket only.")
    user = parts.username or "postgres"
    login = f"{user}:{parts.password}" if parts.password else user
    database = parts.path.lstrip("/") or "postgres"
    folder = asked.get("host")
    if folder:
        socket = quote(f"{folder}/.s.PGSQL.{port}", safe="/")
        url = f"postgresql+pg8000://{login}@/{database}?unix_sock={socket}"
        return Address(url, f"postgresql://{user}@/{database}?host={folder}")
    where = f"{parts.hostname or 'localhost'}:{port}/{database}"
    return Address(f"postgresql+pg8000://{login}@{where}", f"postgresql://{user}@{where}")
