from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_voi_lut

from assistant.errors import ImageError
from assistant.imaging.window import (
    PRESETS,
    LookupTable,
    Window,
    apply_window,
    lookup,
    parse_request,
    percentile_window,
)


def test_linear_window_is_the_formula_of_the_standard():
    # C.11.2.1.2.1 with center 2048, width 4096: -0.5 .. 4095 over 0 .. 255; worked by hand
    values = np.array([-1, 0, 1023, 2047, 2048, 4095, 5000])
    by_hand = [0, 0, 63.7, 127.5 - 255 / 8190, 127.5 + 255 / 8190, 255, 255]
    assert np.abs(apply_window(values, Window(2048, 4096)) - np.array(by_hand)).max() <= 0.51


def test_soft_tissue_window_by_hand():
    # center 40, width 400: black up to -160, white from 239; 39.5 is the middle of 399 steps
    grey = apply_window(np.array([-160, -159, 39, 40, 238, 239, 240]), Window(40, 400))
    assert grey.tolist() == [0, 1, 127, 128, 254, 255, 255]


def test_width_one_is_a_step_at_the_center():
    assert apply_window(np.array([39.4, 39.5, 39.6, 40]), Window(40, 1)).tolist() == [0, 0, 255, 255]


def test_linear_exact_and_sigmoid_by_hand():
    exact = apply_window(np.array([0.0, 0.25, 0.5, 1.0]), Window(0.5, 1.0, "LINEAR_EXACT"))
    assert exact.tolist() == [0, 64, 128, 255]
    sigmoid = apply_window(np.array([-1e9, 40, 140, 1e9]), Window(40, 400, "SIGMOID"))
    assert sigmoid.tolist() == [0, 128, round(255 / (1 + np.exp(-1))), 255]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("window", [(40.0, 400.0), (-600.0, 1500.0), (300.5, 33.0)])
def test_windows_agree_with_pydicom(function, window):
    values = np.arange(-1024, 3072, dtype=np.int16)
    header = pydicom.Dataset()
    header.PhotometricInterpretation, header.BitsStored, header.PixelRepresentation = "MONOCHROME2", 8, 0
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = window[0], window[1], function
    theirs = apply_voi_lut(values, header)  # 0 .. 255
    ours = apply_window(values, Window(*window, function))
    assert np.abs(ours - theirs).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("window", [Window(0, 0.5), Window(0, 0, "SIGMOID"), Window(0, 1, "CUBIC"), Window(np.nan, 9)])
def test_a_window_without_meaning_is_a_wrong_call(window):
    assert not window.usable
    with pytest.raises(ValueError, match="cannot be applied"):
        apply_window(np.zeros(3), window)


def test_lookup_table_holds_its_ends():
    table = LookupTable(first=10, entries=np.array([0, 100, 4095], np.uint16), bits=12)
    assert table.apply(np.array([-5, 10, 11, 12, 99])).tolist() == [0, 0, 100, 4095, 4095]
    assert table.apply_as_grey(np.array([10, 11, 12])).tolist() == [0, 6, 255]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_lookup_reaches_every_code_of_either_sign(dtype):
    info = np.iinfo(dtype)
    codes = np.arange(info.min, info.max + 1).astype(dtype)
    every = np.arange(codes.size).astype(f"u{info.bits // 8}").view(dtype)
    table = (every.astype(int) % 251).astype(np.uint8)
    pixels = np.resize(codes[::-1], (300, 400))
    assert (lookup(table, pixels) == pixels.astype(int) % 251).all()


def test_percentiles_ignore_a_few_outliers_and_nan():
    values = np.concatenate([np.linspace(0, 100, 10_000), [1e6, np.nan]])
    window = percentile_window(values)
    assert window.center == pytest.approx(50, abs=1)
    assert window.width == pytest.approx(99, abs=1)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([7, 7, 7], 7, 8), ([0] * 999 + [50], 0, 50), ([], 0, 1)],
)
def test_percentiles_of_flat_or_sparse_or_no_values(values, low, high):
    window = percentile_window(np.array(values, float))
    assert (window.center - window.width / 2, window.center + window.width / 2) == (low, high)


@pytest.mark.parametrize(
    ("request_", "meant"),
    [
        (None, None),
        ("Lung", "lung"),
        ("soft_tissue", "soft tissue"),
        ("1", 1),
        (2, 2),
        ("40, 400", (40.0, 400.0)),
        ("-600,1500", (-600.0, 1500.0)),
        ([40, 400], (40.0, 400.0)),
        ("a,b", "a,b"),
    ],
)
def test_requests_come_to_one_form(request_, meant):
    assert parse_request(request_) == meant


@pytest.mark.parametrize("bad", [(40,), (1, 2, 3), ("x", "y"), 1.5])
def test_a_request_that_is_no_pair_is_refused(bad):
    with pytest.raises(ImageError, match=r"is not \(center, width\); give two numbers"):
        parse_request(bad)


@pytest.mark.parametrize("bad", [(40, 0), (40, -5), (float("nan"), 5), "40,0"])
def test_a_request_that_shows_nothing_is_refused(bad):
    with pytest.raises(ImageError, match=r"shows nothing; give a width above 0"):
        parse_request(bad)


def test_presets_are_the_ones_that_are_promised():
    names = {"brain", "subdural", "stroke", "bone", "lung", "mediastinum", "abdomen", "liver", "soft tissue"}
    assert set(PRESETS) == names
    assert all(Window(*pair).usable for pair in PRESETS.values())
