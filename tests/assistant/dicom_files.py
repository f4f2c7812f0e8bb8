"""Small DICOM images whose header says of whom, when and what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

_USUAL = {"PatientID": "H-4711", "PatientName": "Doe^Jane", "PatientBirthDate": "19500102", "PatientSex": "F",
          "StudyDate": "20240301", "StudyTime": "101500", "Modality": "DX", "BodyPartExamined": "CHEST",
          "ViewPosition": "PA"}  # fmt: skip


def write_image(path: Path, grey: int = 100, **elements: Any) -> Path:
    """Write a 32 x 32 image; elements take the place of the usual ones, None leaves one out.

    Args:
        path: of the file; its folder is made.
        grey: brightness of its middle.
        elements: by keyword.
    Returns:
        The path.
    """
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID = (generate_uid() for _ in range(3))
    dataset.Rows = dataset.Columns = 32
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    pixels = np.zeros((32, 32), np.uint8)
    pixels[8:24, 8:24] = grey
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    for keyword, value in {**_USUAL, **elements}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path
