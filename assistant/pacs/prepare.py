"""Makes pynetdicom fit for a service that runs for weeks: it logs nothing that is sent, and closes what it opened."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from typing import Any


def prepare() -> None:
    """Silence pynetdicom's log, which quotes what is sent, and mend how it closes; once more changes nothing.

    Raises:
        ImportError: pynetdicom is not installed.
    """
    from pynetdicom.transport import AssociationSocket

    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
    kind: Any = AssociationSocket
    kind._shutdown_socket = _closed


def _closed(connection: Any) -> None:
    """Close an association's socket, whatever its other end does.

    pynetdicom 3.0 closes after `shutdown` alone, which fails where nobody answered or the other side has gone before:
    such a socket stayed open until the garbage collector came by.
    """
    if connection.socket is None:
        return
    with suppress(OSError):
        connection.socket.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        connection.socket.close()
