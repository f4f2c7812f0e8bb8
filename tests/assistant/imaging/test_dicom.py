from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from assistant.errors import ImageError
from assistant.imaging.load import load_picture
from assistant.imaging.window import PRESETS

RAMP = np.arange(-1024, 3072, dtype=np.int16).reshape(64, 64)
CT = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": 0}


def grey(data, **options):
    return load_picture(data, **options).pixels[..., 0]


def at(picture, hounsfield):
    return int(picture.reshape(-1)[hounsfield + 1024])


@pytest.mark.parametrize(
    "name",
    [
        "693_J2KI.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "MR_small.dcm",
        "examples_overlay.dcm",
        "dicomdirtests/77654033/CR1/6154",
    ],
)
def test_windows_of_real_files_agree_with_pydicom(name):
    path = get_testdata_file(name, download=False)
    dataset = pydicom.dcmread(path)
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    stored = (0, 2**dataset.BitsStored - 1)
    if dataset.PixelRepresentation:
        stored = (-(2 ** (dataset.BitsStored - 1)), 2 ** (dataset.BitsStored - 1) - 1)
    low, high = (v * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0)) for v in stored)
    theirs = (values - low) / (high - low) * 255
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        theirs = 255 - theirs
    assert np.abs(grey(path) - theirs).max() <= 0.501


def test_monochrome1_is_inverted(dicom):
    window = {"WindowCenter": 1000, "WindowWidth": 3000}
    normal, inverted = (
        grey(dicom(RAMP, PhotometricInterpretation=kind, **window)) for kind in ("MONOCHROME2", "MONOCHROME1")
    )
    assert (normal == 255 - inverted).all()
    assert at(normal, -1024) == 0


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_shows_its_band(dicom, name):
    center, width = PRESETS[name]
    shown = grey(dicom(RAMP, **CT), window=name)
    lowest = int(center - width / 2) - 1
    assert lowest < -1024 or at(shown, lowest) == 0
    assert at(shown, int(center + width / 2)) == 255
    assert at(shown, int(center)) == pytest.approx(128 + 127 / (width - 1), abs=1)


def test_rescale_comes_before_the_window(dicom):
    data = dicom(RAMP.astype(np.uint16) + 1024, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024)
    assert (grey(data, window="lung") == grey(dicom(RAMP, **CT), window="lung")).all()


def test_windows_of_the_header_by_index_and_by_name(dicom):
    data = dicom(
        RAMP,
        **CT,
        WindowCenter=[40, -600],
        WindowWidth=[400, 1500],
        WindowCenterWidthExplanation=["SOFT_TISSUE", "LUNG VIEW"],
    )
    first, second = grey(data, window=(40, 400)), grey(data, window=(-600, 1500))
    assert (grey(data) == first).all()
    assert (grey(data, window=0) == first).all()
    assert (grey(data, window=1) == second).all()
    assert (grey(data, window="1") == second).all()
    assert (grey(data, window="Lung view") == second).all()
    with pytest.raises(ImageError, match="window 2 was asked for; the header has 0 to 1"):
        load_picture(data, window=2)


def test_an_unknown_window_lists_the_presets(dicom):
    with pytest.raises(ImageError, match=r"no window named 'spleen'. Choose one of brain, subdural, .*tissue, perc"):
        load_picture(dicom(RAMP, **CT), window="spleen")
    with pytest.raises(ImageError, match="window 0 was asked for; the header has none"):
        load_picture(dicom(RAMP, **CT), window=0)


def test_hounsfield_windows_are_for_ct_only(dicom):
    with pytest.raises(ImageError, match=r"'lung' is in Hounsfield units, but this is not a CT .*\(modality MRI\)"):
        load_picture(dicom(RAMP, Modality="MR"), window="lung")
    with pytest.raises(ImageError, match="not a CT slice in Hounsfield units"):
        load_picture(dicom(RAMP, **CT, RescaleType="US"), window="lung")


@pytest.mark.parametrize(("part", "name", "window"), [("HEAD", "brain", (40, 80)), ("CHEST", "soft tissue", (40, 400))])
def test_ct_without_a_window_gets_a_preset_and_says_so(dicom, part, name, window):
    picture = load_picture(dicom(RAMP, **CT, BodyPartExamined=part))
    assert (picture.pixels[..., 0] == grey(dicom(RAMP, **CT), window=window)).all()
    assert f"the {name} window is used (center {window[0]}, width {window[1]} HU)" in picture.cautions[0]


def test_other_modalities_without_a_window_are_stretched_and_say_so(dicom):
    picture = load_picture(dicom(RAMP, Modality="MR"))
    assert at(picture.pixels[..., 0], 1024) == pytest.approx(128, abs=1)
    assert picture.cautions == (
        "The header has no usable window: the greys from -1003.53 to 3050.53 (the middle 99 %) are stretched over "
        "black to white.",
    )


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 40, "WindowWidth": 0},
        {"WindowCenter": 40, "WindowWidth": 0.5},
        {"WindowCenter": 40},
        {"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "CUBIC"},
    ],
)
def test_a_window_without_meaning_counts_as_missing(dicom, window):
    assert "no usable window" in load_picture(dicom(RAMP, Modality="MR", **window)).cautions[0]


def test_a_window_beside_the_picture_is_replaced_and_said_so(dicom):
    picture = load_picture(dicom(RAMP, Modality="MR", WindowCenter=20000, WindowWidth=10))
    assert picture.pixels.max() == 255
    assert "leaves this picture black or white" in picture.cautions[0]
    assert grey(dicom(RAMP, Modality="MR"), window=(20000, 10)).max() == 0


def test_eight_bit_grey_without_a_window_is_shown_as_it_is(dicom):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = load_picture(dicom(values, Modality="MR"))
    assert (picture.pixels[..., 0] == values).all()
    assert picture.cautions == ()


def test_percentiles_can_be_asked_for(dicom):
    data = dicom(RAMP, **CT, WindowCenter=40, WindowWidth=80)
    assert (grey(data, window="percentiles") == grey(dicom(RAMP, Modality="MR"))).all()


def lut(first, entries, bits, vr="US"):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    words = np.array(entries, "<u2")
    item.add_new("LUTData", vr, words.tobytes() if vr == "OW" else words.tolist())
    return item


@pytest.mark.parametrize("vr", ["US", "OW"])
def test_modality_lut_comes_first(dicom, vr):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    table = [n * n for n in range(48)]  # inputs 8 .. 55
    data = dicom(values, ModalityLUTSequence=[lut(8, table, 16, vr)], WindowCenter=1000, WindowWidth=2000)
    x = np.array(table)[np.clip(values - 8.0, 0, 47).astype(int)]
    by_hand = np.clip((x - 999.5) / 1999 + 0.5, 0, 1) * 255
    assert np.abs(grey(data) - by_hand).max() <= 0.501


@pytest.mark.parametrize("vr", ["US", "OW"])
def test_voi_lut_is_preferred_and_agrees_with_pydicom(dicom, vr):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    table = (np.linspace(0, 1, 3000) ** 2 * 4095).astype(int).tolist()
    data = dicom(values, VOILUTSequence=[lut(500, table, 12, vr)], WindowCenter=40, WindowWidth=400, BitsStored=12)
    dataset = pydicom.dcmread(io.BytesIO(data))
    theirs = apply_voi_lut(dataset.pixel_array, dataset).astype(float) / 4095 * 255
    assert np.abs(grey(data) - theirs).max() <= 0.501
    assert (grey(data, window=0) == grey(data)).all()  # index 0 is the table, 1 the window
    assert (grey(data, window=1) == grey(data, window=(40, 400))).all()


def test_a_damaged_lookup_table_is_refused(dicom):
    item = lut(0, [1, 2, 3], 16)
    item.LUTDescriptor = [300, 0, 16]
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    with pytest.raises(ImageError, match="lookup table in the DICOM header has 3 entries instead of 300"):
        load_picture(dicom(values, VOILUTSequence=[item]))
    item.LUTDescriptor = [3, 0, 40]
    with pytest.raises(ImageError, match=r"lookup table in the DICOM header is described by \[3, 0, 40\]"):
        load_picture(dicom(values, VOILUTSequence=[item]))


def test_a_zero_slope_is_refused(dicom):
    with pytest.raises(ImageError, match="Rescale Slope 0 and Intercept 5 make no values"):
        load_picture(dicom(RAMP, RescaleSlope=0, RescaleIntercept=5))


@pytest.mark.parametrize("signed", [False, True])
def test_unused_high_bits_do_not_count(dicom, signed):
    values = np.arange(4096).reshape(64, 64)
    words = (values | 0xA000).astype(np.uint16)  # an old-style overlay in the upper bits
    data = dicom(words, BitsStored=12, HighBit=11, PixelRepresentation=int(signed), WindowCenter=0, WindowWidth=4096)
    true = np.where(values > 2047, values - 4096, values) if signed else values
    by_hand = np.clip((true + 0.5) / 4095 + 0.5, 0, 1) * 255
    assert np.abs(grey(data) - by_hand).max() <= 0.501


@pytest.mark.parametrize("padding", [-2000, 63536])
def test_padding_is_black_and_does_not_stretch_the_greys(dicom, padding):
    values = np.full((64, 64), -2000, np.int16)
    values[16:48, 16:48] = np.linspace(100, 200, 1024, dtype=np.int16).reshape(32, 32)
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        item = Dataset()
        item.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
        shown = grey(dicom(values, PhotometricInterpretation=kind, PixelPaddingValue=item["PixelPaddingValue"]))
        assert (shown[:16] == 0).all()
        assert shown[16:48, 16:48].max() == 255
        assert shown[16:48, 16:48].min() == 0


def test_a_range_of_padding_is_black(dicom):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    data = dicom(values, PixelPaddingValue=250, PixelPaddingRangeLimit=255, WindowCenter=128, WindowWidth=256)
    shown = grey(data).reshape(-1)
    assert (shown[250:] == 0).all()
    assert shown[249] == 249


def test_thirty_two_bit_and_float_pixels(dicom):
    wide = (np.arange(400, dtype=np.uint32) * 100_000).reshape(20, 20)
    shown = grey(dicom(wide))
    assert (shown[0, 0], shown[-1, -1]) == (0, 255)
    real = np.linspace(-1, 1, 400, dtype=np.float32).reshape(20, 20)
    real[0, 0] = np.nan
    integer = ("PixelData", "BitsStored", "HighBit", "PixelRepresentation")
    data = dicom(real, drop=integer, FloatPixelData=real.tobytes(), BitsAllocated=32)
    assert (grey(data)[0, 0], grey(data)[-1, -1]) == (0, 255)
    exact = [round((float(v) / 0.5 + 0.5) * 255) for v in real[10, 5:8]]
    assert grey(data, window=(0, 0.5))[10, 5:8].tolist() == exact
