import csv
import importlib.util
import io
import json
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from PIL import Image

import app
from assistant.deidentify import burned
from assistant.deidentify.profile import Profile
from assistant.deidentify.run import run_deidentify_files
from assistant.errors import ConfigError, DataError

OCR = importlib.util.find_spec("rapidocr_onnxruntime") is not None
needs_ocr = pytest.mark.skipif(not OCR, reason="rapidocr-onnxruntime is not installed")
NO_OCR = Profile(clean_pixels=False)


@pytest.fixture
def folder(tmp_path, planted, with_picture, saved, labelled):
    source = tmp_path / "Beeblebrox"
    source.mkdir()
    (source / "ZAPHOD.dcm").write_bytes(saved(with_picture(planted(), labelled)))
    (source / "Zaphod.txt").write_text("Zaphod Beeblebrox, MRN4711881, born 11.03.1952: clear lungs.")
    Image.fromarray(labelled).save(source / "Beeblebrox.png")
    (source / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\x08\0")
    (source / "notes.docx").write_bytes(b"passed over")
    return source


def everything(out):
    files = [path for path in out.rglob("*") if path.is_file()]
    return b"".join(str(path.relative_to(out)).encode() + path.read_bytes() for path in files)


def test_a_run_writes_clean_files_an_audit_and_reports_what_failed(folder, tmp_path, secrets, capsys):
    out = tmp_path / "out"
    code = app.main(["deidentify", str(folder), "--out", str(out), "--pixels", "keep", "--json"])
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert code == 1
    assert (summary["done"], summary["passed_over"]) == (3, 1)
    assert [one["input"] for one in summary["failed"]] == [str(folder / "broken.dcm")]
    assert "broken.dcm: " in printed.err
    assert sorted(path.suffix for path in out.rglob("*.*")) == [".csv", ".dcm", ".jsonl", ".png", ".txt"]
    text = next(out.rglob("*.txt")).read_text()
    assert text == "[removed], [removed], born [removed]: clear lungs."
    found = [one for one in secrets if one.lower().encode() in everything(out).lower()]
    assert found == []
    rows = list(csv.DictReader((out / "audit.csv").open()))
    assert len(rows) == len((out / "audit.jsonl").read_text().splitlines())
    assert {"removed", "replaced by pseudonym", "shifted"} <= {row["action"] for row in rows}


def test_a_dry_run_writes_nothing(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert app.main(["deidentify", str(folder / "ZAPHOD.dcm"), "--out", str(out), "--pixels", "keep", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert not out.exists()
    assert "1 would be written" in printed
    assert "look at every picture" in printed


def test_a_salt_joins_runs_and_a_key_joins_files_outside_the_folder(folder, tmp_path):
    words = ["deidentify", str(folder / "ZAPHOD.dcm"), "--pixels", "keep", "--salt", str(tmp_path / "salt")]
    assert app.main([*words, "--out", str(tmp_path / "a"), "--key", str(tmp_path / "key.jsonl")]) == 0
    assert app.main([*words, "--out", str(tmp_path / "b")]) == 0
    assert app.main([*words, "--out", str(tmp_path / "b")]) == 0
    names = [[str(path.relative_to(tmp_path / run)) for path in (tmp_path / run).rglob("*.dcm")] for run in "ab"]
    assert names[0] == names[1]
    line = json.loads((tmp_path / "key.jsonl").read_text())
    assert line == {"input": str(folder / "ZAPHOD.dcm"), "output": names[0][0]}


def test_an_interrupted_run_leaves_whole_files_and_says_how_to_go_on(folder, tmp_path, monkeypatch, capsys):
    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("assistant.commands.deidentify._progress", interrupt)
    out = tmp_path / "out"
    assert app.main(["deidentify", str(folder), "--out", str(out), "--pixels", "keep"]) == 130
    assert "begin again with a new --out" in capsys.readouterr().err
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.suffix in (".dcm", ".png", ".txt")}
    noted = {json.loads(line)["output"] for line in (out / "audit.jsonl").read_text().splitlines()}
    assert written == noted
    assert len(written) == 2
    assert not list(out.rglob("*.part"))


def test_a_long_run_tells_how_far_it_is(planted, saved, tmp_path, capsys):
    for number in range(11):
        (tmp_path / f"{number}.dcm").write_bytes(saved(planted(SOPInstanceUID=f"1.2.3.{number}")))
    assert app.main(["deidentify", str(tmp_path), "--out", str(tmp_path / "out"), "--pixels", "keep"]) == 0
    assert "11 of 11 files" in capsys.readouterr().err


def test_what_cannot_be_meant_is_refused(folder, tmp_path, capsys):
    words = ["deidentify", str(folder), "--out", str(tmp_path)]
    assert app.main([*words, "--pixels", "keep"]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert app.main([*words, "--key", str(tmp_path / "key")]) == 2
    assert "lies inside --out" in capsys.readouterr().err
    with pytest.raises(DataError, match="does not exist"):
        run_deidentify_files([str(tmp_path / "nowhere")], tmp_path / "o", NO_OCR)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="No file to de-identify"):
        run_deidentify_files([str(tmp_path / "empty")], tmp_path / "o", NO_OCR)
    (tmp_path / "salt").write_bytes(b"short")
    with pytest.raises(DataError, match="has 5 bytes instead of 32"):
        run_deidentify_files([str(folder)], tmp_path / "o", NO_OCR, salt=tmp_path / "salt")


def test_without_ocr_pixels_are_refused_before_anything_is_done(folder, tmp_path, monkeypatch):
    burned._engine.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "rapidocr_onnxruntime", None)
    with pytest.raises(ConfigError, match=r"medassist\[deid\]"):
        run_deidentify_files([str(folder)], tmp_path / "out", Profile())
    assert not (tmp_path / "out").exists()


@needs_ocr
@pytest.mark.filterwarnings("ignore")  # of libraries that RapidOCR loads
def test_burned_in_text_is_blacked_out_and_all_else_is_equal(folder, tmp_path, labelled):
    outcome = run_deidentify_files(
        [str(folder / "ZAPHOD.dcm"), str(folder / "Beeblebrox.png")], tmp_path / "o", Profile()
    )
    assert outcome.failed == []
    clean = pydicom.dcmread(next((tmp_path / "o").rglob("*.dcm")))
    pictures = [clean.pixel_array, np.asarray(Image.open(next((tmp_path / "o").rglob("*.png"))))]
    assert clean.BurnedInAnnotation == "NO"
    for pixels in pictures:
        assert not (pixels > 100).any()  # the letters were 250, the ramp ends at 90
        assert np.array_equal(pixels[:, 200:], labelled[:, 200:])
        assert np.array_equal(pixels[80:], labelled[80:])
    if shutil.which("tesseract"):
        stream = io.BytesIO()
        Image.fromarray(pictures[0]).resize((1280, 640)).save(stream, "PNG")
        read = subprocess.run(["tesseract", "-", "-"], input=stream.getvalue(), capture_output=True, check=False)
        assert b"ZAPHOD" not in read.stdout
        assert b"4711" not in read.stdout


def test_two_objects_with_one_instance_uid_are_both_written(tmp_path, planted, with_picture, saved, labelled):
    (tmp_path / "in").mkdir()
    for number, pixels in enumerate((labelled, labelled, labelled + 1)):  # the second is a copy of the first
        (tmp_path / "in" / f"{number}.dcm").write_bytes(saved(with_picture(planted(), pixels)))
    assert app.main(["deidentify", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--pixels", "keep"]) == 0
    found = sorted(tmp_path.glob("out/**/*.dcm"))
    assert len(found) == 2
    assert len({path.read_bytes() for path in found}) == 2
