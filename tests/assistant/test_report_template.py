import pytest

from assistant.errors import ConfigError
from assistant.report_template import HEADINGS, Asked, ReportTemplate, TemplateNote, template_of

GOOD = {
    "name": "knee-xray",
    "title": "Knee X-ray",
    "modality": "X-ray",
    "anatomy": ["knee"],
    "views": ["AP", "lateral"],
}


def test_a_short_template_has_usual_headings_and_asks_nothing_of_its_own():
    template = template_of(GOOD, where="knee.yaml")
    assert template.headings == HEADINGS
    assert (template.prompt, template.questions, template.checks, template.critical) == (None, (), (), ())
    assert TemplateNote.of(template, "name").headings["findings"] == "Findings"


def test_a_section_may_be_headed_anew_and_the_others_keep_their_heads():
    template = template_of({**GOOD, "sections": {"impression": "Diagnosis"}}, where="knee.yaml")
    assert list(template.headings.values()) == ["Technique", "Comparison", "Findings", "Diagnosis"]


def test_every_mistake_is_named_at_once_with_what_is_allowed():
    wrong = {
        "name": "Knee X-ray",
        "title": " ",
        "modality": "Xray",
        "anatomy": ["kne"],
        "views": ["up"],
        "sections": {"findngs": "A"},
        "prompt": "Report.",
        "questions": [{"ask": "", "section": "end", "answers": {True: "a", False: "b"}},
                      {"ask": "What?", "answers": {"A": "a"}}],
        "checks": [{"finding": "fracture", "ask": "Where is the fracture?"}],
        "critical": [{"finding": "the"}],
        "normal": ["of the"],
        "colour": "red",
    }  # fmt: skip
    with pytest.raises(ConfigError) as raised:
        template_of(wrong, where="knee.yaml")
    told = str(raised.value)
    assert told.startswith("knee.yaml has 15 mistake(s):")
    for part in (
        "colour: unknown key",
        "name: 'Knee X-ray'; use up to 64 small letters",
        "title: has 0 characters; use 1 to 500",
        "modality: 'Xray' is none of X-ray, CT, MRI",
        "anatomy: 'kne'; use abdomen; ",
        "views: 'up'; use AP, CC",
        "sections: 'findngs'; use technique, comparison, findings, impression.",
        "prompt and questions: both are given",
        "questions[0].ask: has 0 characters",
        "questions[0].section: 'end'; use findings or impression.",
        'put "Yes" and "No" in quotes',
        "questions[1].answers: one answer is no choice",
        "checks[0].ask: 'Where is the fracture?' is not answered by Yes or No",
        "critical[0]: 'the' holds no word",
        "normal: 'of the' holds no word",
    ):
        assert part in told, part


def test_a_wrong_type_and_a_wrong_value_are_told_together():
    with pytest.raises(ConfigError, match=r"(?s)views: 3 is no list.*modality: 'Xray' is none of"):
        template_of({**GOOD, "views": 3, "modality": "Xray"}, where="knee.yaml")


def test_a_template_made_in_code_is_held_to_the_same_rules():
    with pytest.raises(ConfigError, match="'auto'"):
        ReportTemplate("auto", "Title")
    with pytest.raises(ConfigError, match="both are given"):
        ReportTemplate("a", "A", prompt="Report.", questions=(Asked("What is seen?"),))
