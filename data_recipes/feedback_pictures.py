"""Pictures of feedback: from the database where people agreed, else from a folder, by the hash of their pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from assistant.deidentify.shown import shown
from assistant.errors import AssistantError, DataError
from assistant.feedback.records import Feedback, KeptPicture
from assistant.feedback.store import FeedbackStore

_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".dcm", ".dicom", ""}


class Placer:
    """Puts the pictures of records into the build.

    Args:
        store: holds the pixels that people agreed to.
        folder: of the build, for pictures.
        found: folder in which other pictures are looked for by their hash; None looks nowhere.
        wanted: ids of the records.
    """

    def __init__(self, store: FeedbackStore, folder: Path, found: Path | None, wanted: set[str]) -> None:
        self._folder = folder
        self._there: set[str] = set()
        needed: set[str] = set()
        for one in store.all(pictures=True):
            if one.id in wanted:
                needed |= {picture.content_id for picture in one.pictures}
                for picture in one.pictures:
                    self._keep(picture)
        for path in _images_in(found) if found and needed - self._there else ():
            self._match(path, needed - self._there)

    def images(self, one: Feedback) -> list[str] | None:
        """Return the pictures of a record as the data file names them; None where one is missing."""
        names = [picture.content_id for picture in one.pictures]
        return [f"images/{name}.png" for name in names] if set(names) <= self._there else None

    def _keep(self, picture: KeptPicture) -> None:
        if picture.png is not None and picture.content_id not in self._there:
            self._write(picture.content_id, picture.png)

    def _match(self, path: Path, missing: set[str]) -> None:
        """Take a file whose picture is one of the missing, as it is seen by default."""
        from assistant.imaging.load import load_picture

        try:
            picture = load_picture(path)
        except AssistantError:
            return
        if picture.content_id in missing:
            buffer = io.BytesIO()
            shown(picture).to_pil().save(buffer, "PNG")
            self._write(picture.content_id, buffer.getvalue())

    def _write(self, name: str, png: bytes) -> None:
        self._folder.mkdir(exist_ok=True)
        (self._folder / f"{name}.png").write_bytes(png)
        self._there.add(name)


def _images_in(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise DataError(f"--pictures {folder} is no folder; check the path.")
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix.lower() in _ENDINGS)
