"""API keys: a file of names and hashes. The key itself is shown once, when it is made, and kept nowhere.

A key is 256 random bits, so a plain SHA-256 of it is safe to keep: there is nothing to guess from.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from pathlib import Path

from assistant.access import checked_name, read_entries, write_entries
from assistant.errors import ConfigError

PREFIX = "ma-"


def new_key() -> tuple[str, str]:
    """Return a new key, and what is kept of it."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, hash_key(key)


def hash_key(key: str) -> str:
    """Return what is kept of a key: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def add_key(path: Path, name: str) -> str:
    """Make a key for somebody and keep its hash.

    Args:
        path: of the file of keys; made when missing.
        name: whose it is; stands in the audit log.
    Returns:
        The key, to be handed over; it cannot be shown again.
    Raises:
        ConfigError: the name is there already or cannot be used, or the file is no file of keys.
    """
    entries = _read(path) if path.exists() else {}
    if checked_name(name) in entries:
        raise ConfigError(f"{path} has a key of {name} already. Remove it first, or choose another name.")
    key, kept = new_key()
    write_entries(path, {**entries, name: kept})
    return key


_COARSEST_NS = 5_000_000_000
"""File systems tell times in steps of up to two seconds, and a drive's clock may be another one."""


class KeyRing:
    """Knows whose a key is. Reads its file again when it has changed, so a removed key ends at once.

    Args:
        path: of the file of keys.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp, self._settled = self._now(), False
        self._names = self._load()
        if not self._names:
            raise ConfigError(f"The key file {path} holds no key. Make one: python app.py keys add {path} NAME")

    def name_of(self, key: str) -> str | None:
        """Return whose key this is, None if nobody's."""
        with self._lock:
            stamp = self._now()
            if stamp != self._stamp or not self._settled:
                # Written a moment ago, it may be written once more without another time or size, as a key is replaced.
                self._settled = time.time_ns() - stamp[0] > _COARSEST_NS
                try:
                    self._stamp, self._names = stamp, self._load()
                except ConfigError:
                    self._stamp, self._names = stamp, {}  # a broken file lets nobody in
            # By hash: how long the look-up takes tells nothing of a key that is kept.
            return self._names.get(hash_key(key))

    def _now(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> dict[str, str]:
        return {kept: name for name, kept in _read(self._path).items()}


def _read(path: Path) -> dict[str, str]:
    entries = read_entries(path, what="key file", make="python app.py keys add FILE NAME")
    for number, (name, kept) in enumerate(entries.items(), start=1):
        if len(kept) != 64 or not set(kept) <= set("0123456789abcdef"):
            raise ConfigError(
                f"{path} entry {number} ({name}) has no SHA-256 of a key. Make keys with: python app.py keys add "
                f"{path} NAME"
            )
    return entries
