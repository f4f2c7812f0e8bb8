"""Associations with an application entity over DIMSE (PS3.8): opened, opened again when lost, judged by status."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from assistant.errors import PacsError
from assistant.pacs.peer import LOOPBACK, Peer, Tls, checked_aet
from assistant.pacs.prepare import prepare

logger = logging.getLogger(__name__)

ATTEMPTS = 4
PENDING = (0xFF00, 0xFF01)
"""Statuses of an answer that more answers follow."""
_WAIT_S = 0.5
_TIMEOUT_S = 60
_SUCCESS, _WARNINGS = 0x0000, (0xB000, 0xB006, 0xB007)
_UNKNOWN_DESTINATION = 0xA801
T = TypeVar("T")


class LostError(Exception):
    """The association ended in the middle of something; it is tried again."""


class NoContextError(PacsError):
    """The other side takes the association, but not what it is for."""


class Associations:
    """Opens associations with one peer.

    Args:
        peer: the other side.
        calling: our own AE title, as the other side knows it.
        tls: protects the associations; None leaves them readable.
        plain: lets images cross a network readable.
        wait_s: before the second attempt; each further wait is twice as long.
    Raises:
        PacsError: pynetdicom is not installed, the title is none, or the way is readable and nobody has allowed it.
    """

    def __init__(self, peer: Peer, calling: str, *, tls: Tls | None, plain: bool, wait_s: float = _WAIT_S) -> None:
        try:
            from pynetdicom import AE
        except ImportError:
            raise PacsError("DIMSE needs pynetdicom. Install it: pip install 'medassist[pacs]'.") from None
        if tls is None and not plain and peer.host not in LOOPBACK:
            raise PacsError(
                f"{peer} would be spoken to without encryption, and images would cross the network readable. "
                "Use --tls, or --plain inside a network that is closed to others."
            )
        prepare()
        self.peer, self.title, self._wait_s = peer, checked_aet(calling), wait_s
        self._context = tls.client() if tls else None
        self._entity = AE(ae_title=self.title)
        self._entity.acse_timeout = self._entity.dimse_timeout = self._entity.network_timeout = _TIMEOUT_S
        self._entity.connection_timeout = 10
        self._entity.maximum_pdu_size = 131_072

    def judge(self, status: Any, what: str) -> None:
        """Take success and warnings; say what is wrong otherwise, by the number alone.

        Args:
            status: the final one of a service.
            what: the service, for the error.
        Raises:
            LostError: there is none.
            PacsError: it is a failure.
        """
        if "Status" not in status:
            raise LostError
        if status.Status == _SUCCESS or status.Status in _WARNINGS:
            return
        if status.Status == _UNKNOWN_DESTINATION:
            raise PacsError(
                f"{self.peer} does not know {self.title} as a place to send to. Have the title entered "
                "there with this machine's address and --receive's port, or leave --receive out to use C-GET."
            )
        raise PacsError(
            f"{self.peer} answered {what} with status 0x{status.Status:04X}. See its own log; the same command goes on "
            "where it stopped."
        )

    def run(self, contexts: list[Any], work: Callable[[Any], T], **more: Any) -> T:
        """Do something on an association; on a lost one, again on a new one.

        Args:
            contexts: that are asked for.
            work: is given the association.
            **more: of pynetdicom's `AE.associate`.
        Returns:
            what `work` returned.
        Raises:
            PacsError: every attempt was lost, or the other side refuses.
        """
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(self._wait_s * 2 ** (attempt - 1))
            association = self._open(contexts, more)
            if association is None:
                continue
            try:
                return work(association)
            except LostError:
                logger.info("an association was lost, attempt %d of %d", attempt + 1, ATTEMPTS)
            except RuntimeError:  # pynetdicom: the association is no longer there
                logger.info("an association was gone, attempt %d of %d", attempt + 1, ATTEMPTS)
            finally:
                if association.is_established:
                    association.release()
        raise PacsError(
            f"{self.peer} cannot be reached, or ends the association. Check address, port and TLS, and that it "
            f"knows the AE title {self.title}; the same command goes on where it stopped."
        )

    def _open(self, contexts: list[Any], more: dict[str, Any]) -> Any:
        """Open an association; None where there is none for the moment."""
        protected = (self._context, self.peer.host) if self._context else None
        association: Any = self._entity.associate(
            self.peer.host, self.peer.port, contexts, ae_title=self.peer.aet, tls_args=protected, **more
        )
        if association.is_established:
            return association
        answer = association.acceptor.primitive
        if association.is_rejected and answer is not None and answer.result == 1:
            raise PacsError(
                f"{self.peer} refuses this program's AE title {self.title} ({answer.reason_str.lower()}). "
                "Have the title entered there, or check the name before the @."
            )
        if association.rejected_contexts and not association.accepted_contexts:
            raise NoContextError(
                f"{self.peer} does not offer what was asked of it ({contexts[0].abstract_syntax.name})."
            )
        return None
