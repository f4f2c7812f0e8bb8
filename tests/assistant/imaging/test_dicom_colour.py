from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut
from pydicom.uid import ExplicitVRBigEndian

from assistant.errors import ImageError
from assistant.imaging.load import load_picture

BARS = [(255, 0, 0), (255, 128, 128), (0, 255, 0), (128, 255, 128), (0, 0, 255)]


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_jpeg_lossy_gdcm.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_jls_lossy_line.dcm",
        "SC_rgb_jls_lossy_sample.dcm",
        "SC_rgb_rle.dcm",
        "SC_rgb_rle_16bit.dcm",
        "SC_rgb_rle_32bit.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
    ],
)
def test_one_picture_looks_the_same_in_every_syntax(name):
    pixels = load_picture(get_testdata_file(name, download=False)).pixels
    assert pixels.shape == (100, 100, 3)
    for bar, colour in enumerate(BARS):
        middle = pixels[10 * bar + 5, 50].astype(int)
        assert np.abs(middle - colour).max() <= 6, f"bar {bar} is {middle}"


def test_rgb_of_both_planar_configurations(dicom, scene):
    data = dicom(scene, Modality="ES")
    assert (load_picture(data).pixels == scene).all()
    planes = np.ascontiguousarray(scene.transpose(2, 0, 1))
    planar = dicom(scene, PixelData=planes.tobytes(), PlanarConfiguration=1)
    assert (load_picture(planar).pixels == scene).all()


def test_a_window_for_colour_is_refused(dicom, scene):
    with pytest.raises(ImageError, match=r"window \(40.0, 400.0\) was asked for, but the picture is in colour"):
        load_picture(dicom(scene), window=(40, 400))


def palette(colours, bits):
    wide = np.array(colours, "<u2") * (257 if bits == 16 else 1)
    elements = {}
    for channel, name in enumerate(("Red", "Green", "Blue")):
        data = wide[:, channel].astype("<u2" if bits == 16 else "u1").tobytes()
        item = Dataset()
        item.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [len(colours), 2, bits])
        item.add_new(f"{name}PaletteColorLookupTableData", "OW", data + b"\0" * (len(data) % 2))
        elements.update({e.keyword: e for e in item})
    return elements


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_palettes_map_values_from_the_first_entry_on(dicom, bits, dtype):
    colours = [(255, 0, 0), (0, 255, 0), (10, 20, 30)]
    values = np.array([[0, 2, 3, 4, 200]], dtype)
    data = dicom(values, PhotometricInterpretation="PALETTE COLOR", **palette(colours, bits))
    shown = load_picture(data).pixels[0]
    assert [tuple(p) for p in shown.tolist()] == [colours[0], colours[0], colours[1], colours[2], colours[2]]


def test_a_real_palette_agrees_with_pydicom():
    path = get_testdata_file("examples_palette.dcm", download=False)
    dataset = pydicom.dcmread(path)
    theirs = apply_color_lut(dataset.pixel_array, dataset)
    assert theirs.dtype == np.uint16
    assert (load_picture(path).pixels == theirs >> 8).all()


def test_segmented_palettes_are_expanded(dicom):
    values = np.arange(16, dtype=np.uint8).reshape(4, 4)
    elements = {}
    for name, top in (("Red", 255), ("Green", 0), ("Blue", 100)):
        item = Dataset()
        item.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [16, 0, 8])
        segments = bytes([0, 1, 0, 1, 15, top])  # one discrete entry of 0, then 15 steps in a line to `top`
        item.add_new(f"Segmented{name}PaletteColorLookupTableData", "OW", segments)
        elements.update({e.keyword: e for e in item})
    shown = load_picture(dicom(values, PhotometricInterpretation="PALETTE COLOR", **elements)).pixels
    assert shown[0, 0].tolist() == [0, 0, 0]
    assert shown[3, 3].tolist() == [255, 0, 100]
    assert (np.diff(shown[..., 0].reshape(-1).astype(int)) >= 0).all()


def test_damaged_palettes_are_refused(dicom):
    values = np.zeros((2, 2), np.uint8)
    good = palette([(1, 2, 3)] * 9, 8)
    missing = {k: v for k, v in good.items() if "Data" not in k}
    kind = {"PhotometricInterpretation": "PALETTE COLOR"}
    with pytest.raises(ImageError, match="colour tables of the DICOM image are missing or damaged"):
        load_picture(dicom(values, **kind, **missing))
    with pytest.raises(ImageError, match=r"the palette of the DICOM image is described by \[\], not 3 numbers"):
        load_picture(dicom(values, **kind))
    short = Dataset()
    short.add_new("GreenPaletteColorLookupTableData", "OW", b"\1\2\3\4")
    with pytest.raises(ImageError, match="the green palette has 4 bytes for 9 entries"):
        load_picture(dicom(values, **kind, **good | {e.keyword: e for e in short}))


def test_big_endian_pixels_and_palettes(dicom):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    big = dicom(values, syntax=ExplicitVRBigEndian, PixelData=values.astype(">u2").tobytes())
    assert (load_picture(big).pixels == load_picture(dicom(values)).pixels).all()
