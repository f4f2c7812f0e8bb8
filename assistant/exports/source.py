"""The images a report was made from, opened again when it is exported.

The ledger holds no identifier, so what an export must say of patient and study comes from the images' own headers, goes
into that export and nowhere else.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.deidentify.shown import shown
from assistant.errors import AssistantError, ExportError

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

LONGEST_SIDE = 900
MOST_PICTURES = 4
_NAMESPACE = uuid.UUID("5b0a4f8e-6c0e-4d57-9b53-9d0d3a7d1c2e")


class Source:
    """The inputs of one report.

    Args:
        inputs: paths, as the record names them.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        self.inputs = [Path(one) for one in inputs]

    @cached_property
    def headers(self) -> list[FileDataset]:
        """The headers of the DICOM images among the inputs; nothing for other pictures and for files that are gone."""
        from pydicom import dcmread

        from assistant.imaging.quiet import QUIET

        found = []
        for path in self.inputs:
            try:
                with QUIET:
                    header = dcmread(path, stop_before_pixels=True)
            except Exception:  # no DICOM, or it is gone: whoever needs it says so
                continue
            if header.get("SOPInstanceUID") and header.get("StudyInstanceUID"):
                found.append(header)
        return found

    @property
    def first(self) -> FileDataset | None:
        """The first header, None if no input is DICOM."""
        return self.headers[0] if self.headers else None

    def dicom(self, name: str) -> list[FileDataset]:
        """Return the headers, for a format that cannot do without.

        Args:
            name: of the format, for the error.
        Returns:
            one or more, all of one study.
        Raises:
            ExportError: no input is DICOM, or they are of several studies.
        """
        if not self.headers:
            raise ExportError(f"{name} belongs into a DICOM study, and the inputs are no DICOM files, or are gone.")
        if len({str(one.StudyInstanceUID) for one in self.headers}) > 1:
            raise ExportError(f"{name} belongs into one DICOM study, and the inputs are of several. Use --group.")
        return self.headers

    def text(self, keyword: str) -> str:
        """Return one value of the first header as text, "" if there is none."""
        return str(self.first.get(keyword) or "").strip(" \0") if self.first is not None else ""

    def pictures(self) -> list[bytes]:
        """Return the pictures as PNG, at most four, as a person should see them, less text that is burned in."""
        from assistant.imaging.load import load_picture

        made = []
        for path in self.inputs[:MOST_PICTURES]:
            try:
                picture = shown(load_picture(path, max_side=LONGEST_SIDE, salt=b"")).to_pil()
            except (AssistantError, OSError):
                continue  # the page does without: the report was made when the file was there
            picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            stream = io.BytesIO()
            picture.save(stream, "PNG")
            made.append(stream.getvalue())
        return made


def made_uuid(record: Mapping[str, Any], part: str) -> uuid.UUID:
    """Return an identifier that is the same whenever the same record is exported, so that storing twice adds nothing.

    Args:
        record: with a `key`, or else a `study`.
        part: what is named, such as "sr".
    Returns:
        a name-based UUID (RFC 9562, version 5).
    """
    return uuid.uuid5(_NAMESPACE, f"{record.get('key') or record.get('study') or ''}\0{part}")


def made_uid(record: Mapping[str, Any], part: str) -> str:
    """Return `made_uuid` as a DICOM UID (PS3.5 B.2)."""
    return f"2.25.{made_uuid(record, part).int}"
