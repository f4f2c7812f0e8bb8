"""Replacements that are the same all through a run and cannot be undone without its salt."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
import secrets

from assistant.errors import ConfigError

SALT_BYTES = 32
_STANDARD_ROOT = "1.2.840.10008."
_FEWEST_DAYS, _MOST_DAYS = 30, 3650
_DATE = re.compile(r"^(\d{4})[.]?(\d{2})[.]?(\d{2})")


class Pseudonyms:
    """Makes UIDs, patient numbers and shifts of dates from the originals by HMAC-SHA256 (RFC 2104).

    Args:
        salt: at least 16 bytes; random if None. The same salt gives the same replacements in another run.
    """

    def __init__(self, salt: bytes | None = None) -> None:
        if salt is not None and len(salt) < 16:
            raise ConfigError(f"The salt has {len(salt)} bytes; give at least 16, best 32 random ones.")
        self._salt = salt or secrets.token_bytes(SALT_BYTES)

    def digest(self, kind: str, *parts: str) -> bytes:
        """Return 32 bytes for an original of some kind."""
        message = "\0".join([kind, *parts]).encode("utf-8", "surrogatepass")
        return hmac.new(self._salt, message, hashlib.sha256).digest()

    def uid(self, original: str) -> str:
        """Return a UID under 2.25 (PS3.5 B.2); one that the standard itself defines stays what it is."""
        original = original.strip(" \0")
        if not original or original.startswith(_STANDARD_ROOT):
            return original
        value = int.from_bytes(self.digest("uid", original)[:16], "big")
        value = value & ~(0xF << 76) | 0x8 << 76  # version 8, variant 1: a UUID of own making (RFC 9562)
        value = value & ~(0x3 << 62) | 0x2 << 62
        return f"2.25.{value}"

    def patient(self, original: str) -> str:
        """Return a patient's new number."""
        return "ANON-" + self.digest("patient", original).hex()[:12].upper()

    def days(self, original: str) -> int:
        """Return by how many days a patient's dates move back, 30 to 3650."""
        span = _MOST_DAYS - _FEWEST_DAYS + 1
        return _FEWEST_DAYS + int.from_bytes(self.digest("days", original)[:8], "big") % span


def shifted(value: str, days: int) -> str:
    """Move a DA or DT value back; the time of a DT stays.

    Args:
        value: one DICOM date or date and time; ranges are not taken.
        days: how far.
    Returns:
        the moved value, "" if it is no whole date or lands before the year 1.
    """
    found = _DATE.match(value.strip(" \0"))
    if not found:
        return ""
    try:
        date = datetime.date(*(int(part) for part in found.groups())) - datetime.timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    rest = value.strip(" \0")[found.end() :]
    return f"{date:%Y%m%d}".rjust(8, "0") + (rest if re.fullmatch(r"\d{0,6}(\.\d{1,6})?([+-]\d{4})?", rest) else "")
