from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame

from assistant.errors import ImageError
from assistant.imaging import isolated
from assistant.imaging.isolated import IsolatedDecoder
from assistant.imaging.load import load_picture

ROOT = Path(isolated.__file__).parents[2]
PATH = get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)
PLAIN = get_testdata_file("MR_small.dcm", download=False)


@pytest.fixture(scope="module")
def decoder():
    made = IsolatedDecoder()
    yield made
    made.close()


def question():
    dataset = pydicom.dcmread(PATH)
    options = {
        "transfer_syntax_uid": str(dataset.file_meta.TransferSyntaxUID),
        "pixel_keyword": "PixelData",
        "number_of_frames": 1,
        "rows": dataset.Rows,
        "columns": dataset.Columns,
        "samples_per_pixel": 1,
        "bits_allocated": 16,
        "bits_stored": 16,
        "pixel_representation": 1,
        "photometric_interpretation": "MONOCHROME2",
    }
    return get_frame(dataset.PixelData, 0, number_of_frames=1), options


def test_frames_come_back_as_they_went_in(decoder):
    frame, options = question()
    for _ in range(2):
        assert (decoder.decode(frame, options) == pydicom.dcmread(PLAIN).pixel_array).all()


def test_damage_is_survived_and_the_next_frame_is_decoded(decoder):
    frame, options = question()
    true = decoder.decode(frame, options)
    random = np.random.default_rng(5)
    for _ in range(12):
        broken = bytearray(frame)
        for place in random.integers(0, len(frame), 8):
            broken[place] = int(random.integers(256))
        answer = decoder.decode(bytes(broken), options)
        assert answer is None or answer.shape == true.shape
    assert (decoder.decode(frame, options) == true).all()


def test_a_worker_that_died_or_hangs_is_replaced(decoder, monkeypatch):
    frame, options = question()
    assert decoder.decode(frame, options) is not None
    decoder._worker.kill()
    decoder._worker.wait()
    assert decoder.decode(frame, options) is not None
    monkeypatch.setattr(isolated, "TIMEOUT_S", 0.2)
    decoder._worker.send_signal(signal.SIGSTOP)  # hangs for good, however fast the machine is
    assert decoder.decode(frame, options) is None
    monkeypatch.undo()
    assert decoder.decode(frame, options) is not None


def test_a_frame_may_use_so_much_of_a_processor_and_no_more():
    code = "from assistant.imaging.gdcm_worker import allow\nallow(0.1)\nwhile True: pass"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGXCPU


def test_threads_take_turns(decoder):
    frame, options = question()
    answers: list[np.ndarray | None] = [None] * 8

    def work(n):
        answers[n] = decoder.decode(frame, options)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((answer == answers[0]).all() for answer in answers)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_leaves_the_worker_to_its_parent(decoder):
    decoder.decode(*question())
    worker = decoder._worker
    decoder.forget()
    assert decoder._worker is None
    worker.returncode = None
    assert worker.poll() is None  # still running
    worker.kill()
    worker.communicate()


def test_a_frame_that_gdcm_cannot_decode_is_refused(dicom):
    frame, options = question()
    size = frame.index(b"\xff\xda") + 4
    broken = frame[:size] + bytes(40) + b"\xff\xd9"
    pixels = np.zeros((64, 64), np.int16)
    with pytest.raises(
        ImageError, match=r"\(JPEG-LS Lossless .*, 64 x 64, 16 of 16 bits\) cannot be decoded; the file"
    ):
        load_picture(dicom(pixels, syntax=options["transfer_syntax_uid"], encoded=[broken]))
