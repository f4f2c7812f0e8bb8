"""One file in, one de-identified file out: DICOM objects, pictures and texts, as bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from assistant.deidentify.burned import Box, TextFinder
from assistant.deidentify.dataset import Change, Deidentifier, own_words
from assistant.deidentify.identifiers import as_bytes, elements, find_identifiers
from assistant.deidentify.pixels import clean_pixels, filled
from assistant.deidentify.scrub import Scrubber
from assistant.errors import DataError
from assistant.imaging.load import load_picture
from assistant.imaging.quiet import QUIET

_DICOMDIR = "1.2.840.10008.1.3.10"
_PLAIN_MODES = {"1": "L", "L": "L", "LA": "RGBA", "RGBA": "RGBA", "PA": "RGBA", "I;16": "I;16"}
_DAMAGED = "Copy or send it again."


@dataclass(frozen=True)
class Made:
    """What a file became."""

    name: str
    """Path below the output folder; it says nothing of the input's name."""
    data: bytes
    changes: list[Change] = field(default_factory=list)


def read_header(source: bytes) -> FileDataset:
    """Read a DICOM object.

    Args:
        source: the file.
    Returns:
        the data set; its values are decoded when they are used.
    Raises:
        DataError: it is damaged, no DICOM object, or a DICOMDIR.
    """
    try:
        dataset = dcmread(io.BytesIO(source), force=True)
        sop = str(dataset.get("SOPClassUID") or "")
        media = str(getattr(dataset, "file_meta", {}).get("MediaStorageSOPClassUID") or "")
    except Exception:  # pydicom's message may quote header values, so it stays here
        raise DataError(f"the DICOM header cannot be read; the file is damaged. {_DAMAGED}") from None
    if media == _DICOMDIR or "DirectoryRecordSequence" in dataset:
        raise DataError("this is a DICOMDIR, which lists patients by name. Give the files that it lists.")
    if not sop or not dataset.get("SOPInstanceUID"):
        raise DataError(f"there is no DICOM object in it that names its class and instance. {_DAMAGED}")
    return dataset


def deidentify_dicom(source: bytes, worker: Deidentifier, finder: TextFinder | None) -> Made:
    """De-identify one DICOM object.

    Args:
        source: the file.
        worker: profile and pseudonyms.
        finder: looks for burned-in text; None leaves the picture as it is.
    Returns:
        the new file: no preamble, a new meta header, pixels equal but for blacked-out text.
    Raises:
        DataError: no DICOM object, or an identifier of its header would still be in the result.
        ImageError: its picture cannot be decoded and so not be checked.
    """
    with QUIET:
        dataset = read_header(source)
        keep_institution = "institution" in worker.profile.retain
        identifiers = find_identifiers(dataset, keep_institution)
        scrubber = Scrubber(identifiers)
        _renew_meta(dataset)
        changes = worker.apply(dataset, scrubber)
        work = clean_pixels(dataset, source, as_bytes(identifiers), finder)
        if work.checked:
            dataset.BurnedInAnnotation = "NO"
        if work.boxes or work.rewritten:
            done = f"{work.boxes} places blacked out" + (", stored uncompressed" if work.rewritten else "")
            changes.append(Change("(7FE0,0010)", "PixelData", "OW", "", done))
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        data = _written(dataset)
        _check(data, scrubber, own_words(worker.profile))
    return Made(_name(dataset, worker), data, changes)


def _renew_meta(dataset: FileDataset) -> None:
    """Keep the transfer syntax of the meta header (PS3.10 7.1) and nothing else of it; empty the preamble."""
    stated = getattr(dataset, "file_meta", FileMetaDataset()).get("TransferSyntaxUID")
    implicit, little = dataset.original_encoding
    plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = stated or plain
    dataset.preamble = bytes(128)


def _written(dataset: FileDataset) -> bytes:
    stream = io.BytesIO()
    try:
        dataset.save_as(stream, enforce_file_format=True)
    except Exception as error:  # its message may quote values
        raise DataError(f"the cleaned object cannot be written ({type(error).__name__}). {_DAMAGED}") from None
    return stream.getvalue()


def _check(data: bytes, scrubber: Scrubber, own: frozenset[str]) -> None:
    """Read the result again and look for the identifiers of its header in every value but UIDs and our own words.

    Raises:
        DataError: one was found. Nothing may be written then.
    """
    for element in elements(dcmread(io.BytesIO(data), stop_before_pixels=True)):
        if element.VR in ("UI", "SQ"):
            continue
        value = element.value
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        if text not in own and scrubber.names(text):
            raise DataError(
                f"an identifier would stay in {element.keyword or element.tag}; nothing was written. "
                "Please report this as a fault of the program."
            )


def _name(dataset: FileDataset, worker: Deidentifier) -> str:
    """Return patient/study/instance.dcm, made of digests."""

    def short(keyword: str) -> str:
        return worker.pseudonyms.digest("name", str(dataset.get(keyword) or keyword)).hex()[:16]

    return f"{dataset.get('PatientID') or 'no-patient'}/{short('StudyInstanceUID')}/{short('SOPInstanceUID')}.dcm"


def deidentify_raster(source: bytes, worker: Deidentifier, finder: TextFinder | None) -> Made:
    """Write a picture again as PNG: its pixels, less burned-in text, and nothing of its metadata.

    Args:
        source: the file.
        worker: names the result.
        finder: looks for burned-in text; None leaves the picture as it is.
    Returns:
        the new file.
    Raises:
        ImageError: it is damaged or too large.
        DataError: it has several pages.
    """
    from PIL import Image, ImageOps

    shown = load_picture(source, frame=0, salt=b"").pixels
    with QUIET, Image.open(io.BytesIO(source)) as opened:
        if getattr(opened, "n_frames", 1) > 1:
            raise DataError(f"it has {opened.n_frames} pages; save each as a picture of its own.")  # type: ignore[attr-defined]
        upright = ImageOps.exif_transpose(opened)
        pixels = np.asarray(upright.convert(_PLAIN_MODES.get(upright.mode, "RGB")))
    boxes = finder.find(shown) if finder else []
    stream = io.BytesIO()
    Image.fromarray(_filled(pixels, boxes)).save(stream, "PNG")
    name = f"pictures/{worker.pseudonyms.digest('picture', source.hex()).hex()[:16]}.png"
    changes = [Change("", "", "", "", "metadata left behind")]
    if boxes:
        changes.append(Change("", "", "", "", f"{len(boxes)} places blacked out"))
    return Made(name, stream.getvalue(), changes)


def _filled(pixels: np.ndarray, boxes: list[Box]) -> np.ndarray:
    """Black the boxes out; an alpha channel becomes opaque there."""
    made = filled(pixels, boxes, 0)
    if made.ndim == 3 and made.shape[2] == 4:
        for left, top, right, bottom in boxes:
            made[top:bottom, left:right, 3] = 255
    return made


def deidentify_text(source: bytes, worker: Deidentifier, scrubber: Scrubber) -> Made:
    """Scrub a report's text.

    Args:
        source: the file, UTF-8 or Latin-1.
        worker: names the result.
        scrubber: knows the identifiers of the run.
    Returns:
        the text in UTF-8.
    """
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = source.decode("latin-1")
    clean, count = scrubber.scrub(text)
    name = f"texts/{worker.pseudonyms.digest('text', text).hex()[:16]}.txt"
    return Made(name, clean.encode(), [Change("", "", "", "", f"{count} places scrubbed")])
