"""`HeldSource`: the images of a report that was drafted on the page, whose files are gone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from assistant.deidentify.shown import can_clean, shown
from assistant.exports.source import LONGEST_SIDE, MOST_PICTURES, Source
from assistant.imaging.picture import Picture

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset


class HeldSource(Source):
    """Headers and pixels in memory, in place of files.

    Args:
        headers: of the DICOM images; they name the patient, so they are held no longer than the draft.
        pictures: all images.
    """

    def __init__(self, headers: Sequence[FileDataset], pictures: Sequence[Picture]) -> None:
        super().__init__(())
        self.headers = list(headers)
        self._pictures = tuple(pictures)

    def pictures(self) -> list[bytes]:
        """Return the pictures as PNG, as `Source` does; none where text in them could not be looked for."""
        made = []
        for picture in self._pictures[:MOST_PICTURES] if can_clean() else ():
            image = shown(picture).to_pil()
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            stream = io.BytesIO()
            image.save(stream, "PNG")
            made.append(stream.getvalue())
        return made
