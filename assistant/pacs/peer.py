"""Who is at the other end of a DIMSE association, and how the way there is protected."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from assistant.errors import PacsError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_PEER = re.compile(r"(?P<aet>[^@]*)@(?P<host>[^@:\s]+|\[[0-9A-Fa-f:]+\]):(?P<port>\d+)")


@dataclass(frozen=True)
class Peer:
    """An application entity and where it listens."""

    aet: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.aet}@{self.host}:{self.port}"


def parsed_peer(text: str) -> Peer:
    """Read `AE@HOST:PORT`.

    Args:
        text: such as ARCHIVE@pacs.example:11112.
    Returns:
        the peer.
    Raises:
        PacsError: the text is something else.
    """
    found = _PEER.fullmatch(text.strip())
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise PacsError(f"{text!r} is no DICOM address; write AE@HOST:PORT, such as ARCHIVE@pacs.example:11112.")
    return Peer(checked_aet(found["aet"]), found["host"].strip("[]"), int(found["port"]))


def checked_aet(text: str) -> str:
    """Return an application entity title as it is written on the wire.

    Args:
        text: 1 to 16 printable ASCII characters but the backslash (PS3.5 6.2, VR AE).
    Returns:
        the title without blanks at its ends.
    Raises:
        PacsError: it is none.
    """
    title = text.strip(" ")
    if not 1 <= len(title) <= 16 or "\\" in title or not all(" " <= one <= "~" for one in title):
        raise PacsError(f"{text!r} is no AE title; it takes 1 to 16 printable ASCII characters, no backslash.")
    return title


@dataclass(frozen=True)
class Tls:
    """Certificates of a protected association (PS3.15 B.12: BCP 195)."""

    ca: Path | None = None
    """PEM file with who may vouch for the other side; None: the system's own for an archive, nobody for senders."""
    cert: Path | None = None
    """PEM file with the certificate of this side; a receiver needs one, and an archive may ask for one."""
    key: Path | None = None
    """PEM file with its private key; None: it stands in `cert`."""

    def client(self) -> ssl.SSLContext:
        """Return what protects an association that this side opens.

        Returns:
            a context of TLS 1.2 or newer.
        Raises:
            PacsError: a file cannot be used.
        """
        return self._checked(ssl.Purpose.SERVER_AUTH)

    def server(self) -> ssl.SSLContext:
        """Return what protects associations that others open; with `ca` they must show a certificate of their own.

        Returns:
            a context of TLS 1.2 or newer.
        Raises:
            PacsError: there is no certificate, or a file cannot be used.
        """
        if self.cert is None:
            raise PacsError("TLS for a receiver needs a certificate of its own. Give --tls-cert FILE.")
        return self._checked(ssl.Purpose.CLIENT_AUTH)

    def _checked(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(purpose, cafile=str(self.ca) if self.ca else None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if purpose is ssl.Purpose.CLIENT_AUTH and self.ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            named = ", ".join(str(one) for one in (self.ca, self.cert, self.key) if one)
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            raise PacsError(
                f"The TLS files {named} cannot be used ({reason}). They are PEM, the key without password."
            ) from None
        return context


def _no_password() -> str:
    raise ValueError("the key has a password")
