from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from assistant.template_files import shipped
from assistant.ui.report_finish import sections_of
from assistant.ui.report_tab import Drafting, template_choices


@pytest.fixture
def tab(service):
    return Drafting(service)


def test_an_image_becomes_three_sections_and_a_record(tab, upload):
    path = upload("a.png")
    first, *_, last = tab.draft([path], None, "cough")
    assert "Drafting" in first[5]
    assert len(last[0]) == 1
    assert last[4].report.sections == {"technique": last[1], "findings": last[2], "impression": last[3]}
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
    assert "Image 1: " in panel
    assert "role='alert'" in panel


def test_the_sections_appear_while_they_are_written(tab, upload, opened):
    states = list(tab.draft([upload("a.png")], None, None))
    assert len(states) > 2, "nothing was shown between the start and the end"
    growing = [" ".join(one[1:4]) for one in states[1:-1]]
    assert all(later.startswith(sooner.rstrip()) for sooner, later in zip(growing, growing[1:], strict=False))
    assert all("Writing" in one[5] for one in states[1:-1])


def test_the_menu_offers_auto_and_every_template():
    choices = template_choices(shipped())
    assert choices[0][1] == "auto"
    assert ("Chest X-ray", "chest-xray") in choices
    assert len(choices) == len(shipped().by_name) + 1


def test_the_chosen_template_is_the_reports(tab, upload):
    *_, last = tab.draft([upload("a.png")], None, None, "generic")
    assert last[4].report.to_dict()["template"]["name"] == "generic"
    assert last[4].report.to_dict()["template"]["chosen_by"] == "name"


def test_a_comparison_stands_in_the_findings_and_is_not_lost(tab, upload):
    *_, last = tab.draft([upload("a.png")], [upload("b.png")], None)
    sections = last[4].report.sections
    assert last[2] == f"{sections['findings']} {sections['comparison']}".strip()
    record = last[4].record(sections_of(last[1:4]))
    assert sections["comparison"] in record["sections"]["findings"]
    assert "Edited by a person" not in str(record["cautions"])


def test_the_headers_that_an_export_needs_outlive_the_files(tab, upload):
    content = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    *_, last = tab.draft([upload("ct.dcm", content)], None, None)
    (header,) = last[4].source.headers
    assert header.Modality == "CT"
    assert "PixelData" not in header
