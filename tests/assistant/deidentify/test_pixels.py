import importlib.util
import io

import numpy as np
import pydicom
import pytest

from assistant.deidentify.burned import TextFinder
from assistant.deidentify.codestream import cleaned_frame
from assistant.deidentify.dataset import Deidentifier
from assistant.deidentify.objects import deidentify_dicom
from assistant.deidentify.profile import Profile
from assistant.deidentify.pseudonyms import Pseudonyms

needs_ocr = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr_onnxruntime") is None, reason="rapidocr-onnxruntime is not installed"
)
quiet = pytest.mark.filterwarnings("ignore")  # of libraries that RapidOCR loads


def cleaned(source):
    made = deidentify_dicom(source, Deidentifier(Profile(), Pseudonyms()), TextFinder())
    return pydicom.dcmread(io.BytesIO(made.data))


@needs_ocr
@quiet
def test_text_outside_the_window_is_found_too(planted, with_picture, saved, labelled):
    pixels = labelled.astype(np.uint16) + 2000
    dataset = with_picture(planted(WindowCenter=100, WindowWidth=50), pixels)  # all of it is shown white
    clean = cleaned(saved(dataset)).pixel_array
    assert clean.max() <= 2090
    assert np.array_equal(clean[:, 200:], pixels[:, 200:])


@needs_ocr
@quiet
def test_text_in_one_frame_is_blacked_out_in_all_and_black_is_what_is_shown_dark(
    planted, with_picture, saved, labelled
):
    plain = np.tile(np.linspace(40, 90, 320).astype(np.uint8), (160, 1))
    dataset = with_picture(planted(NumberOfFrames=2), 255 - plain)
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.PixelData = (255 - plain).tobytes() + (255 - labelled).tobytes()
    frames = cleaned(saved(dataset)).pixel_array
    assert frames.shape == (2, 160, 320)
    assert np.array_equal(frames[0] != 255 - plain, frames[1] != 255 - plain)
    assert (frames[0] != 255 - plain).any()
    assert frames.min() >= 165  # the letters were 5
    assert np.array_equal(frames[0][80:], 255 - plain[80:])


@needs_ocr
@quiet
def test_a_picture_without_text_stays_byte_for_byte(planted, with_picture, saved):
    ramp = np.tile(np.linspace(0, 4000, 96).astype(np.uint16), (96, 1))
    clean = cleaned(saved(with_picture(planted(), ramp)))
    assert clean.PixelData == ramp.tobytes()
    assert clean.BurnedInAnnotation == "NO"


def test_segments_that_carry_no_picture_leave_a_jpeg():
    kept = b"\xff\xe0\x00\x04JF" + b"\xff\xdb\x00\x04qt"
    frame = (
        b"\xff\xd8" + kept + b"\xff\xe1\x00\x08Zaphod" + b"\xff\xfe\x00\x06Jane" + b"\xff\xda\x00\x02data\xff\xd9Jane"
    )
    assert cleaned_frame(frame) == b"\xff\xd8" + kept + b"\xff\xda\x00\x02data\xff\xd9"


def test_other_codestreams_stay_as_they_are():
    assert cleaned_frame(b"\x01\x00\x00\x00run length") == b"\x01\x00\x00\x00run length"
    assert cleaned_frame(b"odd") == b"odd\0"
