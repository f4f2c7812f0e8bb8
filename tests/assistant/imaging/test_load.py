from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from assistant.errors import ImageError
from assistant.imaging.load import is_supported, load_picture, sniff
from assistant.imaging.quiet import QUIET

CT = Path(get_testdata_file("CT_small.dcm", download=False))


def test_paths_strings_and_bytes_give_the_same_picture(tmp_path, raster, scene):
    path = tmp_path / "scan.png"
    path.write_bytes(raster(scene, "PNG"))
    ids = {load_picture(s).content_id for s in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()))}
    assert len(ids) == 1


def test_the_bytes_tell_the_kind_and_not_the_name(tmp_path, raster, scene):
    path = tmp_path / "wrong.dcm"
    path.write_bytes(raster(scene, "JPEG"))
    assert load_picture(path).source_format == "JPEG"
    path = tmp_path / "no_ending"
    path.write_bytes(CT.read_bytes())
    assert load_picture(path).source_format == "DICOM"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (
            b"Jane Doe has a cough.\n",
            "this is text, not a picture. Give a JPEG, PNG, WebP, TIFF, BMP, GIF or DICOM file",
        ),
        ("Müller ".encode() * 100, "this is text, not a picture"),
        (b"\x01\x02\x03\x04\xff" * 30, "begins with the bytes 01 02 03 04"),
        (b"%PDF-1.7\n", "a PDF document; save the picture in it as PNG"),
        (b"PK\x03\x04" + bytes(30), "a ZIP archive or office document"),
        (b"\x1f\x8b\x08" + bytes(30), "a gzip archive; unpack it first"),
        (bytes(344) + b"n+1\0", "a NIfTI volume; give it the ending"),
        (b"\0\0\0\x18ftypheic", "a HEIC, AVIF or video file"),
        (b"\xff\x4f\xff\x51" + bytes(30), "a JPEG 2000 file outside DICOM"),
    ],
)
def test_what_is_no_picture_is_said_to_be_so(tmp_path, content, said):
    path = tmp_path / "scan.dcm"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"scan.dcm: .*{said}"):
        load_picture(path)
    with pytest.raises(ImageError, match=f"the given bytes: .*{said}") as caught:
        load_picture(content)
    assert "Doe" not in str(caught.value)


def test_missing_files_folders_and_impossible_paths(tmp_path):
    with pytest.raises(ImageError, match=r"nothing.png does not exist; check the path"):
        load_picture(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="is a folder; give a picture file inside it"):
        load_picture(tmp_path)
    with pytest.raises(ImageError, match="cannot be opened|does not exist"):
        load_picture("a\0b.png")
    with pytest.raises(ImageError, match=r"cannot be opened \(File name too long\)"):
        load_picture("x" * 5000)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "scan.png"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(ImageError, match=r"scan.png cannot be opened \(Permission denied\)"):
        load_picture(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="is no regular file; give a picture file"):
        load_picture(tmp_path / "pipe.png")


def test_wrong_calls_are_no_image_errors():
    with pytest.raises(ValueError, match="max_pixels is 0 and max_side is None"):
        load_picture(b"", max_pixels=0)
    with pytest.raises(ValueError, match="max_side is 0"):
        load_picture(b"", max_side=0)
    with pytest.raises(TypeError, match="source is int; give a path or bytes"):
        load_picture(5)


def test_the_last_net_quotes_no_library(monkeypatch, raster, scene):
    def fail(*args, **kwargs):
        raise RuntimeError("Doe^Jane")

    monkeypatch.setattr("assistant.imaging.raster.read_raster", fail)
    with pytest.raises(ImageError, match=r"^the given bytes: damaged in an unforeseen way \(RuntimeError\)") as caught:
        load_picture(raster(scene, "PNG"))
    assert "Doe" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_which_files_of_a_folder_are_worth_loading(tmp_path, raster, scene):
    png = raster(scene, "PNG")
    wanted = {"a.PNG": png, "broken.jpg": b"", "text.dcm": b"hello", "IM0001": CT.read_bytes(), "no_ending": png}
    others = {"notes.txt": b"x", "DICOMDIR": CT.read_bytes(), ".hidden.png": png, "._a.png": png, "report.pdf": b"%PDF"}
    for name, content in (wanted | others).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.png").mkdir()
    assert {p.name for p in tmp_path.iterdir() if is_supported(p)} == set(wanted)
    assert not is_supported(tmp_path / "missing.png")
    assert not is_supported("a\0b")


def test_sniffing():
    assert sniff(b"II*\0" + bytes(124) + b"DICM") == "DICOM"  # a file of both kinds is read as DICOM
    assert sniff(b"RIFF1234WEBP") == "WEBP"
    assert sniff(b"RIFF1234WAVE") is None
    assert sniff(b"MM\0*") == "TIFF"
    assert sniff(b"") is None


def test_warnings_are_muted_until_the_last_thread_has_left():
    inside, leave = threading.Event(), threading.Event()

    def stay():
        with QUIET:
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=stay)
    before = list(warnings.filters)
    thread.start()
    assert inside.wait(60)
    with QUIET:
        pass
    warnings.warn("muted", stacklevel=1)  # an error, if the first to leave had restored the filters
    leave.set()
    thread.join()
    assert warnings.filters == before


def test_loading_in_many_threads_gives_the_same_pictures(raster, scene):
    sources = [CT.read_bytes(), raster(scene, "JPEG"), raster(scene, "PNG")] * 8
    alone = [load_picture(s).content_id for s in sources]
    together: list[str | None] = [None] * len(sources)

    def work(n):
        together[n] = load_picture(sources[n]).content_id

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(sources))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_importing_the_door_stays_light():
    code = (
        "import sys, assistant.imaging.load as m; print([n for n in ('pydicom', 'PIL', 'torch') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pictures_are_contiguous_and_writable_arrays(dicom, raster, scene):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for source in (dicom(grey), dicom(scene), raster(scene, "PNG"), raster(grey, "PNG")):
        assert load_picture(source).pixels.flags.c_contiguous
