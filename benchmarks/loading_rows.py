"""Reading large pictures for a model whose input is small: from a file's bytes to 224 pixels of RGB."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from benchmarks.suite import SETTINGS, Measured, side_by_side

SIDE = 224
"""Of the model's input."""
_MOST = 2.0
"""Greys of 255 by which the picture may differ in the mean."""
_PYDICOM = "pydicom's documented way: pixel_array, modality and VOI LUT in float64, 8 bits, then PIL's resize"
_PIL = "PIL: decode all pixels, then resize"


@cache
def radiograph(width: int, height: int) -> np.ndarray:
    """Return a made-up radiograph: smooth parts and grain, 12 bits in uint16."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    smooth = np.zeros((height, width), np.float32)
    for _ in range(12):
        column, row, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.05, 0.4) * width
        smooth += rng.uniform(-1, 1) * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * size * size))
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 3400 + 300
    return np.asarray((smooth + rng.normal(0, 12, smooth.shape)).clip(0, 4095).astype(np.uint16))


def dicom_bytes(pixels: np.ndarray, *, rle: bool) -> bytes:
    """Return a digital radiograph as a DICOM file, raw or run-length encoded."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, RLELossless, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.WindowCenter, dataset.WindowWidth = 2000, 3400
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = pixels.tobytes()
    if rle:
        dataset.compress(RLELossless, encoding_plugin="pydicom")
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def with_pydicom(data: bytes) -> np.ndarray:
    """Read a DICOM file as pydicom's documentation shows it, with no decoder besides its own."""
    from PIL import Image
    from pydicom import dcmread
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
    from pydicom.pixels.utils import pixel_array

    dataset = dcmread(io.BytesIO(data))
    plugin = "pydicom" if dataset.file_meta.TransferSyntaxUID.is_compressed else ""
    values = apply_modality_lut(pixel_array(dataset, decoding_plugin=plugin), dataset).astype(np.float64)
    shown = apply_voi_lut(values, dataset).astype(np.float64)
    shown = (shown - shown.min()) / np.ptp(shown) * 255
    return squared(Image.fromarray(shown.astype(np.uint8)).convert("RGB"))


def with_pil(data: bytes) -> np.ndarray:
    """Read a picture with all its pixels."""
    from PIL import Image

    return squared(Image.open(io.BytesIO(data)).convert("RGB"))


def ours(data: bytes) -> np.ndarray:
    """Read a picture as the worklist does with `picture_side` at twice the model's side."""
    from assistant.imaging.load import load_picture

    return squared(load_picture(data, max_side=2 * SIDE, salt=b"").to_pil())


def squared(image: object) -> np.ndarray:
    """Pad to a square and resize to the model's input as its processor does: bicubic."""
    from PIL import Image

    from assistant.imaging.picture import Picture

    assert isinstance(image, Image.Image)
    whole = Picture(np.asarray(image)).squared()
    return np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _row(name: str, peer: str, theirs: Callable[[bytes], np.ndarray], data: bytes, wanted: float) -> Measured:
    slow, fast = side_by_side(lambda: theirs(data), lambda: ours(data))
    error = float(np.abs(theirs(data).astype(int) - ours(data).astype(int)).mean())
    gate = f"mean error {error:.2f} of 255, at most {_MOST:g}"
    return Measured(name, peer, slow, fast, gate, error <= _MOST, wanted, None, f"{len(data) / 1e6:.1f} MB")


def dicom_load(device: str) -> Sequence[Measured]:
    """A radiograph of 2560 x 2048 pixels in 12 bits, raw and run-length encoded."""
    pixels = radiograph(640, 512) if SETTINGS.quick else radiograph(2560, 2048)
    return [
        _row("dicom_load raw", _PYDICOM, with_pydicom, dicom_bytes(pixels, rle=False), 10.0),
        _row("dicom_load RLE", _PYDICOM, with_pydicom, dicom_bytes(pixels, rle=True), 3.0),
    ]


def jpeg_load(device: str) -> Sequence[Measured]:
    """A JPEG of 1920 x 1536 pixels."""
    from PIL import Image

    grey = (radiograph(640, 512) if SETTINGS.quick else radiograph(1920, 1536)) >> 4
    stream = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).convert("RGB").save(stream, "JPEG", quality=90)
    return [_row("jpeg_load", _PIL, with_pil, stream.getvalue(), 2.5)]
