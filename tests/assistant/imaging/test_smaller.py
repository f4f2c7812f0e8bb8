"""Pictures that are made smaller while they are read: near to those made smaller afterwards, and never by luck."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import RLELossless

from assistant.imaging import grey
from assistant.imaging.load import load_picture
from assistant.imaging.reduce import mean_blocks, reduce_area
from assistant.imaging.unpack import in_range

SPAN = {"WindowCenter": 2000, "WindowWidth": 3400}


def radiograph(height: int = 205, width: int = 310) -> np.ndarray:
    """Smooth parts and noise in 12 bits, some of it beyond the window at both ends."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    smooth = 2000 + 1400 * np.sin(x / 40) * np.cos(y / 30)
    return (smooth + rng.normal(0, 60, smooth.shape)).clip(0, 4095).astype(np.uint16)


def counted(monkeypatch) -> list[int]:
    """Note each time that stored values are averaged."""
    times: list[int] = []

    def noting(stored, factor):
        times.append(factor)
        return mean_blocks(stored, factor)

    monkeypatch.setattr(grey, "mean_blocks", noting)
    return times


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16])
@pytest.mark.parametrize("factor", [2, 3, 7, 300])
def test_means_are_exact_also_at_the_edges(kind, factor):
    info = np.iinfo(kind)
    stored = np.random.default_rng(1).integers(info.min, info.max, (20, 31), endpoint=True).astype(kind)
    found = mean_blocks(stored, factor)
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            square = stored[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
            assert found[row, column] == pytest.approx(square.astype(float).mean(), abs=1e-9)


def test_the_sum_of_the_largest_values_does_not_overflow():
    assert (mean_blocks(np.full((600, 600), 65535, np.uint16), 300) == 65535).all()
    assert (mean_blocks(np.full((600, 600), -32768, np.int16), 300) == -32768).all()


@pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
def test_averaging_first_shows_the_same_within_two_greys(dicom, monkeypatch, polarity):
    times = counted(monkeypatch)
    data = dicom(radiograph(), PhotometricInterpretation=polarity, **SPAN)
    small = load_picture(data, max_side=60).pixels[..., 0].astype(int)
    assert times == [5]
    whole = reduce_area(load_picture(data).pixels[..., 0], 5).astype(int)
    assert small.shape == whole.shape
    assert np.abs(small - whole).mean() <= 2
    assert np.abs(small - whole).mean() < 0.5  # what it is in fact on a picture of this kind


def test_where_averaging_first_would_show_something_else_it_is_not_done(dicom):
    checks = np.indices((200, 300)).sum(0) % 2 * 4000
    data = dicom(checks.astype(np.uint16), WindowCenter=500, WindowWidth=400)
    small = load_picture(data, max_side=60).pixels[..., 0].astype(int)
    # Half of every square is black and half is white; averaged first, all of it would be above the window.
    assert abs(small.mean() - 127.5) < 12


def test_padding_is_never_mixed_into_what_lies_beside_it(dicom, monkeypatch):
    times = counted(monkeypatch)
    load_picture(dicom(radiograph(), PixelPaddingValue=0, **SPAN), max_side=60)
    load_picture(dicom(radiograph(), VOILUTFunction="SIGMOID", **SPAN), max_side=60)
    load_picture(dicom(radiograph(), **SPAN))
    assert times == []


def test_a_flat_window_is_still_noticed(dicom):
    data = dicom(radiograph(), WindowCenter=60000, WindowWidth=10)
    assert "leaves this picture black or white" in " ".join(load_picture(data, max_side=60).cautions)


def test_run_length_decoding_gives_the_stored_values_whichever_code_does_it(dicom, monkeypatch):
    pixels = radiograph()
    dataset = dcmread(io.BytesIO(dicom(pixels, **SPAN)))
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    stream = io.BytesIO()
    dataset.save_as(stream)
    wanted = load_picture(dicom(pixels, **SPAN)).pixels
    assert (load_picture(stream.getvalue()).pixels == wanted).all()
    decoder = get_decoder(RLELossless)
    assert "pylibjpeg" in decoder.available_plugins
    monkeypatch.setitem(decoder._available, "pylibjpeg", failing)
    assert (load_picture(stream.getvalue()).pixels == wanted).all()


def failing(source, options):
    """Fail as compiled code does when it panics."""
    raise BaseException("a panic")


@pytest.mark.parametrize(("kind", "bits", "value", "wanted"), [
    (np.uint16, 12, 0xF123, 0x123), (np.uint16, 12, 0x123, 0x123), (np.int16, 12, 0x0FFF, -1), (np.int16, 12, -5, -5),
    (np.uint8, 8, 255, 255), (np.float32, 32, 3.5, 3.5),
])  # fmt: skip
def test_bits_above_those_stored_do_not_count(kind, bits, value, wanted):
    assert (in_range(np.array([[value, 1]]).astype(kind), bits) == np.array([[wanted, 1]])).all()


def test_values_in_range_are_not_copied():
    pixels = np.zeros((4, 4), np.uint16)
    assert in_range(pixels, 12) is pixels


def test_a_large_jpeg_is_decoded_small(raster, monkeypatch):
    asked = []
    whole = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda self: asked.append(self.size) or whole(self))
    picture = load_picture(raster((radiograph(1200, 1600) >> 4).astype(np.uint8), "JPEG", quality=90), max_side=200)
    assert min(asked)[0] <= 400
    assert picture.size[0] >= 200
