"""An archive over DIMSE (PS3.7): C-ECHO, C-FIND, C-GET or C-MOVE, C-STORE. The counterpart of `dicomweb`.

Images come over the same association (C-GET), or, where an archive knows no C-GET, to a receiver of our own that lives
as long as the request (C-MOVE). Study Root information model (PS3.4 C.6.2).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import PacsError
from assistant.imaging.quiet import QUIET
from assistant.pacs.archive import file_name, settle, to_report_on, waiting_folder, write_private
from assistant.pacs.association import PENDING, Associations, NoContextError
from assistant.pacs.classes import IMAGES, NO_IMAGES, asked_contexts, report_contexts
from assistant.pacs.peer import Peer, Tls
from assistant.pacs.query import parsed_query
from assistant.pacs.receiver import TAKEN, Receiver, Sender

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_VERIFICATION = "1.2.840.10008.1.1"
_FIND, _MOVE, _GET = (f"1.2.840.10008.5.1.4.1.2.2.{one}" for one in (1, 2, 3))


class DimseArchive:
    """One archive; what fails for the moment is tried again on a new association.

    Args:
        peer: the archive.
        calling: our own AE title, as the archive knows it.
        tls: protects the associations; None leaves them readable.
        plain: lets images cross a network readable.
        receive: port that the archive sends to when C-MOVE is used; None uses C-GET.
        wait_s: before the second attempt; each further wait is twice as long.
    Raises:
        PacsError: pynetdicom is not installed, the title is none, or the way is readable and nobody has allowed it.
    """

    def __init__(
        self,
        peer: Peer,
        calling: str,
        *,
        tls: Tls | None = None,
        plain: bool = False,
        receive: int | None = None,
        wait_s: float = 0.5,
    ) -> None:
        self.receive, self.tls = receive, tls
        self._line = Associations(peer, calling, tls=tls, plain=plain, wait_s=wait_s)

    @property
    def name(self) -> str:
        """The address."""
        return str(self._line.peer)

    def echo(self) -> None:
        """Ask for a sign of life.

        Raises:
            PacsError: there is none.
        """
        from pynetdicom import build_context

        def ask(association: Any) -> None:
            self._line.judge(association.send_c_echo(), "C-ECHO")

        self._line.run([build_context(_VERIFICATION)], ask)

    def studies(self, query: str) -> Iterator[str]:
        """Yield the UIDs of the studies that match, each once.

        Args:
            query: see `parsed_query`.
        Yields:
            Study Instance UIDs.
        """
        filters = parsed_query(query)
        wanted = filters.get("ModalitiesInStudy")
        seen: set[str] = set()
        for found in self._find("STUDY", {"StudyInstanceUID": "", **filters}):
            study = str(found.get("StudyInstanceUID") or "")
            there = found.get("ModalitiesInStudy")
            # The key is optional for an archive (PS3.4 C.6.2.1.2); one that ignores it answers with all studies.
            if wanted and there and not set(wanted.split("\\")) & ({there} if isinstance(there, str) else set(there)):
                continue
            if study and study not in seen:
                seen.add(study)
                yield study

    def fetch(self, study: str, folder: Path) -> bool:
        """Fetch the images of a study, series by series, into a new folder, which appears when all of them are there.

        What an interrupted attempt has fetched is not asked for again.

        Args:
            study: its UID.
            folder: is left as it is when it exists.
        Returns:
            False if the folder was there, or the study has no image.
        Raises:
            PacsError: the archive refuses, cannot be reached, or does not send all it says that it has.
        """
        if folder.exists():
            return False
        waiting = waiting_folder(folder)
        taken = {str(one) for one in _instances_in(waiting)}
        for series in self._find("SERIES", {"StudyInstanceUID": study, "SeriesInstanceUID": "", "Modality": ""}):
            if str(series.get("Modality") or "").strip() in NO_IMAGES:
                continue
            uid = str(series.get("SeriesInstanceUID") or "")
            keys = {"StudyInstanceUID": study, "SeriesInstanceUID": uid, "SOPInstanceUID": "", "SOPClassUID": ""}
            there = list(self._find("IMAGE", keys))
            expected = {str(one.SOPInstanceUID) for one in there if str(one.get("SOPClassUID") or IMAGES[0]) in IMAGES}
            if expected - taken:
                classes = {str(one.get("SOPClassUID") or "") for one in there}
                taken |= self._retrieve(study, uid, classes, waiting)
            if missing := len(expected - taken):
                raise PacsError(
                    f"{self._line.peer} did not send {missing} of {len(expected)} images of a series. See its own log; "
                    "the same command asks for them again."
                )
        return settle(waiting, folder)

    def store(self, objects: Sequence[Dataset]) -> int:
        """Store objects that the archive does not have yet.

        Args:
            objects: reports.
        Returns:
            how many were sent.
        Raises:
            PacsError: the archive did not take one.
        """
        waiting = [one for one in objects if not self._has(one)]
        sent = len(waiting)

        def send(association: Any) -> None:
            while waiting:
                with QUIET:
                    try:
                        status = association.send_c_store(waiting[0])
                    except ValueError:
                        raise PacsError(
                            f"{self._line.peer} takes no objects of the class {waiting[0].SOPClassUID.name}. "
                            "Have it allowed there, or store another format."
                        ) from None
                self._line.judge(status, "C-STORE")
                waiting.pop(0)

        if waiting:
            self._line.run(report_contexts(), send)
        return sent

    def _has(self, one: Dataset) -> bool:
        keys = {name: str(one[name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
        try:
            return any(str(found.get("SOPInstanceUID") or "") for found in self._find("IMAGE", keys))
        except NoContextError:  # a plain storage service; the same object sent twice is one object
            return False

    def _find(self, level: str, keys: dict[str, str]) -> Iterator[Dataset]:
        """Query at one level; all answers are read before the first is given."""
        from pydicom.dataset import Dataset
        from pynetdicom import build_context

        asked = Dataset()
        asked.QueryRetrieveLevel = level
        if not all(value.isascii() for value in keys.values()):
            asked.SpecificCharacterSet = "ISO_IR 192"
        for keyword, value in keys.items():
            setattr(asked, keyword, value)

        def ask(association: Any) -> list[Dataset]:
            found = []
            for status, identifier in association.send_c_find(asked, _FIND):
                if "Status" in status and status.Status in PENDING:
                    if identifier is not None:
                        found.append(identifier)
                else:
                    self._line.judge(status, "C-FIND")
            return found

        with QUIET:
            yield from self._line.run([build_context(_FIND)], ask)

    def _retrieve(self, study: str, series: str, classes: set[str], waiting: Path) -> set[str]:
        """Ask for the images of a series and write what comes; return the UIDs of what came."""
        from pydicom.dataset import Dataset
        from pynetdicom import build_context, build_role, evt

        asked = Dataset()
        asked.QueryRetrieveLevel, asked.StudyInstanceUID, asked.SeriesInstanceUID = "SERIES", study, series
        taken: set[str] = set()

        def take(dataset: Dataset, content: bytes) -> int:
            if str(dataset.StudyInstanceUID) == study:  # nothing that was not asked for
                taken.add(str(dataset.SOPInstanceUID))
                if to_report_on(dataset):
                    write_private(waiting / file_name(dataset), content)
            return TAKEN

        def follow(answers: Iterator[tuple[Any, Any]], what: str) -> None:
            for status, _ in answers:
                if "Status" not in status or status.Status not in PENDING:
                    self._line.judge(status, what)

        if self.receive is None:
            offered = asked_contexts(classes)
            roles = [build_role(one, scp_role=True) for one in sorted({str(one.abstract_syntax) for one in offered})]

            def on_store(event: Any) -> int:
                return take(event.dataset, event.encoded_dataset())

            contexts = [build_context(_GET), *offered]
            self._line.run(
                contexts, lambda association: follow(association.send_c_get(asked, _GET), "C-GET"),
                ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, on_store)],
            )  # fmt: skip
        else:
            title, host = self._line.title, _own_address(self._line.peer)
            protected = self.tls if self.tls and self.tls.cert else None
            with Receiver(title, host, self.receive, take, allow=[Sender(self._line.peer.aet)], tls=protected):
                self._line.run(
                    [build_context(_MOVE)],
                    lambda association: follow(association.send_c_move(asked, title, _MOVE), "C-MOVE"),
                )
        return taken


def _instances_in(folder: Path) -> Iterator[str]:
    """Yield the instance UIDs of files; a damaged one is as if it were not there."""
    from pydicom import dcmread

    for path in sorted(folder.glob("*.dcm")):
        try:
            with QUIET:
                yield str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
        except Exception:  # it is fetched again
            path.unlink()


def _own_address(peer: Peer) -> str:
    """Return this machine's address towards the archive: a receiver listens there and nowhere else."""
    family, _, _, _, address = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as way:
        way.connect(address)  # a datagram socket sends nothing by this
        return str(way.getsockname()[0])
