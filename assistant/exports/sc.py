"""What a report rests on, as a DICOM Secondary Capture in the images' own study (PS3.3 A.8.1).

The heat over the current picture, a box around its strongest region, and below the picture, never over it, a band that
says what this is. The header says so too, and names the image that it was made from.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant import __version__
from assistant.conversation import NOT_FOR_CLINICAL_USE
from assistant.deidentify.shown import cleans, shown
from assistant.errors import ExportError
from assistant.exports.codes import SOURCE_IMAGE
from assistant.exports.layout import model_line
from assistant.exports.source import Source, made_uid
from assistant.exports.study import copy_study
from assistant.imaging.heatmap import MEANING, boxed, coloured, region
from assistant.imaging.quiet import QUIET

if TYPE_CHECKING:
    from PIL.Image import Image
    from pydicom.dataset import Dataset

    from assistant.imaging.picture import Picture

DESCRIPTION = "AI draft overlay, unverified"
NOTICE = ("AI DRAFT - NOT FOR DIAGNOSIS", "Colour: what the model looked at, not what is ill.")
"""Burned in below the picture; ASCII, so that any font has it."""
_CLASS = "1.2.840.10008.5.1.4.1.1.7"
_SERIES_NUMBER = 9903
_LEAST, _MOST = 512, 1536
"""Longer side of the picture: small ones are enlarged by a whole factor, large ones reduced."""


def render(record: Mapping[str, Any], source: Source) -> bytes:
    """Write a report's overlay as Secondary Capture.

    Args:
        record: as the ledger keeps it, with `heat`.
        source: DICOM images of one study.
    Returns:
        the file; the same record gives the same instance UID.
    Raises:
        ExportError: the inputs are no DICOM images of one study, or the record has no heat.
    """
    heat = record.get("heat")
    if not heat:
        raise ExportError(
            "sc shows what a report rests on. This one has none: nothing was drafted, or it was drafted before sc was "
            "asked for. Then take another --out."
        )
    images = source.dicom("sc")
    picture, origin = _shown(source, images, heat)
    pixels = np.asarray(_page(shown(picture).to_pil(), np.asarray(heat["nats"], dtype=np.float32)))
    with QUIET:
        return _written(record, images[0], origin, pixels)


def _shown(source: Source, images: list[Any], heat: Mapping[str, Any]) -> tuple[Picture, Dataset]:
    """Return the picture that the heat is of, as the model saw it, and the header it came from."""
    from pydicom import dcmread

    from assistant.imaging.images import load_volume
    from assistant.imaging.load import load_picture

    number = heat.get("slice")
    if number is not None:
        slices = load_volume(source.inputs)
        found = [one for one in slices if one.section is not None and one.section.number == number]
        if not found:
            raise ExportError("sc belongs to one slice of the series, and that slice is gone. Fetch the series again.")
        return found[0], next((one for one in images if one.get("InstanceNumber") == number), images[0])
    path = Path(source.inputs[-1])
    with QUIET:
        return load_picture(path, salt=b""), dcmread(path, stop_before_pixels=True)


def _page(image: Image, nats: np.ndarray) -> Image:
    """Return the picture with its heat, its region and the notice below."""
    from PIL import Image as Images
    from PIL import ImageDraw, ImageFont

    longest = max(image.size)
    scale = -(-_LEAST // longest) if longest < _LEAST else min(1.0, _MOST / longest)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Images.Resampling.BICUBIC)
    box = region(nats)
    shown = boxed(coloured(image, nats), box) if box else image
    text = NOTICE if box else (NOTICE[0], "No single part of the picture stands out.")
    size = max(14, max(shown.size) // 36)
    font = ImageFont.load_default(size=size)
    width = max(shown.width, *(round(font.getlength(line)) + 2 * size for line in text))
    page = Images.new("RGB", (width, shown.height + 4 * size), (0, 0, 0))
    page.paste(shown, ((width - shown.width) // 2, 0))
    pen = ImageDraw.Draw(page)
    for row, line in enumerate(text):
        pen.text((size, shown.height + size // 2 + row * round(1.6 * size)), line, fill=(255, 255, 255), font=font)
    return page


def _written(record: Mapping[str, Any], first: Dataset, origin: Dataset, pixels: np.ndarray) -> bytes:
    """Put header and pixels together."""
    from pydicom.dataset import Dataset as New
    from pydicom.dataset import FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import ExplicitVRLittleEndian

    now = datetime.datetime.now()
    made = New()
    copy_study(first, made)
    made.SOPClassUID, made.SOPInstanceUID = _CLASS, made_uid(record, "sc")
    made.SeriesInstanceUID, made.SeriesNumber = made_uid(record, "sc series"), _SERIES_NUMBER
    made.Modality, made.SeriesDescription, made.InstanceNumber = "OT", DESCRIPTION, 1
    made.Manufacturer, made.ManufacturerModelName, made.SoftwareVersions = "medassist", "medassist", __version__
    made.ConversionType, made.ContentQualification = "WSD", "RESEARCH"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.DateOfSecondaryCapture = made.ContentDate = f"{now:%Y%m%d}"
    made.TimeOfSecondaryCapture = made.ContentTime = f"{now:%H%M%S}"
    made.PatientOrientation = None
    made.Laterality = origin.get("Laterality")  # type 2C: there, though empty where the image says none
    made.DerivationDescription = f"Occlusion heat. {model_line(record) or 'Model unknown.'} {MEANING}"
    made.ImageComments = f"Made by a program (artificial intelligence), not verified. {NOT_FOR_CLINICAL_USE}"
    if cleans():  # whether pixels name the patient; the notice does not
        made.BurnedInAnnotation = "NO"
    elif "BurnedInAnnotation" in origin:
        made.BurnedInAnnotation = origin.BurnedInAnnotation
    if origin.get("LossyImageCompression") == "01":
        made.LossyImageCompression = "01"
    made.SourceImageSequence = Sequence([_reference(origin)])
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.Rows, made.Columns = pixels.shape[:2]
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    made["PixelData"].VR = "OB"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _reference(image: Dataset) -> Dataset:
    """Name the image that was worked on."""
    from pydicom.dataset import Dataset as New
    from pydicom.sequence import Sequence

    purpose = New()
    purpose.CodeValue, purpose.CodingSchemeDesignator = SOURCE_IMAGE.value, SOURCE_IMAGE.scheme
    purpose.CodeMeaning = SOURCE_IMAGE.meaning
    item = New()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = Sequence([purpose])
    return item
