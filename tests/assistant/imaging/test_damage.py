"""Bad input of every kind gets an ImageError with what, value and mend; nothing else ever comes out."""

from __future__ import annotations

import base64
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, HTJ2KLossless, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from assistant.errors import ImageError
from assistant.imaging.codestream import check_frame
from assistant.imaging.load import load_picture

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)
# 32 x 24 pixels, 16 bits, 100 * x + 30 * y, written by OpenJPH 0.26.3.
HTJ2K = base64.b64decode(
    "/0//UQApQAAAAAAgAAAAGAAAAAAAAAAAAAAAIAAAABgAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQ"
    "kJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAALoAAf+TwAAm5/YFB3QAwAATQAATAEj+Awd0AAL8Aod0AMAAE8AA"
    "EwAii/wCgnQAYfgAAjQAwAAVUAAFWI4dO/6ggjICdgAQIUKE+MAxgb62AMAAFbAABaTAwMDAwMDninpxgncAhgaDwWAwGP76CEB79iEB7LoA"
    "wAAtaAAFukaj0Wg0Go1Go9H4+f4Kenp6enECewC61lprrbXWWmut/3GAAAe/YAAe/YAAe/YAAeyzAf/Z"
)
TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def real(name):
    return Path(get_testdata_file(name, download=False)).read_bytes()


def htj2k(dicom, stream=HTJ2K, **elements):
    return dicom(np.zeros((24, 32), np.uint16), syntax=HTJ2KLossless, encoded=[stream], **elements)


def test_htj2k_is_decoded(dicom):
    y, x = np.mgrid[:24, :32]
    shown = load_picture(htj2k(dicom), window=(2000, 4001)).pixels[..., 0]
    assert np.abs(shown - (100 * x + 30 * y + 0.5) / 4000 * 255).max() <= 0.501


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPGExtended.dcm"])
def test_twelve_bit_jpeg_is_decoded_right(name):
    shown = load_picture(real(name), window=(128, 256)).pixels[..., 0]
    assert (shown[420, 140], shown[230, 120]) == (244, 95)  # stored values that pydicom's own tests ask for


def test_lossless_syntaxes_give_the_same_pixels():
    plain = load_picture(real("MR_small.dcm")).content_id
    for other in ("RLE", "jp2klossless", "jpeg_ls_lossless", "bigendian", "implicit", "expb", "padded"):
        assert load_picture(real(f"MR_small_{other}.dcm")).content_id == plain


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("reportsi.dcm", "Basic Text SR Storage, which holds no picture"),
        ("test-SR.dcm", "Comprehensive SR Storage, which holds no picture"),
        ("rtstruct.dcm", "RT Structure Set Storage, which holds no picture"),
        ("rtplan.dcm", "RT Plan Storage, which holds no picture"),
        ("waveform_ecg.dcm", "12-lead ECG Waveform Storage, which holds no picture"),
        ("dicomdirtests/DICOMDIR", "Media Storage Directory Storage, which holds no picture"),
        ("liver_1frame.dcm", "Segmentation Storage, a mask; give the image that it was drawn on"),
        ("rtdose.dcm", "RT Dose Storage, a map of dose; give the image that it was planned on"),
        ("dicomdirtests/TINY_ALPHA/PT000000/ST000000/SE000000/IM000000", r"\(CT Image Storage\) has no pixel data"),
        ("MR_truncated.dcm", "have 8130 bytes but 64 x 64 pixels, .* need 8192; the file is cut off"),
        (
            "JPEG2000-embedded-sequence-delimiter.dcm",
            "frame is 3722445056 x 1024 pixels but the header",
        ),
    ],
)
def test_objects_that_are_no_picture_are_named(name, kind):
    with pytest.raises(ImageError, match=kind):
        load_picture(TEST_FILES / name)


def test_an_encapsulated_pdf_is_named(dicom):
    data = dicom(None, SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", EncapsulatedDocument=b"%PDF", Modality="DOC")
    with pytest.raises(ImageError, match="Encapsulated PDF Storage, which holds no picture. Give an image"):
        load_picture(data)


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"Rows": 0}, "the DICOM image is 8 x 0 pixels in 1 frames: there is nothing to see"),
        ({"drop": ("Rows",)}, "Rows in the DICOM header is missing"),
        ({"drop": ("BitsAllocated",)}, "BitsAllocated in the DICOM header is missing"),
        ({"BitsAllocated": 12}, "stores 16 of 12 allocated bits"),
        ({"BitsStored": 17}, "stores 17 of 16 allocated bits"),
        ({"PhotometricInterpretation": "ARGB"}, "Photometric Interpretation 'ARGB' with 1 samples .* not supported"),
        ({"SamplesPerPixel": 4}, "'MONOCHROME2' with 4 samples"),
        ({"PixelData": b"ab"}, "have 2 bytes but 8 x 8 pixels, 1 samples, 16 bits and 1 frames need 128"),
        ({"NumberOfFrames": 5}, "have 128 bytes .* 5 frames need 640"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(dicom, elements, said):
    with pytest.raises(ImageError, match=said):
        load_picture(dicom(PIXELS, **elements))


def test_a_transfer_syntax_that_does_not_fit_the_pixels_is_refused(dicom):
    video = dicom(PIXELS, syntax="1.2.840.10008.1.2.4.102", encoded=[b"1234"])
    with pytest.raises(ImageError, match="transfer syntax MPEG-4 AVC/H.264 .* cannot be decoded; export"):
        load_picture(video)
    compressed = dicom(PIXELS, syntax=JPEG2000Lossless, encoded=[b"1234"])
    jpeg, plain = b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.1\0\0\0"
    with pytest.raises(ImageError, match=r"transfer syntax \(unknown\) cannot be decoded"):
        load_picture(compressed.replace(jpeg, b"1.2.840.99999.1.2.4.90"))
    with pytest.raises(ImageError, match="pixel data are compressed but the transfer syntax is not"):
        load_picture(compressed.replace(jpeg, plain))
    native = dicom(PIXELS, syntax=HTJ2KLossless, encoded=[b"1234"]).replace(b"\xff\xff\xff\xff", b"\x10\0\0\0")
    with pytest.raises(ImageError, match="transfer syntax is compressed but the pixel data are not"):
        load_picture(native)


def test_fragments_that_cannot_be_told_apart_are_refused(dicom, raster, scene):
    jpeg = raster(scene, "JPEG")
    data = dicom(scene, syntax=JPEGBaseline8Bit, encoded=[jpeg], NumberOfFrames=3)
    with pytest.raises(ImageError, match="frame 2 cannot be found among the 3 compressed frames"):
        load_picture(data, frame=2)
    with pytest.raises(ImageError, match="compressed pixel data end in the middle, .* bytes in"):
        load_picture(data[:-30])


def test_too_many_pixels_are_refused_before_anything_is_read(dicom):
    data = dicom(PIXELS, Rows=60_000, Columns=60_000)
    with pytest.raises(ImageError, match="60000 x 60000 pixels, more than the limit of 80000000"):
        load_picture(data)
    with pytest.raises(ImageError, match="8 x 8 pixels, more than the limit of 63. Export a smaller one, or raise"):
        load_picture(dicom(PIXELS), max_pixels=63)


def test_a_small_header_around_a_huge_codestream_is_refused(dicom):
    siz = HTJ2K.index(b"\xff\x51")
    huge = bytearray(HTJ2K)
    huge[siz + 6 : siz + 10] = (1_000_000).to_bytes(4, "big")
    with pytest.raises(ImageError, match="the compressed frame is 1000000 x 24 pixels but the header says 32 x 24"):
        load_picture(htj2k(dicom, bytes(huge)))


@pytest.mark.parametrize("frame", [-1, 30, 1000])
def test_a_frame_out_of_range_says_the_range(frame):
    with pytest.raises(ImageError, match=f"frame {frame} was asked for, but the file has frames 0 to 29. Choose one"):
        load_picture(real("examples_ybr_color.dcm"), frame=frame)


def test_a_frame_of_a_cine_is_the_frame_that_pydicom_gives():
    data = real("examples_ybr_color.dcm")
    for frame in (0, 17, 29):
        picture = load_picture(data, frame=frame)
        assert (picture.frame, picture.frames) == (frame, 30)
        assert (picture.pixels == pixel_array(TEST_FILES / "examples_ybr_color.dcm", index=frame)).all()
    assert load_picture(data).cautions[0] == "Frame 1 of 30 is shown; the other frames were not read."


def test_a_representative_frame_is_the_default(dicom):
    frames = np.stack([PIXELS + 10 * n for n in range(4)]).astype(np.uint16)
    picture = load_picture(dicom(frames, NumberOfFrames=4, RepresentativeFrameNumber=3))
    assert picture.frame == 2


def test_deflated_files_are_read_but_not_without_limit(dicom):
    whole = dicom(PIXELS, syntax=DeflatedExplicitVRLittleEndian)
    assert (load_picture(whole).pixels == load_picture(dicom(PIXELS)).pixels).all()
    start = 144 + int.from_bytes(whole[140:144], "little")
    with pytest.raises(ImageError, match="deflated DICOM data set is cut off"):
        load_picture(whole[:-20])
    with pytest.raises(ImageError, match="deflated DICOM data set is damaged"):
        load_picture(whole[:start] + b"\xff" * 50)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(bytes(70 << 20)) + packer.flush()
    with pytest.raises(ImageError, match="grows beyond the limit of 67109"):
        load_picture(whole[:start] + bomb, max_pixels=64)


def test_files_without_preamble_are_taken_if_they_hold_an_image(dicom):
    whole = dicom(PIXELS, WindowCenter=32, WindowWidth=64)
    bare = whole[144 + int.from_bytes(whole[140:144], "little") :]
    assert bare[:2] == b"\x08\0"
    assert (load_picture(bare).pixels == load_picture(whole).pixels).all()
    with pytest.raises(ImageError, match="there is no DICOM image in it"):
        load_picture(b"\x08\0\x05\0" + bytes(60))


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (b"\xff\xd8\xff\xda", "has no image header"),
        (b"nonsense" * 9, "compressed frame .72 bytes. has no image header"),
        (HTJ2K[:200], "has no end marker; the file is cut off"),
    ],
)
def test_compressed_frames_are_looked_into(stream, said):
    with pytest.raises(ImageError, match=said):
        check_frame(stream, 24, 32)


def test_a_jp2_wrapper_is_taken_off_even_if_its_boxes_are_damaged(dicom):
    wrapper = b"\0\0\0\x0cjP  \r\n\x87\n"
    assert check_frame(wrapper + HTJ2K, 24, 32) == HTJ2K
    endless = wrapper + bytes(8) + HTJ2K  # a box of length 0 never ends for a reader that trusts it
    assert load_picture(htj2k(dicom, endless)).content_id == load_picture(htj2k(dicom)).content_id


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "MR_small_jpeg_ls_lossless.dcm", "693_J2KI.dcm"])
def test_real_frames_of_every_jpeg_family_pass(name):
    dataset = pydicom.dcmread(TEST_FILES / name)
    check_frame(get_frame(dataset.PixelData, 0, number_of_frames=1), dataset.Rows, dataset.Columns)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_jp2klossless.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "JPEG-lossy.dcm",
        "image_dfl.dcm",
        "HTJ2K",
    ],
)
def test_a_truncated_dicom_is_refused_or_whole(dicom, picture_or_refusal, name):
    whole = htj2k(dicom) if name == "HTJ2K" else real(name)
    true = load_picture(whole).pixels
    refused = 0
    for cut in [*range(0, len(whole), len(whole) // 24), *range(len(whole) - 12, len(whole))]:
        picture = picture_or_refusal(whole[:cut])
        refused += picture is None
        assert picture is None or (picture.pixels == true).all(), f"{name} cut at {cut} of {len(whole)}"
    assert refused >= 24


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm", "693_J2KI.dcm"])
def test_scrambled_bytes_give_a_picture_or_an_image_error(picture_or_refusal, name):
    whole = real(name)
    random = np.random.default_rng(0)
    for _ in range(30):
        broken = bytearray(whole)
        for place in random.integers(0, len(whole), 6):
            broken[place] = int(random.integers(256))
        picture_or_refusal(bytes(broken), max_pixels=1_000_000)


def test_a_frame_that_is_cut_inside_whole_fragments_is_refused(dicom, raster, scene):
    jpeg = raster(scene, "JPEG")
    good = dicom(scene, syntax=JPEGBaseline8Bit, encoded=[jpeg], PhotometricInterpretation="YBR_FULL_422")
    assert np.abs(load_picture(good).pixels.astype(int) - scene).mean() < 4
    half = dicom(scene, syntax=JPEGBaseline8Bit, encoded=[jpeg[: len(jpeg) // 2 * 2 - 100]])
    with pytest.raises(ImageError, match="has no end marker; the file is cut off"):
        load_picture(half)
    with pytest.raises(ImageError, match=r"\(RLE Lossless, 64 x 48, 8 of 8 bits\) cannot be decoded"):
        load_picture(dicom(scene, syntax=RLELossless, encoded=[b"\0" * 70]))


def test_every_file_that_pydicom_ships_gives_a_picture_or_an_image_error(picture_or_refusal):
    pictures = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in sorted(p for p in TEST_FILES.rglob("*") if p.is_file()):
            picture = picture_or_refusal(path)
            pictures += picture is not None
            assert picture is None or min(picture.size) > 0
    assert pictures >= 80
