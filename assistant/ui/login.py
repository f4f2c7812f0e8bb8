"""Who may see the page: a file of names and password hashes, and how often a wrong one may be tried."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from assistant.access import checked_name, read_entries, write_entries
from assistant.errors import ConfigError

MIN_PASSWORD = 8
MAX_PASSWORD = 1024
_SCHEME = "scrypt"
_N, _R, _P = 2**14, 8, 5
"""scrypt's cost, as OWASP's password storage sheet gives it for 16 MB of memory."""
_MAKE = "python app.py users add FILE NAME"


def hash_password(password: str) -> str:
    """Return what is kept of a password: scheme, cost, salt and hash.

    Args:
        password: as typed.
    Returns:
        "scrypt$16384$8$5$salt$hash", the last two in base64.
    Raises:
        ConfigError: it is too short or too long.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise ConfigError(
            f"The password has {len(password)} characters; use {MIN_PASSWORD} or more, and up to {MAX_PASSWORD}."
        )
    salt = os.urandom(16)
    parts = (base64.b64encode(one).decode() for one in (salt, _scrypt(password, salt, _N, _R, _P)))
    return "$".join((_SCHEME, str(_N), str(_R), str(_P), *parts))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)


def _matches(password: str, kept: str) -> bool:
    _, n, r, p, salt, digest = kept.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(digest))


class Login:
    """Checks a name and a password. Only salted hashes are kept in memory."""

    def __init__(self, hashes: dict[str, str]) -> None:
        """Keep the hashes.

        Args:
            hashes: made by `hash_password`, by name.
        """
        self._hashes = hashes
        self._nobody = hash_password(os.urandom(16).hex())
        # Each check takes 16 MB and a core for some 50 ms: many at once would starve the model.
        self._turn = threading.Semaphore(2)

    def __call__(self, name: str, password: str) -> bool:
        """Say whether they belong together; an unknown name takes as long as a known one.

        Args:
            name: as typed.
            password: as typed.
        Returns:
            True when they do.
        """
        if len(password) > MAX_PASSWORD:
            return False
        known = self._hashes.get(name)
        with self._turn:
            return _matches(password, known or self._nobody) and known is not None


class Throttle:
    """Counts failures by name and by address, and shuts out for a while whoever has too many.

    Args:
        most: failures within the window before the next try has to wait.
        window_s: for how long a failure counts.
        clock: seconds; another one for tests.
    """

    def __init__(self, most: int = 5, window_s: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._window, self._clock = most, window_s, clock
        self._failures: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, *sources: str) -> float:
        """Return how long these must wait, 0 if they may try now.

        Args:
            *sources: whatever is counted: a name, an address.
        Returns:
            Seconds until enough failures are forgotten.
        """
        now = self._clock()
        with self._lock:
            self._forget(now)
            full = [times for source in sources if len(times := self._failures.get(source, [])) >= self._most]
            return max((times[-self._most] + self._window - now for times in full), default=0.0)

    def failed(self, *sources: str) -> None:
        """Count a failure against each source."""
        now = self._clock()
        with self._lock:
            for source in sources:
                self._failures.setdefault(source, []).append(now)

    def succeeded(self, *sources: str) -> None:
        """Forget the failures of a source that got in."""
        with self._lock:
            for source in sources:
                self._failures.pop(source, None)

    def _forget(self, now: float) -> None:
        for source in list(self._failures):
            kept = [one for one in self._failures[source] if now - one < self._window]
            if kept:
                self._failures[source] = kept
            else:
                del self._failures[source]


def add_user(path: Path, name: str, password: str) -> None:
    """Add somebody to a login file, or give her another password.

    Args:
        path: of the file; made when missing.
        name: stands in the audit log.
        password: only its hash is kept.
    Raises:
        ConfigError: name or password cannot be used, or the file is no login file.
    """
    entries = read_entries(path, what="login file", make=_MAKE) if path.exists() else {}
    write_entries(path, {**entries, checked_name(name): hash_password(password)})


def read_login(path: Path) -> Login:
    """Read a login file.

    Args:
        path: lines of `name:scrypt$…` as `users add` writes them, or of `name:password`.
    Returns:
        What checks names and passwords.
    Raises:
        ConfigError: it is missing, open to other users of this machine, or has a bad line.
    """
    entries = read_entries(path, what="login file", make=_MAKE)
    if not entries:
        raise ConfigError(f"The login file {path} names nobody. Add somebody: python app.py users add {path} NAME")
    return Login({name: _kept(path, name, secret) for name, secret in entries.items()})


def plain_passwords(path: Path) -> int:
    """Return how many lines of a login file still hold a password instead of its hash."""
    entries = read_entries(path, what="login file", make=_MAKE)
    return sum(not one.startswith(f"{_SCHEME}$") for one in entries.values())


def _kept(path: Path, name: str, secret: str) -> str:
    if not secret.startswith(f"{_SCHEME}$"):
        try:
            return hash_password(secret)
        except ConfigError as error:
            raise ConfigError(f"{path}, {name}: {error}") from error
    try:
        _matches("", secret)
    except (ValueError, TypeError, MemoryError) as error:
        raise ConfigError(
            f"{path}, {name}: the password's hash is damaged. Set it again: python app.py users add {path} {name}"
        ) from error
    return secret
