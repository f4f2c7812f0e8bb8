"""Makes small real DICOM files and raster files in memory."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from assistant.errors import ImageError
from assistant.imaging.load import load_picture
from assistant.imaging.picture import Picture

NAME = "Doe^Jane"
PATIENT_ID = "HOSP-123456"


def _make(
    pixels: np.ndarray | None,
    *,
    syntax: str = ExplicitVRLittleEndian,
    encoded: list[bytes] | None = None,
    drop: tuple[str, ...] = (),
    **elements: Any,
) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = elements.pop("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2")
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = "1.2.3.4"
    dataset.PatientName, dataset.PatientID, dataset.Modality = NAME, PATIENT_ID, "MR"
    dataset.InstitutionName, dataset.StudyDescription = "General Hospital", "Jane's follow-up"
    if pixels is not None:
        rgb = pixels.ndim == 3 and pixels.shape[-1] == 3
        dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if rgb else pixels.shape[-2:]
        dataset.SamplesPerPixel = 3 if rgb else 1
        dataset.PhotometricInterpretation = "RGB" if rgb else "MONOCHROME2"
        if rgb:
            dataset.PlanarConfiguration = 0
        dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        if encoded:
            dataset.PixelData = encapsulate(encoded)
        else:
            data = pixels.tobytes()
            dataset.PixelData = data + b"\0" * (len(data) % 2)
        dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 or encoded else "OW"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some tests want wrong values
        return _write(dataset, elements, drop)


def _write(dataset: Dataset, elements: dict[str, Any], drop: tuple[str, ...]) -> bytes:
    for keyword, value in elements.items():
        if isinstance(value, DataElement):
            dataset.add(value)
        else:
            setattr(dataset, keyword, value)
    for keyword in drop:
        delattr(dataset, keyword)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.fixture
def dicom() -> Callable[..., bytes]:
    """`dicom(pixels, Modality="CT", …)` gives the bytes of a file with those elements; `drop` takes some out."""
    return _make


@pytest.fixture
def raster() -> Callable[..., bytes]:
    """`raster(image, "PNG", …)` gives the bytes of a saved picture."""

    def save(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
        stream = io.BytesIO()
        picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
        picture.save(stream, kind, **options)
        return stream.getvalue()

    return save


@pytest.fixture
def scene() -> np.ndarray:
    """A smooth colour picture, uint8 (48, 64, 3), that lossy formats keep within a few greys."""
    y, x = np.mgrid[:48, :64]
    return np.stack([4 * x, 5 * y, 255 - 2 * x - 2 * y], axis=-1).astype(np.uint8)


@pytest.fixture
def picture_or_refusal() -> Callable[..., Picture | None]:
    """`picture_or_refusal(source)` loads; it gives None for a foreseen ImageError, and lets all else out."""

    def attempt(source: bytes | Path, **options: Any) -> Picture | None:
        try:
            return load_picture(source, salt=b"test", **options)
        except ImageError as error:
            if "unforeseen" in str(error):
                raise
            return None

    return attempt
