import dataclasses
import math

import pytest

from assistant.case import Case
from assistant.config import GenerationConfig
from assistant.conversation import Question, ReportRequest
from assistant.engine.features import PictureEncoder
from assistant.engine.generate import Generated, Generator
from assistant.finish import Finisher
from assistant.guard import Stop
from assistant.lookup import Lookup
from assistant.prompts import conversation


@pytest.fixture
def finisher(tiny_model):
    settings = GenerationConfig()
    return Finisher(tiny_model, settings, Lookup(None, settings))


@pytest.fixture
def written(tiny_model, make_picture):
    """Return a function that makes a case for which the model wrote a text."""

    def make(text, *, question=None, prior=False, finished=True, modality="X-ray", **fields):
        pictures = tuple(make_picture(seed, modality=modality) for seed in range(2 if prior else 1))
        request = None if question else ReportRequest(pictures[-1:], priors=pictures[:-1])
        asked = Question(question, pictures) if question else None
        features = PictureEncoder(tiny_model).encode(pictures)
        encoder = Generator(tiny_model, GenerationConfig()).encoder
        prompt = encoder.encode(conversation("Write a report.", images=len(pictures)), features)
        return Case(
            pictures,
            question=asked,
            request=request,
            features=features,
            modality=modality,
            prompt=prompt,
            generated=Generated(text, (5, 6), (math.log(0.5), math.log(0.125)), finished),
            **fields,
        )

    return make


REPORT = "Technique: Frontal chest radiograph.\nFindings: {}\nImpression: {}"


def test_a_good_report_passes_unchanged(finisher, written):
    report = finisher.report(written(REPORT.format("Nodule in the right upper zone. No effusion.", "Right nodule.")))
    assert report.sections == {
        "technique": "Frontal chest radiograph.",
        "findings": "Nodule in the right upper zone. No effusion.",
        "impression": "Right nodule.",
    }
    assert report.confidence == pytest.approx(0.25)
    assert len(report.cautions) == 1


def test_change_without_a_prior_is_removed_and_said(finisher, written):
    text = REPORT.format("Nodule in the right upper zone. It is unchanged.", "Stable nodule. No effusion.")
    report = finisher.report(written(text))
    assert report.sections["findings"] == "Nodule in the right upper zone."
    assert report.sections["impression"] == "No effusion."
    assert any("2 sentence(s) about change were removed" in caution for caution in report.cautions)
    compared = finisher.report(written(text, prior=True))
    assert compared.sections["findings"] == "Nodule in the right upper zone. It is unchanged."


@pytest.mark.parametrize(
    ("findings", "impression", "said"),
    [
        ("A nodule in the left base.", "Right nodule.", "disagree on the side of: nodule"),
        ("No pneumothorax.", "Pneumothorax.", "names what the findings deny: pneumothorax"),
        ("CT shows a nodule.", "Nodule.", "speaks of CT, but the image is X-ray"),
        ("A nodule of 12 mm.", "Nodule.", "does not say how large a pixel is"),
        ("A nodule [3].", "Nodule.", "1 citation(s) of evidence that does not exist"),
    ],
)
def test_what_does_not_fit_is_a_caution(finisher, written, findings, impression, said):
    report = finisher.report(written(REPORT.format(findings, impression)))
    assert any(said in caution for caution in report.cautions)
    assert not report.abstained


def test_a_report_that_says_nothing_is_none(finisher, written):
    report = finisher.report(written("Technique: Radiograph.\nFindings: It is unchanged."))
    assert report.abstained
    assert "No report was drafted" in report.sections["impression"]
    assert report.confidence == 0.0


def test_a_missing_technique_is_the_modality(finisher, written):
    assert finisher.report(written("Findings: Clear lungs.")).sections["technique"] == "X-ray."


def test_a_cut_text_is_said_to_be(finisher, written):
    assert any("cut at" in one for one in finisher.report(written("Findings: Clear", finished=False)).cautions)
    answer = finisher.answer(written("The lungs", question="What is seen?", finished=False))
    assert any("cut at" in one for one in answer.cautions)


def test_an_answer_on_change_without_a_prior_is_flagged(finisher, written):
    answer = finisher.answer(written("The nodule has grown", question="What is seen?"))
    assert answer.text == "The nodule has grown"
    assert any("speaks of change" in caution for caution in answer.cautions)


def test_an_answer_without_words_is_an_abstention(finisher, written):
    answer = finisher.answer(written(" ... ", question="What is seen?"))
    assert answer.abstained
    assert "wrote nothing" in answer.text


def test_a_model_that_says_it_cannot_tell_abstains(finisher, written):
    answer = finisher.answer(written("This model cannot tell.", question="Where is the lesion?"))
    assert (answer.abstained, answer.confidence) == (True, 0.0)
    assert "cannot tell this from the image" in answer.text
    assert not finisher.sureness(written("This model cannot tell", question="Where is it?"))[2]


def closed(case, options, forms, scores):
    return dataclasses.replace(case, options=options, forms=forms, scores=[math.log(score) for score in scores])


def test_a_free_answer_that_is_an_option_stands(finisher, written):
    case = written("no", question="Is there a mass?")
    case = closed(case, ("Yes", "No"), [("Yes", "Yes"), ("No", "No"), ("No", "no")], [0.5, 0.1, 0.2])
    answer = finisher.answer(case)
    assert answer.text == "No"
    assert answer.confidence == pytest.approx(0.3 / 0.8)


def test_a_plain_yes_stands_on_evidence_for_what_was_asked_and_a_plain_no_on_none(finisher, written, make_evidence):
    item = make_evidence("Pneumothorax", "A pneumothorax is air in the pleural space. There is a pneumothorax line.")
    marks = {}
    for said in ("Yes", "No"):
        case = written(said, question="Is there a pneumothorax?", evidence=(item,))
        marks[said] = finisher.answer(closed(case, ("Yes", "No"), [(said, said)], [0.9])).grounds
    (only,) = marks["Yes"]
    assert (only.sentence, only.evidence, marks["No"]) == ("Is there a pneumothorax? Yes.", (1,), ())


def test_a_free_answer_that_is_no_option_gives_way_to_the_likeliest(finisher, written):
    case = written("a large thing", question="Is there a mass?")
    case = closed(case, ("Yes", "No"), [("Yes", "Yes"), ("No", "No"), ("No", "no")], [0.25, 0.1, 0.2])
    answer = finisher.answer(case)
    assert answer.text == "No"
    assert answer.confidence == pytest.approx(0.3 / 0.55)


@pytest.mark.parametrize(("options", "said"), [(("CT", "MRI"), "Neither: X-ray"), (("Yes", "No"), "Yes")])
def test_neither_of_two_alternatives_is_an_answer_but_not_to_yes_or_no(finisher, written, options, said):
    case = written("Neither: X-ray", question="Is this a CT or an MRI?")
    answer = finisher.answer(closed(case, options, [(one, one) for one in options], [0.5, 0.4]))
    assert answer.text == said


def test_of_options_given_with_a_question_one_is_chosen(finisher, written):
    case = written("Neither of them", question="Which?")
    case = dataclasses.replace(case, question=dataclasses.replace(case.question, options=("CT", "MRI")))
    assert finisher.answer(closed(case, ("CT", "MRI"), [("CT", "CT"), ("MRI", "MRI")], [0.5, 0.4])).text == "CT"


def test_the_headers_word_goes_before_the_models(finisher, written):
    answer = finisher.answer(written("Ultrasound", question="What kind of image is this?", modality="CT"))
    assert answer.text == "CT"
    assert answer.confidence == 0.5
    assert "The kind of image was read from the file's header." in answer.cautions
    assert any(
        caution.startswith("From the image alone the model would have said: Ultrasound") for caution in answer.cautions
    )
    agreed = finisher.answer(written("CT scan.", question="What kind of image is this?", modality="CT"))
    assert (agreed.text, agreed.confidence) == ("CT", 1.0)


def test_a_header_answers_for_an_image_unlike_anything_known(finisher, written):
    case = written("", question="Is this a CT?", modality="CT", stop=Stop("Unlike anything known.", "Send another."))
    answer = finisher.answer(case)
    assert (answer.text, answer.abstained) == ("Yes", False)
    assert any(caution.startswith("Unlike anything known.") for caution in answer.cautions)


def test_a_reports_technique_is_what_the_header_says(finisher, written):
    report = finisher.report(written(REPORT.format("Nodule.", "Nodule."), modality="CT"))
    assert report.sections["technique"] == "CT."
    assert any("speaks of X-ray, but the image is CT" in caution for caution in report.cautions)
