from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from assistant.errors import ImageError
from assistant.imaging.load import load_picture


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 16),
        ("JPEG", {"quality": 98, "subsampling": 0}, 6),
        ("JPEG", {"quality": 98, "progressive": True, "subsampling": 0}, 6),
    ],
)
def test_colour_pictures_come_through(raster, scene, kind, options, tolerance):
    picture = load_picture(raster(scene, kind, **options))
    assert picture.source_format == kind
    assert picture.size == (64, 48)
    assert np.abs(picture.pixels.astype(int) - scene).max() <= tolerance
    assert picture.cautions == ()
    assert picture.modality is None


def test_gif_and_palette_png_give_their_colours(raster, scene):
    few = Image.fromarray(scene).quantize(16)
    true = np.asarray(few.convert("RGB"))
    assert (load_picture(raster(few, "GIF")).pixels == true).all()
    assert (load_picture(raster(few, "PNG")).pixels == true).all()


def test_one_bit_and_grey_pictures(raster):
    bits = np.eye(9, dtype=bool)
    assert (load_picture(raster(Image.fromarray(bits), "PNG")).pixels[..., 0] == bits * 255).all()
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for channel in range(3):
        assert (load_picture(raster(grey, "PNG")).pixels[..., channel] == grey).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_black_and_said_to_be(raster, mode):
    image = Image.new(mode, (4, 2), (200,) * (len(mode) - 1) + (255,))
    image.putpixel((0, 0), (200,) * (len(mode) - 1) + (0,))
    image.putpixel((1, 0), (200,) * (len(mode) - 1) + (128,))
    picture = load_picture(raster(image, "PNG"))
    assert picture.pixels[0, 0].tolist() == [0, 0, 0]
    assert 98 <= picture.pixels[0, 1, 0] <= 102
    assert picture.pixels[1, 3].tolist() == [200, 200, 200]
    assert picture.cautions == ("Transparent parts of the picture are shown black.",)


def test_an_opaque_alpha_channel_changes_nothing(raster, scene):
    picture = load_picture(raster(Image.fromarray(scene).convert("RGBA"), "PNG"))
    assert (picture.pixels == scene).all()
    assert picture.cautions == ()


def test_a_transparent_palette_colour_is_black(raster):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    assert load_picture(raster(image, "PNG", transparency=1)).pixels[0].tolist() == [[255, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(raster, scene, orientation):
    turned = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[orientation]  # Image.Transpose that brings it upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = load_picture(raster(scene, "PNG", exif=exif))
    upright = Image.fromarray(scene) if turned is None else Image.fromarray(scene).transpose(turned)
    assert (picture.pixels == np.asarray(upright)).all()


def test_damaged_exif_counts_as_none(raster, scene):
    jpeg = raster(scene, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert load_picture(jpeg).size == (64, 48)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_windowed_not_clipped(raster, kind):
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    picture = load_picture(raster(ramp, kind))
    grey = picture.pixels[..., 0]
    assert (np.diff(grey.reshape(-1).astype(int)) >= 0).all()
    assert len(np.unique(grey)) == 256
    assert grey.reshape(-1)[2048] == pytest.approx(128, abs=1)
    assert "more than 8 bits and names no window" in picture.cautions[0]


def test_sixteen_bit_grey_takes_an_explicit_window(raster):
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    picture = load_picture(raster(ramp, "PNG"), window=(1000, 200))
    grey = picture.pixels[..., 0].reshape(-1)
    assert (grey[900], grey[1000], grey[1099]) == (0, 128, 255)
    assert picture.cautions == ()


def test_sixteen_bit_colour_keeps_the_upper_byte(scene):
    rows = b"".join(b"\0" + (scene[y].astype(">u2") * 257).tobytes() for y in range(48))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    assert (load_picture(png).pixels == scene).all()


def test_float_tiff_with_nan_and_white_is_zero_tiff(raster):
    values = np.linspace(-1, 1, 600, dtype=np.float32).reshape(20, 30)
    values[0, 0] = np.nan
    grey = load_picture(raster(values, "TIFF")).pixels[..., 0]
    assert (grey[0, 0], grey[0, 1], grey[-1, -1]) == (0, 0, 255)
    ramp = np.arange(600, dtype=np.uint16).reshape(20, 30)
    black_is_zero, white_is_zero = (b"\x06\x01\x03\0\x01\0\0\0" + bytes([n, 0]) for n in (1, 0))  # tag 262
    tiff = raster(ramp, "TIFF")
    assert black_is_zero in tiff
    inverted = load_picture(tiff.replace(black_is_zero, white_is_zero)).pixels[..., 0]
    assert (inverted[0, 0], inverted[-1, -1]) == (255, 0)


def test_pages_and_frames_can_be_chosen(raster):
    pages = [Image.new("L", (5 + n, 4), 60 * n) for n in range(3)]
    tiff = raster(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    first = load_picture(tiff)
    assert (first.frame, first.frames, first.size) == (0, 3, (5, 4))
    assert first.cautions == ("Frame 1 of 3 is shown; the other frames were not read.",)
    last = load_picture(tiff, frame=2)
    assert (last.frame, last.size, int(last.pixels[0, 0, 0])) == (2, (7, 4), 120)
    with pytest.raises(ImageError, match="frame 3 was asked for, but the file has frames 0 to 2"):
        load_picture(tiff, frame=3)
    with pytest.raises(ImageError, match="frame 1 was asked for, but the file has only frame 0"):
        load_picture(raster(pages[0], "PNG"), frame=1)


def test_a_window_for_an_8_bit_picture_is_refused(raster, scene):
    with pytest.raises(ImageError, match=r"window 'lung' was asked for, but this PNG picture has 8 bits"):
        load_picture(raster(scene, "PNG"), window="lung")


def test_a_named_window_for_16_bits_outside_dicom_is_refused(raster):
    with pytest.raises(ImageError, match=r"window 'lung' was asked for, but only CT in DICOM has named windows"):
        load_picture(raster(np.zeros((4, 4), np.uint16), "PNG"), window="lung")


def test_max_side_reduces_to_no_less_than_asked(raster):
    big = Image.effect_noise((900, 600), 40).resize((900, 600))
    png = raster(big, "PNG")
    picture = load_picture(png, max_side=200)
    assert picture.size == (225, 150)
    whole = load_picture(png).pixels[..., 0].astype(float)
    by_hand = whole.reshape(150, 4, 225, 4).mean((1, 3))
    assert np.abs(picture.pixels[..., 0] - by_hand).max() <= 0.51
    jpeg = load_picture(raster(big, "JPEG"), max_side=200)
    assert jpeg.size == (225, 150)
    assert load_picture(png, max_side=5000).size == (900, 600)


def test_jpeg_draft_looks_like_the_area_average(raster, scene):
    large = Image.fromarray(scene).resize((1024, 768), Image.Resampling.BICUBIC)
    jpeg = raster(large, "JPEG", quality=95)
    small = load_picture(jpeg, max_side=128).pixels.astype(int)
    exact = np.asarray(Image.fromarray(load_picture(jpeg).pixels).reduce(8)).astype(int)
    assert small.shape == exact.shape == (96, 128, 3)
    assert np.abs(small - exact).mean() < 1.5


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_a_truncated_file_is_refused_or_whole(raster, scene, picture_or_refusal, kind):
    whole = raster(scene, kind)
    true = load_picture(whole).pixels
    refused = 0
    for cut in [*range(0, len(whole), max(1, len(whole) // 40)), *range(len(whole) - 16, len(whole))]:
        picture = picture_or_refusal(whole[:cut])
        refused += picture is None
        assert picture is None or (picture.pixels == true).all(), f"{kind} cut at {cut} of {len(whole)}"
    assert refused >= 30


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_refused_not_half_grey(raster, scene, progressive):
    jpeg = raster(scene, "JPEG", progressive=progressive)
    with pytest.raises(ImageError, match="the JPEG picture is cut off or damaged. Copy or save it again"):
        load_picture(jpeg[: len(jpeg) * 3 // 4])
    with pytest.raises(ImageError, match="the JPEG header cannot be read"):
        load_picture(jpeg[:40])


def test_colour_modes_of_print_come_out_as_rgb(raster, scene):
    cmyk = Image.fromarray(scene).convert("CMYK")
    assert np.abs(load_picture(raster(cmyk, "TIFF")).pixels.astype(int) - scene).max() <= 2


def test_too_many_pixels_are_refused_before_decoding(raster):
    png = raster(Image.new("1", (3000, 2000)), "PNG")
    with pytest.raises(ImageError, match="the picture is 3000 x 2000 pixels, more than the limit of 5000000"):
        load_picture(png, max_pixels=5_000_000)
    bomb = bytearray(png)
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # the header claims 3.6 gigapixels
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    with pytest.raises(ImageError, match="more pixels than the limit of 80000000"):
        load_picture(bytes(bomb))


@pytest.mark.parametrize(("kind", "at", "length"), [("PNG", 16, 8), ("BMP", 18, 8)])
def test_zero_size_is_refused(raster, scene, kind, at, length):
    image = bytearray(raster(scene, kind))
    image[at : at + length] = bytes(length)
    with pytest.raises(ImageError, match=f"the {kind} header cannot be read"):
        load_picture(bytes(image))
