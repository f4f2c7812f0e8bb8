"""An archive over DICOMweb (PS3.18): find studies, fetch their images, store reports into them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from assistant.errors import PacsError
from assistant.imaging.quiet import QUIET
from assistant.pacs.archive import file_name, settle, to_report_on, waiting_folder, write_private
from assistant.pacs.login import read_login
from assistant.pacs.peer import LOOPBACK
from assistant.pacs.query import parsed_query

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PAGE = 100
"""Studies that are asked for at once."""
ATTEMPTS = 4
_STUDY_UID = "0020000D"
T = TypeVar("T")


class WebArchive:
    """One DICOMweb service; requests that fail for the moment are tried again.

    Args:
        url: of the service's root, such as https://archive.example/dicom-web.
        auth: file with one line, `Bearer TOKEN` or `name:password`; None for a service without login.
    Raises:
        PacsError: dicomweb-client is not installed, the address is plain HTTP to another machine, or the file is bad.
    """

    def __init__(self, url: str, auth: Path | None = None) -> None:
        try:
            import requests
            from dicomweb_client.api import DICOMwebClient
        except ImportError:
            raise PacsError("DICOMweb needs dicomweb-client. Install it: pip install 'medassist[pacs]'.") from None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PacsError(f"{url} is no address of a DICOMweb service, such as https://archive.example/dicom-web.")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise PacsError(f"{url} is not encrypted, and images would cross the network readable. Use https.")
        session = requests.Session()
        login = read_login(auth) if auth else None
        if isinstance(login, str):
            session.headers["Authorization"] = login
        else:
            session.auth = login
        self.url = url
        self._client = DICOMwebClient(url, session=session)
        self._client.set_http_retry_params(retry=True, max_attempts=ATTEMPTS, wait_exponential_multiplier=200)

    @property
    def name(self) -> str:
        """The address."""
        return self.url

    def studies(self, query: str) -> Iterator[str]:
        """Yield the UIDs of the studies that match, each once, page by page.

        Args:
            query: `Keyword=value,…` of study level, such as `Modality=CR,StudyDate=20240101-20240131`; "" for all.
        Yields:
            Study Instance UIDs.
        """
        filters = parsed_query(query)
        seen: set[str] = set()
        offset = 0
        while True:
            page = self._ask(lambda: self._client.search_for_studies(search_filters=filters, limit=PAGE, offset=offset))  # noqa: B023 - called at once
            found = [str(one[_STUDY_UID]["Value"][0]) for one in page if one.get(_STUDY_UID, {}).get("Value")]
            fresh = [one for one in found if one not in seen]
            yield from fresh
            seen.update(fresh)
            if len(page) < PAGE or not fresh:
                return
            offset += len(page)

    def fetch(self, study: str, folder: Path) -> bool:
        """Fetch the images of a study into a new folder, which appears when all of them are there.

        Args:
            study: its UID.
            folder: is left as it is when it exists.
        Returns:
            False if the folder was there, or the study has no image.
        """
        if folder.exists():
            return False
        with QUIET:
            objects = self._ask(lambda: self._client.retrieve_study(study, media_types=(("application/dicom", "*"),)))
            images = [one for one in objects if to_report_on(one)]
            waiting = waiting_folder(folder, empty=True)
            for image in images:
                stream = io.BytesIO()
                image.save_as(stream, enforce_file_format=True)
                write_private(waiting / file_name(image), stream.getvalue())
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
        new = [one for one in objects if not self._has(one)]
        if new:
            with QUIET:
                answer = self._ask(lambda: self._client.store_instances(new))
            failed = answer.get("FailedSOPSequence") or ()
            if len(failed):
                raise PacsError(f"{self.url} refused {len(failed)} of {len(new)} reports. See the archive's own log.")
        return len(new)

    def _has(self, one: Dataset) -> bool:
        filters = {"SOPInstanceUID": str(one.SOPInstanceUID)}
        return bool(
            self._ask(lambda: self._client.search_for_instances(str(one.StudyInstanceUID), search_filters=filters))
        )

    def _ask(self, request: Callable[[], T]) -> T:
        """Make a request, and say what is wrong in words that quote no header."""
        try:
            return request()
        except Exception as error:  # of requests, of the retrying around it, of a malformed answer
            status = getattr(getattr(error, "response", None), "status_code", None)
            what = f"answered {status}" if status else f"gave no usable answer ({type(error).__name__})"
            raise PacsError(
                f"{self.url} {what}. Check address, login and network; the same command goes on where it stopped."
            ) from None
