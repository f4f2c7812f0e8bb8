"""Tables become examples, or are refused as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from assistant.errors import DataError
from data_recipes.build import build_data, main
from data_recipes.schema import read_examples


def table(folder: Path, text: str, pictures: int = 6) -> Path:
    (folder / "pics").mkdir(parents=True, exist_ok=True)
    for number in range(pictures):
        grey = np.random.default_rng(number).integers(0, 255, (6, 6)).astype(np.uint8)
        Image.fromarray(np.kron(grey, np.ones((20, 20), np.uint8))).save(folder / "pics" / f"{number}.png")
    (folder / "t.csv").write_text(text, "utf-8")
    return folder / "t.csv"


def build(source: Path, out: Path, **options):
    return build_data("csv", source, out, **{"licence": "CC0-1.0", **options})


def read(out: Path, split: str = "train"):
    return list(read_examples(out / f"{split}.jsonl"))


ROWS = """bild,frage,antwort,optionen,teil,pat,geraet
pics/0.png,Is there a mass?,Yes,,train,a,CT scan
pics/1.png,"Which side, please?",Left,Left|Right,train,b,CT
pics/2.png;pics/3.png,Where?,In the liver,,dev,c,MR
"""
GERMAN = {
    "image": "bild",
    "question": "frage",
    "answer": "antwort",
    "choices": "optionen",
    "split": "teil",
    "patient": "pat",
    "modality": "geraet",
}


def test_columns_named_on_the_command_line_are_read(tmp_path):
    assert build(table(tmp_path, ROWS), tmp_path / "out", **GERMAN) == {"train.jsonl": 2, "dev.jsonl": 1}
    one, two = read(tmp_path / "out")
    assert (one.id, one.answer_type, one.choices, one.modality) == ("own-row2", "closed", None, "CT")
    assert (two.answer_type, two.choices, two.messages[0]["content"]) == (
        "choice",
        ("Left", "Right"),
        "Which side, please?",
    )
    assert read(tmp_path / "out", "dev")[0].images == ("images/pics/2.png", "images/pics/3.png")
    assert len(one.patient) == 16
    assert one.patient != two.patient


def test_columns_of_the_options_names_need_not_be_named_and_splits_follow_the_patient(tmp_path):
    rows = "".join(f"pics/{n % 6}.png,Q{n}?,A{n},p{n % 6}\n" for n in range(60))
    counts = build(
        table(tmp_path, "image,question,answer,patient\n" + rows), tmp_path / "out", shares="train=0.5,dev=0.5"
    )
    assert sum(counts.values()) == 60
    patients = [{one.patient for one in read(tmp_path / "out", split)} for split in ("train", "dev")]
    assert not patients[0] & patients[1]


def test_a_report_column_makes_reports_with_sections(tmp_path):
    text = 'image,report\npics/0.png,"FINDINGS: A nodule.\nIMPRESSION: Nodule."\n'
    build(table(tmp_path, text), tmp_path / "out", shares="train=1")
    (one,) = read(tmp_path / "out")
    assert (one.task, one.messages[1]["content"]) == ("report", "Findings: A nodule.\nImpression: Nodule.")


def test_text_questions_need_no_picture_and_tabs_and_byte_order_marks_are_read(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("\ufeffquestion\tanswer\nWhich nerve?\tVagus\n", "utf-8")
    build(path, tmp_path / "out", shares="train=1")
    assert read(tmp_path / "out")[0].images == ()


def test_a_dicom_file_is_written_as_a_picture_without_its_header(tmp_path):
    (tmp_path / "a.dcm").write_bytes(Path(get_testdata_file("CT_small.dcm")).read_bytes())
    (tmp_path / "t.csv").write_text("image,question,answer\na.dcm,CT?,Yes\n", "utf-8")
    build(tmp_path / "t.csv", tmp_path / "out", shares="train=1")
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == ["a.dcm.png"]
    with Image.open(tmp_path / "out" / "images" / "a.dcm.png") as picture:
        assert picture.format == "PNG"


def test_all_faults_are_told_with_line_column_value_and_mend(tmp_path):
    rows = (
        "id,image,question,answer,choices,split,patient\n"
        "a,pics/0.png,Q?,Yes,,train,p\n"
        "a,pics/9.png,Q?,No,,train,q\n"
        "b,../secret.png,Q?,No,,train,q\n"
        "c,/etc/x.png,Q?,No,,train,q\n"
        "d,pics/1.png,,Maybe,Yes|No,practice,q\n"
        "e,pics/1.png,Q?,No,,dev,p\n"
    )
    with pytest.raises(DataError) as caught:
        build(table(tmp_path, rows), tmp_path / "out")
    told = str(caught.value)
    for fault in (
        "8 faults, nothing was written",
        "line 3: column 'image' is \"pics/9.png\", but",
        "line 3: column 'id' is \"a\", which line 2 has; give each its own",
        "line 4: column 'image': image path is \"../secret.png\", which leaves the folder",
        "line 5: column 'image': image path is \"/etc/x.png\"; give it relative",
        "line 6: column 'question' is empty; fill it in",
        "line 6: column 'answer' is \"Maybe\", which is none of its choices",
        "line 6: column 'split' is \"practice\"; use one of train, dev, test, smoke",
        'line 7: the patient of line 2 is in "train" there and in "dev" here; keep one',
    ):
        assert fault in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pics", "t.csv"]


def test_a_link_that_leaves_the_folder_and_names_that_would_collide_are_refused(tmp_path):
    source = table(tmp_path / "in", "image,question,answer\na.png,Q?,B\npics/0.png,Q?,B\nimages/pics/0.png,Q?,B\n")
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "in" / "a.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "in" / "images" / "pics").mkdir(parents=True)
    (tmp_path / "in" / "images" / "pics" / "0.png").write_bytes(b"x")
    with pytest.raises(
        DataError, match=r'is "a.png", a link out of the folder(.|\n)*would both be written to images/pics'
    ):
        build(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n", {}, r"has the columns 'a', 'b', but neither an answer nor a report is named"),
        ("a,answer\n1,2\n", {}, r"no question is named \(--question COLUMN\)"),
        ("question,answer\nq,a\n", {"image": "scan_file"}, "--image is 'scan_file'"),
        ("question,answer\n", {}, "there is no row below the headings"),
        ("question,answer\nq,a\n", {"delimiter": "::"}, "--delimiter is '::'; give one character"),
        ("question,answer\nq,a\n", {"licence": " "}, "with --licence TEXT"),
        ('question,answer\nq,"a\n', {}, "no sound CSV"),
    ],
)
def test_tables_that_cannot_be_meant_are_refused(tmp_path, text, options, message):
    with pytest.raises(DataError, match=message):
        build(table(tmp_path, text), tmp_path / "out", **options)


def test_a_table_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes("question,answer\nGröße?,groß\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"t\.csv: not UTF-8 .*save it as CSV UTF-8"):
        build(tmp_path / "t.csv", tmp_path / "out")
    with pytest.raises(DataError, match="is a folder; give the CSV file"):
        build(tmp_path, tmp_path / "out")


def test_the_command_line_names_columns(tmp_path):
    arguments = ["csv", "--source", str(table(tmp_path, ROWS)), "--out", str(tmp_path / "out"), "--licence", "CC0"]
    assert main([*arguments, *(part for name, column in GERMAN.items() for part in (f"--{name}", column))]) == 0
    assert len(read(tmp_path / "out")) == 2
