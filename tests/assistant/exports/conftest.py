"""A record, and a DICOM image that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from assistant.conversation import NOT_FOR_CLINICAL_USE

RECORD: dict[str, Any] = {
    "study": "0123456789abcdef",
    "key": "feedfeedfeedfeed",
    "inputs": ["scans/a.png"],
    "sections": {
        "technique": "Chest radiograph.",
        "findings": "Nodule <6 mm & clear | lungs^.",
        "impression": "Nodule.",
    },
    "confidence": 0.83,
    "abstained": False,
    "cautions": ["The window was assumed.", NOT_FOR_CLINICAL_USE],
    "evidence": [{"title": "Clear lungs", "text": "Dark\nlungs.", "source": "A card", "licence": "CC0-1.0"}],
    "model": {"name": "tiny", "fingerprint": "feed"},
}


@pytest.fixture
def image(tmp_path: Path) -> Callable[..., Path]:
    """`image(name, Keyword=value, …)` writes a small CT image of one study."""

    def write(name: str = "a.dcm", **elements: Any) -> Path:
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"1.2.3.{len(name)}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2.3.99", "1.2.3.98", "CT"
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Doe^Jane^Q", "H-1|2", "19500102"
        dataset.PatientSex, dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = (
            "F",
            "20240131",
            "0810",
            "A77",
        )
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 16, 24, 1
        dataset.PhotometricInterpretation, dataset.BitsAllocated, dataset.BitsStored = "MONOCHROME2", 8, 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        dataset.PixelData = np.arange(384, dtype=np.uint16).astype(np.uint8).tobytes()
        dataset["PixelData"].VR = "OB"
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return write


@pytest.fixture
def record(image: Callable[..., Path]) -> dict[str, Any]:
    """A record whose input is a DICOM image."""
    return {**RECORD, "inputs": [str(image())]}


@pytest.fixture
def record_of_png(tmp_path: Path) -> dict[str, Any]:
    """A record whose input is a PNG."""
    from PIL import Image

    Image.fromarray(np.arange(384, dtype=np.uint16).astype(np.uint8).reshape(16, 24)).save(tmp_path / "a.png")
    return {**RECORD, "inputs": [str(tmp_path / "a.png")]}


URGENT: dict[str, Any] = {
    **RECORD,
    "template": {
        "name": "pathology", "title": "Histopathology", "chosen_by": "look",
        "headings": {"technique": "Specimen", "findings": "Microscopy", "impression": "Diagnosis"},
    },
    "sections": {**RECORD["sections"], "comparison": "The nodule is larger."},
    "critical": [{"finding": "malignancy", "possible": True, "sentence": "Possible malignancy."}],
    "priors": ["scans/b.png"],
    "priors_found": True,
    "indication": "Cough <b>*bold*</b>",
    "history": "Smoker.",
}  # fmt: skip
"""With a template, a prior, a critical finding, and what was told of the study."""


@pytest.fixture
def urgent() -> dict[str, Any]:
    """`URGENT`."""
    return URGENT
