"""DICOM studies with reports become examples, and nothing that names a patient is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from assistant.errors import DataError
from data_recipes.build import build_data, main
from data_recipes.schema import read_examples

SECRETS = ("Miller", "Anna", "HOSP-77", "ACC123", "19610203", "3.2.1961", "St. Elsewhere", "Strange", "1.2.826.0.1")


def dataset(study: int, sop: str, **changes) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = sop, generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = f"1.2.826.0.1.{study}", f"1.2.826.0.1.{study}.1"
    data.PatientName, data.PatientID, data.PatientBirthDate = "Miller^Anna", f"HOSP-77{study // 2}", "19610203"
    data.AccessionNumber, data.StudyID = f"ACC123{study}", "1"
    data.InstitutionName, data.ReferringPhysicianName = "St. Elsewhere", "Strange^Stephen"
    for name, value in changes.items():
        setattr(data, name, value)
    return data


def image(study: int, number: int = 1, **changes) -> Dataset:
    data = dataset(study, "1.2.840.10008.5.1.4.1.1.1.1", Modality="DX", BodyPartExamined="CHEST", ViewPosition="PA")
    pixels = np.random.default_rng(study * 100 + number).integers(0, 255, (8, 8)).astype(np.uint8)
    pixels = np.kron(pixels, np.ones((20, 20), np.uint8))
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.InstanceNumber = 7, number
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OB"
    for name, value in changes.items():
        setattr(data, name, value)
    return data


def save(data: Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


REPORT = (
    "Patient: Anna Miller\nDOB: 03.02.1961\nINDICATION: Cough.\nFINDINGS: Mrs Miller (HOSP-77{0}) has a nodule in the "
    "right upper lobe. The effusion is unchanged since the prior study.\nCONCLUSION: Nodule. Reported to Dr. Strange "
    "of St. Elsewhere, ref ACC123{1}, born 3.2.1961.\nElectronically signed by S. Strange\n"
)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Six studies of three patients, each in a folder with its report."""
    for study in range(6):
        save(image(study), tmp_path / "in" / f"s{study}" / "a.dcm")
        (tmp_path / "in" / f"s{study}" / "report.txt").write_text(REPORT.format(study // 2, study), "utf-8")
    return tmp_path / "in"


def built(out: Path):
    return [(file.stem, one) for file in sorted(out.glob("*.jsonl")) for one in read_examples(file)]


def build(source: Path, out: Path, **options) -> dict[str, int]:
    return build_data("dicom_folder", source, out, **{"licence": "in-house", "pixels": "keep", **options})


def test_studies_are_paired_with_the_reports_beside_them(studies, tmp_path):
    assert sum(build(studies, tmp_path / "out").values()) == 6
    split, one = built(tmp_path / "out")[0]
    assert split in ("train", "dev", "test")
    assert one.messages[0]["content"] == "Indication: Cough.\nWrite a report."
    assert one.messages[1]["content"] == (
        "Findings: Mrs [removed] ([removed]) has a nodule in the right upper lobe.\n"
        "Impression: Nodule. Reported to Dr. [removed] of [removed], ref [removed], born [removed]."
    )
    assert (one.modality, one.anatomy, one.task, one.licence) == ("X-ray", "chest", "report", "in-house")
    assert one.truth == {"modality": "X-ray", "region": "chest", "view": "PA"}
    with Image.open(one.image_paths(tmp_path / "out")[0]) as picture:
        assert (picture.mode, picture.size, picture.info) == ("L", (160, 160), {})


def test_nothing_that_names_a_patient_is_written(studies, tmp_path):
    build(studies, tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) >= 6 + 4
    for path in files:
        text = path.read_bytes() + str(path.relative_to(tmp_path / "out")).encode()
        assert not [secret for secret in SECRETS if secret.encode().lower() in text.lower()], path


def test_text_in_the_pictures_is_blacked_out_unless_it_is_to_be_kept(tmp_path):
    pytest.importorskip("rapidocr_onnxruntime", reason="reads the text")
    film = Image.fromarray(np.tile(np.linspace(40, 90, 500).astype(np.uint8), (300, 1)))
    ImageDraw.Draw(film).text((20, 30), "ZAPHOD 4711881", fill=250, font=ImageFont.load_default(size=30))
    pixels = np.array(film)
    shown = image(0, Rows=300, Columns=500, PixelData=pixels.tobytes())
    save(shown, tmp_path / "in" / "s0" / "a.dcm")
    (tmp_path / "in" / "s0" / "report.txt").write_text(REPORT.format(0, 0), "utf-8")
    written = {}
    for rule in ("clean", "keep"):
        build(tmp_path / "in", tmp_path / rule, pixels=rule)
        ((_, one),) = built(tmp_path / rule)
        with Image.open(one.image_paths(tmp_path / rule)[0]) as picture:
            written[rule] = np.array(picture)
    bright = written["keep"] > 240
    assert bright.sum() > 500
    assert not written["clean"][bright].any()
    assert np.array_equal(written["clean"][100:], written["keep"][100:])


def test_a_patients_studies_stay_together_under_one_pseudonym(studies, tmp_path):
    build(studies, tmp_path / "out", shares="train=0.5,dev=0.5")
    homes: dict[str, set[str]] = {}
    for split, one in built(tmp_path / "out"):
        homes.setdefault(one.patient, set()).add(split)
    assert len(homes) == 3
    assert all(len(splits) == 1 and len(patient) == 16 for patient, splits in homes.items())


@pytest.mark.parametrize("kind", ["csv", "jsonl", "folder"])
def test_reports_are_found_by_accession_number_or_study_uid(studies, tmp_path, kind):
    for path in studies.rglob("*.txt"):
        path.unlink()
    rows = [
        ("ACC1230", "Findings: Clear lungs."),
        ("1.2.826.0.1.3", "Findings: Large heart."),
        ("other", "Findings: x"),
    ]
    where = tmp_path / ("list." + kind if kind != "folder" else "reports")
    if kind == "csv":
        where.write_text("acc,text\n" + "".join(f"{key},{text}\n" for key, text in rows), "utf-8")
    elif kind == "jsonl":
        where.write_text("".join(json.dumps({"acc": key, "text": text}) + "\n" for key, text in rows), "utf-8")
    else:
        where.mkdir()
        for key, text in rows:
            (where / f"{key}.txt").write_text(text, "utf-8")
    build(studies, tmp_path / "out", reports=where, report_id="acc", report_text="text")
    answers = sorted(one.messages[1]["content"] for _, one in built(tmp_path / "out"))
    assert answers == ["Findings: Clear lungs.", "Findings: Large heart."]


def test_a_structured_report_is_the_report_of_its_study(tmp_path):
    def text(name: str, value: str) -> Dataset:
        item, code = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "DCM", name
        item.ValueType, item.TextValue, item.ConceptNameCodeSequence = "TEXT", value, [code]
        return item

    container = text("Findings", "")
    container.ValueType = "CONTAINER"
    del container.TextValue
    container.ContentSequence = [text("Finding", "A small nodule.")]
    report = dataset(1, "1.2.840.10008.5.1.4.1.1.88.11", Modality="SR", ValueType="CONTAINER")
    report.ContentSequence = [container, text("Impression", "Nodule of Miller.")]
    save(image(1), tmp_path / "in" / "a.dcm")
    save(report, tmp_path / "in" / "b.dcm")
    build(tmp_path / "in", tmp_path / "out")
    assert built(tmp_path / "out")[0][1].messages[1]["content"] == (
        "Findings: A small nodule.\nImpression: Nodule of [removed]."
    )


def test_one_image_a_series_is_taken_the_middle_one(tmp_path):
    for number in range(1, 6):
        save(image(0, number, SeriesInstanceUID="1.2.826.0.1.9.7"), tmp_path / "in" / f"{number}.dcm")
    save(image(0, 9, SeriesInstanceUID="1.2.826.0.1.9.8"), tmp_path / "in" / "9.dcm")
    (tmp_path / "acc1230.txt").write_text("Findings: Clear.", "utf-8")
    (tmp_path / "reports").mkdir()
    (tmp_path / "acc1230.txt").rename(tmp_path / "reports" / "ACC1230.txt")
    build(tmp_path / "in", tmp_path / "out", reports=tmp_path / "reports")
    one = built(tmp_path / "out")[0][1]
    shown = [np.asarray(Image.open(path)) for path in one.image_paths(tmp_path / "out")]
    expected = [image(0, number).pixel_array for number in (9, 3)]
    assert len(shown) == 2
    assert all(np.array_equal(have, want) for have, want in zip(shown, expected, strict=True))


def test_comparisons_are_kept_on_request(studies, tmp_path):
    build(studies, tmp_path / "out", keep_comparisons=True)
    assert "unchanged since the prior study" in built(tmp_path / "out")[0][1].messages[1]["content"]


def test_all_faults_are_told_at_once_and_nothing_is_written(studies, tmp_path):
    (studies / "s0" / "report.txt").write_bytes("Findings: große Läsion".encode("latin-1"))
    (studies / "s1" / "report.txt").write_text(" ", "utf-8")
    (studies / "s2" / "b.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    (studies / "s3" / "ACC1233.txt").write_text("Findings: Another.", "utf-8")
    (studies / "s3" / "report.txt").rename(studies / "s3" / "1.2.826.0.1.3.txt")
    with pytest.raises(DataError) as caught:
        build(studies, tmp_path / "out")
    told = str(caught.value)
    assert "4 faults, nothing was written" in told
    assert f"{studies / 's0' / 'report.txt'}: not UTF-8" in told
    assert f"{studies / 's1' / 'report.txt'}: the report is empty" in told
    assert f"{studies / 's2' / 'b.dcm'}: no readable DICOM header" in told
    assert "is another report for the same study; keep the final one" in told
    assert not (tmp_path / "out").exists()


def test_a_broken_picture_stops_the_build_or_is_skipped(studies, tmp_path):
    whole = (studies / "s0" / "a.dcm").read_bytes()
    (studies / "s0" / "a.dcm").write_bytes(whole[:-9000])
    with pytest.raises(DataError, match=r"1 faults, nothing was written(.|\n)*a\.dcm: .*Mend it, or use --skip-broken"):
        build(studies, tmp_path / "out")
    assert sum(build(studies, tmp_path / "out", skip_broken=True).values()) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"licence": None}, "say under what terms the data may be used, with --licence TEXT"),
        ({"images": 0}, "--images is 0; use 1 or more"),
        ({"max_side": 0}, "--max-side is 0; use 1 or more"),
        ({"reports": Path("none")}, "--reports none does not exist"),
        ({"shares": "train=2"}, "--shares has 'train=2'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(studies, tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        build(studies, tmp_path / "out", **options)


def test_reports_that_belong_to_no_study_and_wrong_columns_are_told(studies, tmp_path):
    for path in studies.rglob("*.txt"):
        path.unlink()
    reports = tmp_path / "reports"
    reports.mkdir()
    with pytest.raises(DataError, match=r"holds no \.txt file"):
        build(studies, tmp_path / "out", reports=reports)
    (reports / "x.txt").write_text("Findings: Clear.", "utf-8")
    with pytest.raises(DataError, match="none of 1 reports belongs to one of 6 studies"):
        build(studies, tmp_path / "out", reports=reports)
    (tmp_path / "list.csv").write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(DataError, match="there is no column 'study', only 'a', 'b'; see --report-id, --report-text"):
        build(studies, tmp_path / "out", reports=tmp_path / "list.csv")
    with pytest.raises(DataError, match="neither a folder nor a .csv, .tsv or .jsonl list"):
        build(studies, tmp_path / "out", reports=studies / "s0" / "a.dcm")


def test_the_command_line_takes_the_recipes_own_options(studies, tmp_path, capsys):
    arguments = ["dicom_folder", "--source", str(studies), "--out", str(tmp_path / "out"), "--licence", "in-house"]
    assert main([*arguments, "--site", "north"]) == 0
    assert {one.site for _, one in built(tmp_path / "out")} == {"north"}
    told = capsys.readouterr().err
    assert "6 studies, 6 reports, 6 of them paired" in told
    assert not [secret for secret in SECRETS if secret in told]
    with pytest.raises(SystemExit):
        main(["dicom_folder", "--help"])
    assert "--report-id COLUMN" in capsys.readouterr().out
