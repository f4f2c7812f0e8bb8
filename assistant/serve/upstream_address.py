"""Which server may write the text, and with which key it is asked."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from assistant.config import LOOPBACK
from assistant.errors import ConfigError


def check_address(address: str, allowed: Sequence[str]) -> str:
    """Refuse an upstream server that is neither on this machine nor allowed by name.

    Args:
        address: http or https, with the path before /chat/completions.
        allowed: hosts beyond this machine.
    Returns:
        The address without a slash at its end.
    Raises:
        ConfigError: it is no such address, or its host is not allowed.
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname if parts.port != 0 and parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    if not host or parts.username or parts.query:
        raise ConfigError(f"upstream is {address!r}; give an address such as http://127.0.0.1:8000/v1")
    if not _is_loopback(host) and host not in allowed:
        raise ConfigError(
            f"upstream is on {host}, which is not this machine: images and questions would go there. If that is meant, "
            f"allow it by name: --upstream-host {host}"
        )
    return address.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK


def read_key(path: str) -> str:
    """Return the key of the other server.

    Args:
        path: of the file that holds it.
    Returns:
        The key.
    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The key of the upstream server cannot be read from {path} ({error}).") from error
