import pytest

from retrieval.form import form_fit, title_fit, topics_of

TREATED = "Surgery is the main treatment. Drugs may help. It is rare."
DEFINED = "Gout is a disease of the joints. It hurts."


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("What are the treatments for gout?", {"treatment"}),
        ("What is gout?", {"definition"}),
        ("What are the symptoms of gout?", {"symptom"}),
        ("Is gout inherited?", {"inheritance"}),
        ("How can gout be prevented?", {"prevention"}),
        ("Gout of the knee", set()),
    ],
)
def test_kinds_are_told_by_the_question_and_a_definition_only_where_it_is_all(question, kinds):
    assert {one.name for one in topics_of(question)} == kinds


def test_a_passage_that_opens_as_asked_fits_best():
    asked = "What are the treatments for gout?"
    assert form_fit(asked, TREATED) > form_fit(asked, f"{DEFINED} {TREATED}") > form_fit(asked, DEFINED)
    assert form_fit("What is gout?", DEFINED) > form_fit("What is gout?", TREATED)
    assert 0 <= form_fit(asked, DEFINED) <= form_fit(asked, TREATED) <= 1
    assert form_fit("Gout of the knee", TREATED) == form_fit(asked, "") == 0.0


def test_a_title_that_names_more_fits_less():
    assert title_fit("What is hypothyroidism?", "Hypothyroidism") == 1.0
    assert title_fit("What is hypothyroidism?", "Congenital hypothyroidism") == 0.5
    assert title_fit("What is gout?", "Gout (gouty arthritis)") == 1.0
    assert title_fit("What is gout?", "") == 0.0
