"""Salted one-way keys that group files of one study or patient without naming anyone.

A key is the first 16 hexadecimal digits of HMAC-SHA256 (RFC 2104) of the identifier under a salt of this
installation. Without the salt a short hospital number could be found again by trying all numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from functools import lru_cache
from pathlib import Path

from assistant.errors import DataError

SALT_BYTES = 32
KEY_DIGITS = 16


def state_folder() -> Path:
    """Return the folder for what this program remembers about this installation; it need not exist yet."""
    if folder := os.environ.get("MEDASSIST_STATE_DIR"):
        return Path(folder)
    for variable in ("XDG_STATE_HOME", "LOCALAPPDATA"):
        if folder := os.environ.get(variable):
            return Path(folder) / "medassist"
    return Path(os.path.expanduser("~")) / ".local" / "state" / "medassist"


_given: bytes | None = None


def take_salt(salt: bytes | None) -> None:
    """Let this process use another installation's salt, so that several machines of one run make equal keys.

    Args:
        salt: of the installation that the run belongs to; None goes back to this one's own.
    """
    global _given
    _given = salt


def installation_salt(folder: Path | None = None) -> bytes:
    """Return this installation's salt, making it on first use.

    It lies in `salt` in the folder, readable by its owner alone (mode 0600). Where nothing can be written the
    salt is random and lives as long as the process: keys then still group files within one run.

    Args:
        folder: where the salt is kept; `state_folder()` if None.
    Returns:
        32 bytes, the same for every call of one process.
    """
    if _given is not None and folder is None:
        return _given
    return _read_or_make((folder or state_folder()) / "salt")


def create_salt(path: Path) -> bytes:
    """Return the salt in a file, made there, for its owner alone, when the file does not exist.

    Args:
        path: the file; its folder is made too.
    Returns:
        32 bytes.
    Raises:
        OSError: it cannot be read or written.
        DataError: it holds something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _create(path, secrets.token_bytes(SALT_BYTES))
    salt = path.read_bytes()
    if len(salt) != SALT_BYTES:
        raise DataError(
            f"The salt file {path} has {len(salt)} bytes instead of {SALT_BYTES}. Name another, or a new one."
        )
    return salt


@lru_cache(maxsize=8)
def _read_or_make(path: Path) -> bytes:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _create(path, secrets.token_bytes(SALT_BYTES))
        salt = path.read_bytes()
    except OSError:
        return secrets.token_bytes(SALT_BYTES)
    return salt if len(salt) == SALT_BYTES else secrets.token_bytes(SALT_BYTES)


def _create(path: Path, salt: bytes) -> None:
    """Write the salt so that no other process ever sees half of it, and the first to come wins."""
    draft = path.with_name(f"salt.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(salt)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def key(salt: bytes, kind: str, *parts: str | None) -> str | None:
    """Make the key of an identifier.

    Args:
        salt: the installation's salt.
        kind: "study" or "patient", so that equal identifiers of two kinds get two keys.
        *parts: the identifier, most telling part last; a blank last part means there is none.
    Returns:
        16 hexadecimal digits, or None when there is no identifier.
    """
    texts = [(part or "").strip(" \0") for part in parts]
    if not texts or not texts[-1]:
        return None
    message = "\0".join([kind, *texts]).encode("utf-8", "surrogatepass")
    return hmac.new(salt, message, hashlib.sha256).hexdigest()[:KEY_DIGITS]
