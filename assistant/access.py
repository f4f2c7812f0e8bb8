"""Files of `name:secret` lines that only their owner may read: logins and API keys."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from assistant.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def checked_name(name: str) -> str:
    """Return a name that may stand in such a file and in the audit log.

    Args:
        name: as given.
    Returns:
        The same.
    Raises:
        ConfigError: it is empty, too long or has other signs than letters, digits and . _ @ -
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for a login or key; use up to 64 letters, digits and . _ @ -")
    return name


def read_entries(path: Path, *, what: str, make: str) -> dict[str, str]:
    """Read a file of `name:secret` lines.

    Args:
        path: empty lines and those that begin with # are passed over.
        what: the kind of file, for messages.
        make: the command that makes one, for messages.
    Returns:
        What follows the first colon, by what stands before it.
    Raises:
        ConfigError: it is missing, open to other users of this machine, or has a bad line.
    """
    try:
        others = stat.S_IMODE(path.stat().st_mode) & 0o077
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The {what} {path} cannot be read ({error}). Make one: {make}") from error
    if others:
        raise ConfigError(f"The {what} {path} can be read by other users of this machine. Run: chmod 600 {path}")
    entries: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, secret = line.partition(":")
        if not colon or not name.strip() or not secret:
            raise ConfigError(f"{path} line {number} is not name:secret. Make one: {make}")
        if name.strip() in entries:
            raise ConfigError(f"{path} line {number} names {name.strip()} a second time. Delete one of the two lines.")
        entries[name.strip()] = secret
    return entries


def write_entries(path: Path, entries: Mapping[str, str]) -> None:
    """Write such a file, readable by its owner alone; a reader sees the old one or the new.

    Args:
        path: of the file.
        entries: secret by name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{name}:{secret}\n" for name, secret in entries.items())
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def remove_entry(path: Path, name: str, *, what: str, make: str) -> None:
    """Take one name out of such a file.

    Args:
        path: of the file.
        name: to take out.
        what: the kind of file, for messages.
        make: the command that makes one, for messages.
    Raises:
        ConfigError: the name is not in it.
    """
    entries = read_entries(path, what=what, make=make)
    if name not in entries:
        raise ConfigError(f"{path} has no {name}. It has: {', '.join(entries) or 'nobody'}.")
    write_entries(path, {key: value for key, value in entries.items() if key != name})
