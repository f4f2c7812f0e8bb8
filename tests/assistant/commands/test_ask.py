import json
from dataclasses import replace

import pytest
from pydicom.data import get_testdata_file

from assistant.commands.ask import SHOWN, answer_text, run_ask
from assistant.config import AssistantConfig
from assistant.conversation import NOT_FOR_CLINICAL_USE, Answer
from assistant.errors import ImageError
from data_recipes.phantom_volume import make_phantom_volume, write_series

CONFIG = AssistantConfig(index="none")
FIELDS = {"answer", "confidence", "abstained", "evidence", "grounds", "cautions", "model", "seconds"}


def test_json_has_the_fields_that_scripts_rely_on(opener, make_file, capsys):
    code = run_ask(CONFIG, opener, images=[str(make_file("a.png"))], question="What is this?", as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert code == 0
    assert set(printed) == FIELDS
    assert set(printed["model"]) == {"name", "fingerprint"}


def test_a_dicom_file_and_several_images_are_taken(opener, make_file, capsys):
    images = [get_testdata_file("CT_small.dcm"), str(make_file("a.jpg"))]
    assert run_ask(CONFIG, opener, images=images, question="Is there a fracture?", as_json=True) == 0
    assert set(json.loads(capsys.readouterr().out)) == FIELDS


def test_a_question_without_image_or_evidence_is_answered_by_an_abstention(opener, capsys):
    assert run_ask(CONFIG, opener, images=[], question="What is a pneumothorax?", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["abstained"] is True


def test_a_missing_image_is_named_before_the_model_loads():
    def never(config):
        raise AssertionError("the model was loaded")

    with pytest.raises(ImageError, match=r"nowhere\.png does not exist\. Check the path"):
        run_ask(CONFIG, never, images=["nowhere.png"], question="What?")


def test_a_broken_image_is_named_before_the_model_loads(tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"")
    with pytest.raises(ImageError, match="empty"):
        run_ask(CONFIG, lambda config: pytest.fail("loaded"), images=[str(path)], question="What?")


def test_plain_text_shows_answer_confidence_evidence_cautions_and_notice(make_evidence):
    passage = make_evidence("Clear lungs", "Dark lungs. " * 60)
    answer = Answer("No.", 0.91, False, (passage,), ("Assumed window.",), "tiny", "feed", 0.1)
    text = answer_text(answer)
    lines = text.splitlines()
    assert lines[0] == "No."
    assert "Confidence: high (91 %)" in lines
    assert any(line.startswith("  [1] Clear lungs: Dark lungs.") and len(line) < SHOWN + 30 for line in lines)
    assert "      a card (CC0-1.0)" in lines
    assert "  - Assumed window." in lines
    assert text.count(NOT_FOR_CLINICAL_USE) == 1
    assert answer_text(replace(answer, cautions=(NOT_FOR_CLINICAL_USE,))).count(NOT_FOR_CLINICAL_USE) == 1


def test_a_volume_is_asked_about_and_the_slices_read_are_named(opener, tmp_path, capsys):
    write_series(make_phantom_volume(5, 0, kind="head_ct", slices=8, size=64), tmp_path / "ct")
    assert run_ask(CONFIG, opener, images=[str(tmp_path / "ct")], question="Is there a bleed?", as_json=True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == FIELDS | {"slices"}
    assert printed["slices"][0]["of"] == 8
    run_ask(CONFIG, opener, images=[str(tmp_path / "ct")], question="Is there a bleed?")
    assert "Slices read:\n  - axial slice " in capsys.readouterr().out
