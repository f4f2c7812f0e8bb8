"""What `report` needs of an archive, whatever it speaks, and how fetched images are laid down."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER = "medassist"
"""Of every DICOM object that this program writes; what carries it is never reported on."""


class Archive(Protocol):
    """Finds studies, fetches their images, stores reports into them."""

    @property
    def name(self) -> str:
        """The address, for messages."""
        ...

    def studies(self, query: str) -> Iterator[str]:
        """Yield the UIDs of the studies that match `Keyword=value,…`, each once."""
        ...

    def fetch(self, study: str, folder: Path) -> bool:
        """Fetch the images of a study into a new folder, which appears when all are there; False if nothing came."""
        ...

    def store(self, objects: Sequence[Dataset]) -> int:
        """Store the objects that the archive does not have yet; return how many were sent."""
        ...


def study_folder(study: str) -> str:
    """Return the name of a study's folder: 16 hexadecimal digits made of its UID."""
    return hashlib.sha256(study.encode()).hexdigest()[:16]


def file_name(image: Dataset) -> str:
    """Return a name that sorts images as they were taken, and is the same whenever the image comes.

    Args:
        image: with SOP Instance UID; numbers of series and instance where it has them.
    Returns:
        digits and a digest; nothing of the header's texts.
    """
    digest = hashlib.sha256(str(image.SOPInstanceUID).encode()).hexdigest()[:12]
    return f"{_number(image, 'SeriesNumber'):05d}-{_number(image, 'InstanceNumber'):05d}-{digest}.dcm"


def _number(image: Dataset, keyword: str) -> int:
    try:
        return min(99999, max(0, int(image.get(keyword) or 0)))
    except (TypeError, ValueError):
        return 0


def to_report_on(image: Dataset) -> bool:
    """Tell whether an object is an image that this program did not make itself.

    An overlay that was stored into a study must not come back as if it were one of its images.
    """
    pixels = any(one in image for one in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
    return pixels and str(image.get("Manufacturer") or "").strip() != MANUFACTURER


def waiting_folder(folder: Path, *, empty: bool = False) -> Path:
    """Return where a study's images lie until all of them have come; made for the owner alone.

    Args:
        folder: of the study.
        empty: drop what an earlier attempt left.
    Returns:
        the waiting folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    waiting = folder.with_name(f".{folder.name}.part")
    if empty:
        shutil.rmtree(waiting, ignore_errors=True)
    waiting.mkdir(exist_ok=True, mode=0o700)
    return waiting


def settle(waiting: Path, folder: Path) -> bool:
    """Give a whole study its name.

    Args:
        waiting: with its images; an empty one is removed.
        folder: must not exist.
    Returns:
        whether there was an image.
    """
    if not any(waiting.iterdir()):
        shutil.rmtree(waiting)
        return False
    os.replace(waiting, folder)
    return True


def write_private(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, so that it is on the disk whole, or not at all."""
    draft = path.with_name(f".{path.name}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
