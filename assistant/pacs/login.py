"""A login in a file of its own, so that it stands in no command line and no history."""

from __future__ import annotations

from pathlib import Path

from assistant.errors import PacsError


def read_login(path: Path) -> str | tuple[str, str]:
    """Read a login.

    Args:
        path: file with one line, `Bearer TOKEN` or `name:password`.
    Returns:
        the value of an Authorization header, or name and password.
    Raises:
        PacsError: the file cannot be read, or holds neither.
    """
    try:
        line = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise PacsError(f"The login file {path} cannot be read.") from None
    name, colon, password = line.partition(":")
    if line.startswith("Bearer ") and len(line.split()) == 2:
        return line
    if colon and name and password:
        return name, password
    raise PacsError(f"The login file {path} holds neither `Bearer TOKEN` nor `name:password`.")
