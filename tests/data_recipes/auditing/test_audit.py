"""The audit finds what is planted, says where, and is not fooled by what is fine."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from data_recipes import audit as command
from data_recipes.audit import audit, check_build, main
from data_recipes.auditing.files import find_files
from data_recipes.schema import Preference, write_preferences

ROOT = Path(__file__).parents[3]


def kinds(folder, **allowed):
    return {leak.kind: leak.count for leak in audit(find_files([folder]), allowed).leaks}


def saved_anew(path: Path) -> None:
    """Save a picture at three quarters of its size as a JPEG of low quality, under its own name."""
    buffer = io.BytesIO()
    with Image.open(path) as picture:
        picture.resize((120, 120)).save(buffer, "JPEG", quality=50)
    path.write_bytes(buffer.getvalue())


def test_clean_data_pass_and_get_a_card(folder):
    data = folder()
    assert check_build(data) is not None
    card = (data / "DATA_CARD.md").read_text("utf-8")
    assert "None: no id, patient, picture" in card
    assert "| CC0-1.0 | own (10) |" in card
    assert "| north | 8 (100%) | 2 (100%) |" in card
    with Image.open(data / "data_card.png") as plot:
        assert plot.format == "PNG"
    assert json.loads((data / "audit.json").read_text("utf-8"))["leaks"] == []


def test_several_questions_about_one_picture_of_one_split_are_fine(folder, example):
    more = tuple(example(number, id=f"x{number}", question="Is it large?") for number in range(8))
    assert kinds(folder(train=more)) == {}


def test_an_id_in_two_splits_is_a_leak(folder, example):
    assert kinds(folder(dev=(example(200, id="e1"),))) == {"id": 1}


def test_a_patient_in_two_splits_is_a_leak_within_one_source_only(folder, example):
    assert kinds(folder(dev=(example(200, patient="p1"), example(201, patient="p2", source="else")))) == {"patient": 1}


def test_an_equal_picture_under_another_name_is_a_leak(folder, example, picture):
    data = folder(dev=(example(200),))
    picture(3).save(data / "images" / "200.png")
    assert kinds(data) == {"image": 1}


def test_a_picture_saved_anew_is_a_leak(folder, example, picture):
    data = folder(dev=(example(200),))
    picture(3).save(data / "images" / "200.png")
    saved_anew(data / "images" / "200.png")
    assert kinds(data) == {"near-image": 1}


def test_a_mirrored_picture_is_told_but_fails_no_build(folder, example, picture):
    data = folder(dev=(example(200),))
    ImageOps.mirror(picture(3)).save(data / "images" / "200.png")
    findings = check_build(data)
    assert findings is not None
    assert [(leak.kind, leak.fails) for leak in findings.leaks] == [("turned-image", False)]
    assert "A notice, no failure" in (data / "DATA_CARD.md").read_text("utf-8")


def test_a_question_without_a_picture_in_two_splits_is_a_leak_and_one_with_is_none(folder, example):
    text = example(50, question="Which nerve moves the tongue?", answer="Hypoglossal", images=(), answer_type="open")
    again = example(51, question="which nerve moves the tongue", answer="XII", images=(), answer_type="open")
    assert kinds(folder(train=(text,), dev=(again,))) == {"question": 1}


def test_all_faults_are_told_at_once_and_where(folder, example):
    data = folder(train=(example(1),), dev=(example(200, patient="p1"), example(201), example(202)))
    (data / "images" / "201.png").write_bytes((data / "images" / "202.png").read_bytes()[:60])
    (data / "images" / "7.png").unlink()
    with pytest.raises(command.DataError) as caught:
        check_build(data)
    told = str(caught.value)
    assert "2 pictures are missing or broken" in told
    assert "7.png cannot be read (No such file or directory) (train.jsonl record 8)" in told
    assert "201.png the PNG picture is cut off or damaged" in told
    assert "1 records have an id that is taken" in told
    assert "train.jsonl record 2 and train.jsonl record 9" in told
    assert "leak patient: 1 patients stand in two splits" in told
    assert "train.jsonl record 2 and dev.jsonl record 3" in told
    assert "--allow-leak 'patient=…'" in told
    assert not (data / "DATA_CARD.md").exists()


def test_a_declared_leak_passes_and_the_card_gives_the_reason(folder, example):
    data = folder(dev=(example(200, patient="p1"),))
    assert main([str(data), "--out", str(data), "--allow-leak", "patient=official split of the data set"]) == 0
    assert "**Allowed:** official split of the data set" in (data / "DATA_CARD.md").read_text("utf-8")


@pytest.mark.parametrize("given", ["faces=why not so", "patient", "patient=ok"])
def test_a_leak_is_allowed_only_by_kind_and_reason(folder, given, capsys):
    assert main([str(folder()), "--allow-leak", given]) == 2
    assert f"--allow-leak is {given!r}; write KIND=REASON" in capsys.readouterr().err


def test_the_command_exits_1_on_a_leak_and_names_files_in_two_folders(folder, example, tmp_path, capsys):
    data = folder()
    other = tmp_path / "other"
    (other / "images").mkdir(parents=True)
    (other / "images" / "1.png").write_bytes((data / "images" / "1.png").read_bytes())
    (other / "mine.jsonl").write_text(json.dumps(example(1, id="z", patient="q").to_dict()), "utf-8")
    assert main([f"train={data / 'train.jsonl'}", f"dev={other / 'mine.jsonl'}"]) == 1
    told = capsys.readouterr().out
    assert f"{data / 'train.jsonl'} record 2 (1.png) and {other / 'mine.jsonl'} record 1 (1.png)" in told
    assert "9 records, 8 pictures: 1 to mend" in told


def test_a_blank_picture_is_no_leak_but_is_told(folder, example):
    data = folder(dev=(example(200),), train=(example(50),))
    for number in (50, 200):
        Image.new("L", (40, 40), 90).save(data / "images" / f"{number}.png")
    findings = audit(find_files([data]))
    assert findings.problems == []
    assert "1 pictures are blank (one grey all over); are they meant to be?" in findings.notices


def test_notices_name_contradictions_unknown_patients_and_answers_off_the_choices(folder, example):
    data = folder(
        train=(
            example(1, id="a", answer="No"),
            example(2, id="b", question="Which?", answer="Cab", choices=("A", "B"), answer_type="choice"),
            example(3, id="c", question="Why?", patient=None),
        )
    )
    told = "\n".join(audit(find_files([data])).notices)
    assert "1 closed or choice questions are asked twice" in told
    assert "train.jsonl record 2 and train.jsonl record 9" in told
    assert "1 of 13 records name no patient" in told
    assert "train: 1 answers name none of the choices offered." in told


def test_preferences_that_length_gives_away_are_told(tmp_path):
    pairs = [
        Preference(
            f"p{number}",
            (),
            [{"role": "user", "content": "Report?"}],
            "No mass is seen here",
            "Mass",
            "made up",
            source="own",
            licence="CC0-1.0",
        )
        for number in range(4)
    ]
    write_preferences(tmp_path / "preferences.jsonl", pairs)
    findings = audit(find_files([tmp_path]))
    assert findings.notices == [
        "other: the better answer is the longer in 100% of the pairs, the shorter in 0%; "
        "a model may learn length (--length-matched of the preferences recipe)."
    ]
    assert findings.tally.splits["other"].counts["fault of the worse answer"] == {"made up": 4}


def test_a_shift_between_splits_is_told(folder, example):
    train = tuple(example(300 + number, images=(), question=f"q{number}?") for number in range(60))
    dev = tuple(example(400 + number, images=(), question=f"r{number}?", modality="MRI") for number in range(60))
    told = audit(find_files([folder(train=train, dev=dev)])).notices
    assert "dev differs from train in modality: 97% of its records would have to change." in told


def test_the_card_does_without_matplotlib_and_says_so(folder, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    data = folder()
    with caplog.at_level(logging.WARNING):
        check_build(data)
    assert "no plots in the data card: matplotlib is missing" in caplog.text
    assert "data_card.png" not in (data / "DATA_CARD.md").read_text("utf-8")


def test_wrong_usage_exits_2(tmp_path, capsys):
    assert main([str(tmp_path / "none")]) == 2
    assert f"{tmp_path / 'none'} does not exist; give a folder, a JSONL file, or SPLIT=FILE." in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert "no example file in" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys, data_recipes.audit as b\n"
        "try:\n    b.main(['--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'numpy', 'PIL', 'torch', 'matplotlib', 'faiss'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
