"""Who may see the page, from a file with one `name:password` a line."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from pathlib import Path

from assistant.errors import ConfigError

MIN_PASSWORD = 8
_ROUNDS = 200_000


class Login:
    """Checks a name and a password. Only salted hashes are kept in memory."""

    def __init__(self, pairs: dict[str, str]) -> None:
        """Hash the passwords.

        Args:
            pairs: password by name.
        """
        self._salt = os.urandom(16)
        self._hashes = {name: self._hash(password) for name, password in pairs.items()}

    def _hash(self, password: str) -> bytes:
        return hashlib.pbkdf2_hmac("sha256", password.encode(), self._salt, _ROUNDS)

    def __call__(self, name: str, password: str) -> bool:
        """Say whether they belong together; an unknown name takes as long as a known one.

        Args:
            name: as typed.
            password: as typed.
        Returns:
            True when they do.
        """
        known = self._hashes.get(name)
        return hmac.compare_digest(self._hash(password), known or bytes(32)) and known is not None


def read_login(path: Path) -> Login:
    """Read a login file.

    Args:
        path: lines of `name:password`; empty lines and those that begin with # are passed over.
    Returns:
        What checks names and passwords.
    Raises:
        ConfigError: it is missing, open to other users of this machine, or has a bad line.
    """
    try:
        others = stat.S_IMODE(path.stat().st_mode) & 0o077
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The login file {path} cannot be read ({error}). Give it lines of name:password.") from error
    if others:
        raise ConfigError(f"The login file {path} can be read by other users of this machine. Run: chmod 600 {path}")
    pairs: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not colon or not name.strip() or len(password) < MIN_PASSWORD:
            raise ConfigError(
                f"{path} line {number} is not name:password with a password of {MIN_PASSWORD} characters or more."
            )
        pairs[name.strip()] = password
    if not pairs:
        raise ConfigError(f"The login file {path} names nobody. Give it lines of name:password.")
    return Login(pairs)
