import pytest

from assistant.telling import fit, telling_sentences

ASKED = "What are the pitfalls of the finding in this image?"
HEADED = (
    ("", "Consolidation hides the vessels of the lung."),
    ("Pitfalls", "Overlap of soft tissue gives the same look."),
    ("Differential", "It may be pus, blood or a mimic of these."),
)


def test_a_sentence_of_the_asked_form_is_chosen_from_evidence_on_the_finding(make_evidence):
    evidence = [
        make_evidence("Atelectasis", "Atelectasis is often mistaken for pneumonia by all."),
        make_evidence("Simple cyst", "A cyst is round and dark inside. Artefact can imitate echoes in a cyst."),
    ]
    (quote,) = telling_sentences("What are the pitfalls of the finding in this image?", "Cyst", evidence)
    assert (quote.evidence_index, quote.sentence) == (1, "Artefact can imitate echoes in a cyst.")
    assert telling_sentences("What are the pitfalls?", "Nodule", evidence) == []


@pytest.mark.parametrize(
    ("title", "finding", "fits"),
    [
        ("Lung mass on a chest CT", "Mass", True),
        ("Mass effect and midline shift", "Mass", False),
        ("Masses of the breast", "mass.", True),
        ("Ring-enhancing lesion on MRI", "Ring enhancing lesion", True),
        ("Ring enhancing lesion on MRI", "Ring-enhancing lesion", True),
        ("Pleural effusion", "Pericardial effusion", False),
        ("Haemorrhage, acute or old", "Hemorrhage", True),
        ("Cardiomegaly (enlarged heart)", "Enlarged heart", True),
        ("Cyst", "", False),
    ],
)
def test_evidence_is_on_a_finding_if_it_bears_its_name(make_evidence, title, finding, fits):
    assert bool(fit(make_evidence(title, "Text."), finding)) is fits


def test_a_title_weighs_more_than_a_synonym_and_the_region_more_than_both(make_evidence):
    titled = make_evidence("Lung mass", "Text.", anatomy="chest")
    loose = make_evidence("Renal cyst", "Text.", anatomy="abdomen", names=("renal cyst", "renal mass"))
    assert fit(titled, "mass") > fit(loose, "mass") > 0
    assert fit(loose, "mass", region="abdomen") > fit(titled, "mass", region="abdomen")
    assert fit(make_evidence("Brain mass", "T.", anatomy="head"), "mass", region="brain") == 4


def test_evidence_on_another_modality_is_not_read(make_evidence):
    item = make_evidence("Cyst", "A fold can imitate a cyst here.", modality="MRI")
    assert telling_sentences(ASKED, "Cyst", [item], modality="MRI")
    assert telling_sentences(ASKED, "Cyst", [item], modality="Ultrasound") == []


def test_what_stands_under_the_asked_heading_answers_whatever_its_words(make_evidence):
    item = make_evidence("Consolidation", " ".join(text for _, text in HEADED), parts=HEADED)
    (quote,) = telling_sentences(ASKED, "consolidation", [item])
    assert quote.sentence == "Overlap of soft tissue gives the same look."
    (quote,) = telling_sentences("What is the differential of this finding?", "consolidation", [item])
    assert quote.sentence == "It may be pus, blood or a mimic of these."
    unheaded = make_evidence("Consolidation", item.text)
    (quote,) = telling_sentences(ASKED, "consolidation", [unheaded])
    assert quote.sentence == "Consolidation hides the vessels of the lung."


def test_where_likeness_is_asked_its_other_heading_serves_too(make_evidence):
    parts = (("", "A cyst can hide behind gas."), ("Differential", "It is an abscess or a haematoma at times."))
    (quote,) = telling_sentences(ASKED, "cyst", [make_evidence("Cyst", "-", parts=parts)])
    assert quote.sentence == "It is an abscess or a haematoma at times."


def test_wrong_evidence_before_the_right_one_is_passed_over(make_evidence):
    right = make_evidence("Brain mass", "A vessel can imitate a mass of the brain.")
    wrong = make_evidence("Mass effect", "A tilted head can imitate mass effect and shift.")
    (quote,) = telling_sentences(ASKED, "Mass", [wrong, right])
    assert quote.evidence_index == 1
