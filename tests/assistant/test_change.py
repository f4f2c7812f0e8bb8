from dataclasses import replace

import pytest

from assistant.case import Case
from assistant.change import NOTHING, Read, compared, lengths_mm, read, reads_apart, split_priors
from assistant.conversation import ReportRequest


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [
        ("There is a 40 mm mass in the right lung.", "There is a 30 mm mass in the right lung.",
         "Mass (right) is larger: 40 mm, 30 mm on the earlier image."),
        ("A cyst measuring 2 cm is noted.", "Cyst: size 30 mm.", "Cyst is smaller: 20 mm, 30 mm on the earlier image."),
        ("A cyst of 31 mm.", "A cyst of 30 mm.", "Cyst is unchanged in size: 31 mm, 30 mm on the earlier image."),
        ("A nodule of 8 mm on the left.", "No nodule.",
         "Pulmonary nodule (left) is new: 8 mm; it was not read on the earlier image."),
        ("No pneumothorax.", "Pneumothorax on the left, 40 mm.",
         "Pneumothorax (left) has resolved, 40 mm on the earlier image."),
        ("Small left pleural effusion.", "Large left pleural effusion.",
         "Pleural effusion (left) was there before; whether its size has changed cannot be told."),
        ("No abnormality is seen.", "Normal chest.", NOTHING),
    ],
)  # fmt: skip
def test_the_comparison_says_what_the_two_readings_differ_in(now, before, told):
    assert compared(now, before) == told


def test_several_findings_are_matched_by_name_and_side():
    now = "A 20 mm mass on the left. A 10 mm mass on the right."
    before = "A 10 mm mass on the left. A 10 mm mass on the right. An effusion on the left."
    assert compared(now, before).split(". ") == [
        "Mass (left) is larger: 20 mm, 10 mm on the earlier image",
        "Mass (right) is unchanged in size: 10 mm, 10 mm on the earlier image",
        "Pleural effusion (left) has resolved.",
    ]


def test_a_finding_on_the_other_side_is_no_change_in_size():
    assert compared("A 20 mm mass on the left.", "A 20 mm mass on the right.").count("is new") == 1


def test_a_length_belongs_to_the_finding_that_its_sentence_names_alone():
    assert read("A mass and a cyst of 20 mm.") == [Read("mass", None), Read("cyst", None)]
    assert read("A mass of 20 mm. A cyst, 3 x 2 cm.") == [Read("mass", None, 20.0), Read("cyst", None, 30.0)]
    assert lengths_mm("Mass of 3.5 x 2 cm, 4 mm from the rim") == [35.0, 20.0, 4.0]
    assert lengths_mm("12 nodules") == []


@pytest.fixture
def case(make_picture):
    current, prior = make_picture(1), make_picture(2)
    return Case((prior, current), request=ReportRequest((current,), (prior,)))


def test_priors_become_a_case_of_their_own(case):
    prior, current = case.pictures
    earlier = split_priors(case)
    assert (earlier.pictures, case.pictures) == ((prior,), (current,))
    assert earlier.request.priors == ()
    assert earlier.request.pictures == (prior,)


def test_a_model_that_was_shown_to_tell_change_sees_both_images(case):
    assert reads_apart(case, {})
    assert not reads_apart(case, {"comparison": "written"})
    assert not reads_apart(replace(case, request=ReportRequest(case.request.pictures)), {})
