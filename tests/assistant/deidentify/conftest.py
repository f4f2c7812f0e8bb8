"""A DICOM object with an identifier planted wherever one can stand."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

SECRETS = (
    "ZAPHOD",
    "Zaphod",
    "BEEBLEBROX",
    "Beeblebrox",
    "MRN4711881",
    "4711881",
    "Magrathea",
    "9.8.7.6.5.4",
    "19520311",
)
"""Whatever of these stands in an output, a patient could be found by."""


def _planted(**more: object) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.9.8.7.6.5.4.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.9.8.7.6.5.4.2", "1.2.9.8.7.6.5.4.3"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "BEEBLEBROX^Zaphod", "MRN4711881", "19520311"
    dataset.OtherPatientIDs, dataset.Modality, dataset.StudyDate = "4711881", "OT", "20240131"
    dataset.InstitutionName, dataset.ReferringPhysicianName = "Magrathea Clinic", "Beeblebrox^Dr"
    _plant_every_vr(dataset)
    item = Dataset()
    _plant_every_vr(item)
    inner = Dataset()
    inner.PatientName, inner.ReferencedSOPInstanceUID = "Zaphod^Beeblebrox", "1.2.9.8.7.6.5.4.9"
    inner.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedImageSequence = Sequence([inner])
    dataset.AnatomicRegionSequence = Sequence([item])  # a sequence that the profile leaves in
    for owner in (dataset, item):
        block = owner.private_block(0x0029, "ZAPHOD PRIVATE", create=True)
        block.add_new(0x01, "LO", "Beeblebrox")
        block.add_new(0x02, "OB", b"MRN4711881")
    dataset.add_new(0x60000010, "US", 8)
    dataset.add_new(0x60003000, "OW", b"Zaphod\0\0")
    dataset.add_new(0x60004000, "LT", "Beeblebrox")
    dataset.add_new(0x50000022, "LO", "Zaphod")
    dataset.add_new(0xFFFCFFFC, "OB", b"Beeblebrox")
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    return dataset


def _plant_every_vr(dataset: Dataset) -> None:
    """Set attributes that no line of the table names, one or more of each string representation, and binary ones."""
    dataset.BodyPartExamined = "ZAPHOD"  # CS
    dataset.ManufacturerModelName = "Model Zaphod"  # LO
    dataset.ConvolutionKernel = "Beeblebrox"  # SH
    dataset.PixelPresentation = "BEEBLEBROX"  # CS
    dataset.SeriesNumber = "4711881"  # IS
    dataset.SliceThickness = "4711881"  # DS
    dataset.CodeMeaning = "as seen by Zaphod Beeblebrox"  # LO
    dataset.LongCodeValue = "MRN4711881"  # UC
    dataset.URNCodeValue = "urn:Zaphod"  # UR
    dataset.ICCProfile = b"desc Zaphod!"  # OB
    dataset.ImageComments = "Beeblebrox, born 11.03.1952"  # LT
    dataset.add_new(0x00081195, "UI", "1.2.9.8.7.6.5.4.7")
    dataset.FrameReferenceDateTime = "19520311101010"  # DT
    dataset.AcquisitionDate, dataset.AcquisitionTime = "19520311", "101010"  # DA, TM
    dataset.RetrieveAETitle = "ZAPHOD"  # AE
    dataset.OperatorsName = "Beeblebrox^Zaphod"  # PN
    dataset.DerivationDescription = "Zaphod"  # ST
    dataset.TextValue = "Dr. Beeblebrox called 030-1234567"  # UT
    dataset.add_new(0x0072006F, "UN", b"Zaphod")


def _with_picture(dataset: Dataset, pixels: np.ndarray) -> Dataset:
    colour = pixels.ndim == 3
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    return dataset


def _saved(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.SourceApplicationEntityTitle = "ZAPHOD"
    dataset.preamble = b"Beeblebrox".ljust(128)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.fixture
def planted() -> Callable[..., Dataset]:
    """`planted(Keyword=value, …)` gives the data set, without pixels."""
    return _planted


@pytest.fixture
def with_picture() -> Callable[[Dataset, np.ndarray], Dataset]:
    """Give a data set uint8 or uint16 pixels, (H, W) or (H, W, 3)."""
    return _with_picture


@pytest.fixture
def saved() -> Callable[..., bytes]:
    """Give the bytes of a file whose preamble and meta header hold secrets too."""
    return _saved


@pytest.fixture
def labelled() -> np.ndarray:
    """A grey ramp, uint8 (160, 320), with a name written into it; columns from 200 on are free of text."""
    ramp = np.tile(np.linspace(40, 90, 320).astype(np.uint8), (160, 1))
    picture = Image.fromarray(ramp)
    font = ImageFont.load_default(size=22)
    ImageDraw.Draw(picture).text((12, 20), "ZAPHOD 4711881", fill=250, font=font)
    return np.array(picture)


@pytest.fixture
def secrets() -> tuple[str, ...]:
    """Whatever must not survive."""
    return SECRETS
