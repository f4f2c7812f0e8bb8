from pathlib import Path

import pytest

from assistant.template_files import shipped
from assistant.ui.report_tab import Drafting, edited_markdown, template_choices

RECORD = {
    "sections": {"technique": "A film.", "findings": "Clear.", "impression": "Normal."},
    "confidence": 0.8,
    "abstained": False,
    "cautions": [],
    "evidence": [],
    "model": {"name": "tiny", "fingerprint": "feed"},
}


@pytest.fixture
def tab(service):
    return Drafting(service)


def test_an_image_becomes_three_sections_and_a_record(tab, upload):
    path = upload("a.png")
    first, last = list(tab.draft([path], None, "cough"))
    assert "Drafting" in first[5]
    assert len(last[0]) == 1
    assert last[4]["sections"] == {"technique": last[1], "findings": last[2], "impression": last[3]}
    assert "ma-bar" in last[5]
    assert last[6:] == (None, None)
    assert not Path(path).exists()


def test_an_earlier_image_is_shown_and_deleted_too(tab, upload):
    path = upload("earlier.png")
    states = list(tab.draft([upload("a.png")], [path], None))
    assert len(states[-1][0]) == 2
    assert not Path(path).exists()


@pytest.mark.parametrize("files", [None, []])
def test_no_image_asks_for_one(tab, files):
    ((*_, panel, _, _),) = tab.draft(files, None, "")
    assert "Add at least one image" in panel


def test_a_broken_file_is_told(tab, upload):
    ((*_, panel, _, _),) = tab.draft([upload("broken.dcm", b"no picture")], None, "")
    assert "broken.dcm" in panel
    assert "role='alert'" in panel


def test_edits_are_kept_and_named():
    page = edited_markdown(RECORD, "A film.", "Small effusion.", "Effusion.")
    assert "Small effusion." in page
    assert "Clear." not in page
    assert "Edited by a person after drafting: findings, impression." in page


def test_a_draft_without_edits_says_nothing_of_them():
    assert "Edited by" not in edited_markdown(RECORD, "A film.", "Clear.", "Normal. ")


def test_without_a_draft_there_is_nothing_to_download():
    assert edited_markdown(None, "", "", "") == ""


def test_the_menu_offers_auto_and_every_template():
    choices = template_choices(shipped())
    assert choices[0][1] == "auto"
    assert ("Chest X-ray", "chest-xray") in choices
    assert len(choices) == len(shipped().by_name) + 1


def test_the_chosen_template_is_the_reports(tab, upload):
    *_, last = tab.draft([upload("a.png")], None, None, "generic")
    assert last[4]["template"]["name"] == "generic"
    assert last[4]["template"]["chosen_by"] == "name"


def test_a_comparison_stands_in_the_findings_and_is_not_lost(tab, upload):
    *_, last = tab.draft([upload("a.png")], [upload("b.png")], None)
    sections = last[4]["sections"]
    assert last[2] == f"{sections['findings']} {sections['comparison']}".strip()
    page = edited_markdown(last[4], last[1], last[2], last[3])
    assert sections["comparison"] in page
    assert "Edited by a person" not in page
