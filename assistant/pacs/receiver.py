"""Receives objects by C-STORE: behind `listen`, and where an archive sends what C-MOVE asked for.

An object is acknowledged when it has been taken, which for files means: on the disk. Whoever may not send, an object
that is too large, and what cannot be read are refused with a status of PS3.4 B.2.3. No header is quoted anywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from assistant.errors import PacsError
from assistant.imaging.quiet import QUIET
from assistant.pacs.classes import image_contexts
from assistant.pacs.peer import Tls, checked_aet
from assistant.pacs.prepare import prepare

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

logger = logging.getLogger(__name__)

TAKEN, NOT_AUTHORISED, FULL, UNREADABLE = 0x0000, 0x0124, 0xA700, 0xC000
MOST_BYTES = 2_000_000_000
"""The largest object that is taken; an association that sends more is cut off."""
_ASSOCIATIONS = 8
_PDU = 131_072
_TIMEOUT_S = 60

Take = Callable[["Dataset", bytes], int]
"""Takes an object: its data set (decoded on access) and the bytes of its file; returns a status."""


@dataclass(frozen=True)
class Sender:
    """Who may send: an AE title, and where from if that is said too."""

    aet: str
    host: str | None = None


def parsed_sender(text: str) -> Sender:
    """Read `AE` or `AE@ADDRESS`.

    Args:
        text: such as CTSCANNER or CTSCANNER@10.0.0.7.
    Returns:
        the sender.
    Raises:
        PacsError: the title is none, or what follows the @ is no IP address.
    """
    import ipaddress

    aet, at, host = text.partition("@")
    if at:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise PacsError(f"{text!r}: {host!r} is no IP address; write AE or AE@10.0.0.7.") from None
    return Sender(checked_aet(aet), host or None)


@dataclass
class Receiver:
    """A storage service (C-STORE and C-ECHO SCP); use it as a context manager."""

    aet: str
    host: str
    port: int
    """0 takes any free one; `port` then says which."""
    take: Take
    allow: Collection[Sender] = ()
    """Who may send; nobody named lets everybody."""
    tls: Tls | None = None
    most_bytes: int = MOST_BYTES
    refused: int = 0
    """How many objects were not taken."""
    _server: Any = None
    _received: dict[int, float] = field(default_factory=dict)

    def __enter__(self) -> Receiver:
        """Begin to listen.

        Returns:
            This receiver.
        Raises:
            PacsError: pynetdicom is not installed, or the port cannot be had.
        """
        try:
            from pynetdicom import AE, evt
        except ImportError:
            raise PacsError("DIMSE needs pynetdicom. Install it: pip install 'medassist[pacs]'.") from None
        prepare()
        entity = AE(ae_title=checked_aet(self.aet))
        entity.supported_contexts = image_contexts()
        entity.add_supported_context("1.2.840.10008.1.1")
        entity.require_called_aet = True
        entity.require_calling_aet = sorted({one.aet for one in self.allow})
        entity.maximum_associations = _ASSOCIATIONS
        entity.maximum_pdu_size = _PDU
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_S
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_ECHO, self._on_echo),
            (evt.EVT_PDU_RECV, self._on_pdu),
            (evt.EVT_DIMSE_RECV, self._on_message),
            (evt.EVT_CONN_CLOSE, self._on_close),
        ]
        try:
            self._server = entity.start_server(
                (self.host, self.port), block=False, evt_handlers=handlers,
                ssl_context=self.tls.server() if self.tls else None,
            )  # fmt: skip
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PacsError(f"Cannot listen on {self.host} port {self.port} ({reason}). Take another port.") from None
        self.port = self._server.socket.getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End: open associations are aborted; what was not acknowledged, the sender has still."""
        self._server.shutdown()
        self._server = None

    def _may(self, event: Any) -> bool:
        """Tell whether this sender may send; the title alone is checked when the association opens."""
        if not self.allow:
            return True
        title = str(event.assoc.requestor.ae_title).strip()
        address = str(event.assoc.requestor.address)
        return any(one.aet == title and one.host in (None, address) for one in self.allow)

    def _on_echo(self, event: Any) -> int:
        return TAKEN if self._may(event) else NOT_AUTHORISED

    def _on_store(self, event: Any) -> int:
        if not self._may(event):
            self.refused += 1
            return NOT_AUTHORISED
        try:
            with QUIET:
                dataset = event.dataset
                if str(dataset.SOPInstanceUID) != str(event.request.AffectedSOPInstanceUID):
                    raise ValueError("the object is not the one that was announced")
                status = self.take(dataset, event.encoded_dataset())
        except OSError as error:
            logger.error("an object could not be written (%s)", error.strerror or type(error).__name__)
            status = FULL
        except Exception as error:  # pydicom finds damage in many ways, and its messages may quote the object
            logger.warning("an object could not be read (%s)", type(error).__name__)
            status = UNREADABLE
        self.refused += status != TAKEN
        return status

    def _on_pdu(self, event: Any) -> None:
        """Cut an association off that sends more than an object may have, before the memory is full."""
        items = getattr(event.pdu, "presentation_data_value_items", None)
        if items is None:
            return
        who = id(event.assoc)
        self._received[who] = self._received.get(who, 0) + sum(len(one.presentation_data_value or b"") for one in items)
        if self._received[who] > self.most_bytes:
            self.refused += 1
            logger.error("an object was larger than %d bytes; the association was aborted", self.most_bytes)
            self._received[who] = float("-inf")  # what is still on its way is not counted again
            event.assoc.abort()

    def _on_message(self, event: Any) -> None:
        self._received.pop(id(event.assoc), None)

    def _on_close(self, event: Any) -> None:
        self._received.pop(id(event.assoc), None)
