import json
from dataclasses import replace

import pytest

from app import main
from assistant.ehr.lexicon import EXPLAINED, INSTEAD
from assistant.ehr.retell import Told, plain_report, same_facts, summary, unsupported
from assistant.ehr.texts import TextReport
from assistant.errors import ConfigError


def report(findings="", impression=""):
    return TextReport({"findings": findings, "impression": impression})


def test_terms_are_put_plainly_or_explained_once_and_stay_traceable():
    told = plain_report(report("No pneumothorax. Bilateral opacities.", "Small left pneumothorax."))
    assert [one.text for one in told] == [
        "Small left pneumothorax (air between the lung and the chest wall).",
        "No pneumothorax.",
        "On both sides opacities (areas that look whiter than expected).",
    ]
    assert told[1].sources[0].to_dict() == {
        "report": 1, "section": "findings", "sentence": 1, "text": "No pneumothorax.",
    }  # fmt: skip


def test_a_sentence_that_stands_twice_is_told_once_with_both_places():
    (told,) = plain_report(report("Nodule.", "Nodule."))
    assert [one.section for one in told.sources] == ["impression", "findings"]


def test_no_entry_adds_a_number_a_side_or_a_negation():
    for word, plain in (*INSTEAD.items(), *EXPLAINED.items()):
        assert same_facts(word, plain), word
    assert not set(INSTEAD) & set(EXPLAINED)


@pytest.mark.parametrize(
    ("source", "text"),
    [("4 mm nodule", "5 mm nodule"), ("Left lung", "Right lung"), ("No effusion", "Effusion"), ("Mass", "Mass, 3 cm")],
)
def test_other_facts_are_seen(source, text):
    assert not same_facts(source, text)


def test_a_summary_takes_sentences_whole_and_shows_what_differs():
    first = report("4 mm nodule in the right upper lobe. No effusion.", "Right upper lobe nodule. No pneumonia.")
    last = report("Left effusion. No nodule.", "Left effusion.")
    made = summary([first, last])
    assert [one.text for one in made.latest] == ["Left effusion."]
    assert [(one.text, one.sources[1].text) for one in made.new] == [("Left effusion.", "No effusion.")]
    assert [one.text for one in made.gone] == ["Right upper lobe nodule.", "4 mm nodule in the right upper lobe."]
    assert [one.text for one in made.earlier] == ["Right upper lobe nodule.", "No pneumonia."]
    assert len(summary([first, last], most=1).earlier) == 1
    assert unsupported([*made.latest, *made.new, *made.gone, *made.earlier], [first, last]) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("No left effusion.", "Right effusion."), ("Right nodule.", "No left nodule."),
        ("2 mm nodule.", "No nodule larger than 3 mm."), ("Nodule.", "No new nodule."),
        ("Old fracture.", "No acute fracture or dislocation."), ("Mass in the liver.", "No mass in the kidney."),
        ("Mass.", "No mass effect."), ("Pleural effusion.", "No pericardial effusion."),
        ("No effusion.", "History of effusion."), ("No pneumonia.", "Pneumonia cannot be excluded."),
        ("No effusion.", "If there is an effusion, ultrasound may help."), ("Both effusions.", "No right effusion."),
        ("Nodule in segment 4.", "No nodule in segment 8."), ("Moderate effusion.", "No large effusion."),
    ],
)  # fmt: skip
def test_a_denial_counts_only_for_what_it_names(before, after):
    made = summary([report("", before), report("", after)])
    assert (made.new, made.gone) == ((), ())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("No effusion or pneumothorax.", "Small right pneumothorax.", "new"),
        ("No evidence of pleural effusion.", "Left pleural effusion.", "new"),
        ("Right effusion.", "The effusion has resolved.", "gone"),
        ("4 mm nodule on the left.", "No nodule on the left.", "gone"),
    ],
)
def test_a_denial_of_all_or_of_the_same_counts(before, after, said):
    made = summary([report("", before), report("", after)])
    assert [one.text for one in getattr(made, said)] == [after if said == "new" else before]


def test_names_in_which_a_word_means_something_else_stay_whole():
    for text in ("Malignant hypertension.", "Hepatic flexure of the colon.", "Acute angle of the stomach."):
        (told,) = plain_report(report("", text))
        assert told.text == text


def test_a_sentence_without_its_source_is_found():
    made = report("Nodule.", "")
    (told,) = plain_report(made)
    assert unsupported([told], [made]) == []
    for wrong in (
        Told(told.text, ()),
        Told("No nodule.", told.sources),
        Told(told.text, (replace(told.sources[0], text="Mass."),)),
        Told(told.text, (replace(told.sources[0], report=2),)),
    ):
        assert unsupported([wrong], [made]) == [wrong.text]


def test_one_report_is_no_summary():
    with pytest.raises(ConfigError, match="takes two reports or more"):
        summary([report("a")])


def test_the_commands_print_text_with_sources_and_json(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("Impression: No pleural effusion.")
    (tmp_path / "b.txt").write_text("Impression: Pleural effusion.")
    names = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    assert main(["plain", names[0]]) == 0
    assert '*report 1, impression 1: "No pleural effusion."*' in capsys.readouterr().out
    assert main(["summary", *names, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["new"][0]["sources"][1] == {
        "report": 1, "section": "impression", "sentence": 1, "text": "No pleural effusion.",
    }  # fmt: skip
    assert main(["summary", names[0]]) == 2
    assert "takes two reports or more" in capsys.readouterr().err
