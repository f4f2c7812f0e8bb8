import pytest

from assistant.case import Case
from assistant.change import HOW, NOT_READ, split_priors
from assistant.conversation import ReportRequest
from assistant.prompts import parse_report
from assistant.report_review import (
    NOTHING_COMPARED,
    add_comparison,
    hold_against,
    mark_critical,
    review_sections,
    sections_of_answers,
)
from assistant.report_template import Asked, Check, ReportTemplate
from assistant.template_files import shipped


@pytest.fixture
def case(make_picture):
    """Return a function that makes a case of a chest X-ray."""

    def make(*, prior=False, template="chest-xray", spacing=(1.0, 1.0)):
        now = make_picture(1, modality="X-ray", pixel_spacing_mm=spacing)
        before = (make_picture(2, modality="X-ray"),) if prior else ()
        chosen = shipped().get(template) if isinstance(template, str) else template
        return Case((*before, now), request=ReportRequest((now,), before), modality="X-ray", template=chosen)

    return make


def report(findings, impression="Nodule.", **more):
    return {"technique": "Chest X-ray.", "findings": findings, "impression": impression, **more}


def test_what_has_changed_is_a_section_of_its_own(case):
    made = review_sections(case(prior=True), report("A nodule. Compared with the prior: The nodule is new."))
    assert list(made) == ["technique", "comparison", "findings", "impression"]
    assert made["comparison"] == "Compared with the prior: The nodule is new."
    assert made["findings"] == "A nodule."


def test_a_finding_that_has_changed_stays_among_the_findings_too(case):
    made = review_sections(case(prior=True), report("A 20 mm nodule on the left has grown. No effusion."))
    assert made["comparison"] == "A 20 mm nodule on the left has grown."
    assert made["findings"] == "A 20 mm nodule on the left has grown. No effusion."


def test_a_comparison_that_the_model_heads_itself_is_kept(case):
    made = review_sections(
        case(prior=True), parse_report("Comparison: Unchanged.\nFindings: A nodule.\nImpression: N.")
    )
    assert (made["comparison"], made["findings"]) == ("Unchanged.", "A nodule.")


@pytest.mark.parametrize(
    ("said", "doubt"),
    [
        ("The nodule is larger.", None),
        ("The effusion has resolved.", None),
        ("No change.", None),
        ("The effusion is unchanged.", "The comparison speaks of what the findings do not name: effusion."),
    ],
)
def test_a_comparison_must_speak_of_what_the_findings_name(case, said, doubt):
    asked = case(prior=True)
    review_sections(asked, report(f"A 20 mm nodule. Compared with the prior: {said}"))
    assert asked.doubts == ([doubt] if doubt else [])


def test_a_prior_without_a_word_on_change_is_a_doubt(case):
    asked = case(prior=True)
    assert review_sections(asked, report("A nodule."))["comparison"] == NOTHING_COMPARED
    assert asked.doubts == ["A prior image was given, but the report says nothing about change."]


def test_what_was_read_on_a_prior_is_compared_and_it_is_said_how(case):
    made = case(prior=True)
    made.earlier = split_priors(made)
    sections = {"technique": "", "findings": "A 30 mm mass on the left. It is unchanged.", "impression": "Mass."}
    reviewed = review_sections(made, dict(sections))
    assert "comparison" not in reviewed
    told = add_comparison(made, reviewed, "A 20 mm mass on the left. The effusion is unchanged.")
    assert list(told) == ["technique", "comparison", "findings", "impression"]
    assert told["comparison"] == "Mass (left) is larger: 30 mm, 20 mm on the earlier image."
    assert HOW in made.cautions
    assert "1 sentence(s) about change were removed, because the model read each image by itself." in made.cautions


def test_a_prior_that_is_not_read_surely_is_compared_with_nothing(case):
    made = case(prior=True)
    made.earlier = split_priors(made)
    told = add_comparison(made, {"technique": "", "findings": "A mass.", "impression": ""}, None)
    assert told["comparison"] == NOT_READ
    assert NOT_READ in made.doubts


def test_without_a_prior_there_is_no_comparison_and_no_talk_of_change(case):
    made = review_sections(case(), report("A nodule. It is unchanged.", comparison="Stable since the prior."))
    assert list(made) == ["technique", "findings", "impression"]
    assert made["findings"] == "A nodule."


def test_contradictions_are_doubts_and_lengths_a_caution(case):
    asked = case(spacing=None)
    review_sections(asked, report("A 9 mm nodule on the left.", "Right nodule."))
    assert asked.doubts == ["Findings and impression disagree on the side of: nodule."]
    assert any("Lengths in the text are estimates" in one for one in asked.cautions)


def test_a_critical_finding_heads_the_cautions(case):
    asked = case()
    asked.warn("The window was assumed.")
    (found,) = mark_critical(asked, report("A left pneumothorax.", "Pneumothorax."))
    assert found.finding == "pneumothorax"
    assert asked.cautions[0].startswith("Critical finding: pneumothorax. Have the image read at once")
    assert asked.doubts == []


def test_a_normal_impression_beside_a_critical_finding_is_a_doubt(case):
    asked = case()
    mark_critical(asked, report("A left pneumothorax.", "No abnormality."))
    assert asked.doubts == ["The impression says 'No abnormality.', but the report names pneumothorax."]


def test_a_report_without_a_template_is_held_against_the_generic_list(case):
    assert [one.finding for one in mark_critical(case(template=None), report("A hemorrhage."))] == ["hemorrhage"]


def checked(case, findings, answer, confidence):
    template = ReportTemplate("own", "Own", checks=(Check("nodule", "Is there a nodule?", ("mass",)),))
    asked = case(template=template)
    asked.checks = [Case(asked.pictures, asked=template.checks[0])]
    hold_against(asked, report(findings, ""), [(answer, confidence)])
    return asked.doubts


@pytest.mark.parametrize(
    ("findings", "answer", "confidence", "said"),
    [
        ("A nodule.", "No", 0.8, "The report names nodule; asked directly, the model says no (80%)."),
        ("A mass.", "No.", 0.9, "The report names nodule; asked directly, the model says no (90%)."),
        ("No nodule.", "Yes", 0.7, "The report does not name nodule; asked directly, the model says yes (70%)."),
        ("A nodule.", "Yes", 0.6, None),
        ("Clear lungs.", "No", 0.6, None),
        ("Clear lungs.", "Yes", 0.45, None),
    ],
)
def test_a_report_that_its_checks_contradict_is_doubtful(case, findings, answer, confidence, said):
    assert checked(case, findings, answer, confidence) == ([said] if said else [])


def test_answers_become_sentences_and_unsure_ones_doubts(case):
    questions = (
        Asked("Is there a lesion?", {"Yes": "A lesion is seen", "No": "No lesion."}),
        Asked("Which one?", {"benign": "A benign lesion.", "malignant": "A malignant lesion."}, "impression"),
        Asked("What else is seen?"),
        Asked("Is there a cyst?", {"Yes": "A cyst.", "No": "No cyst."}),
    )
    asked = case(template=None)
    asked.parts = [Case(asked.pictures, asked=one) for one in questions]
    answers = [("yes", 0.9, True), ("Benign", 0.7, True), ("A scar", 0.8, True), ("Yes", 0.3, False)]
    sections, confidence = sections_of_answers(asked, answers)
    assert sections == {"technique": "", "findings": "A lesion is seen. A scar.", "impression": "A benign lesion."}
    assert confidence == 0.7
    assert asked.doubts == ["Not sure enough to say: Is there a cyst?"]
    assert sections_of_answers(case(), []) == ({"technique": "", "findings": "", "impression": ""}, 0.0)
