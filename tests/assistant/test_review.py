import pytest

from assistant import review


@pytest.fixture
def glioma(make_evidence):
    text = "A glioma is a tumor inside the brain. It often enhances and causes oedema."
    return make_evidence("Glioma", text, modality="MRI")


def test_numbers_cited_are_read_in_every_form():
    assert review.cited("A [1]. B [2, 3] and C [4-6].") == [1, 2, 3, 4, 5, 6]
    assert review.without_citations("Glioma [1].") == "Glioma."


def test_a_citation_of_nothing_is_removed(glioma):
    text, caution = review.check_citations("This is a glioma [1] [7].", [glioma])
    assert text == "This is a glioma [1]."
    assert caution is not None
    assert "1 citation(s) of evidence that does not exist" in caution


def test_a_citation_of_something_else_is_removed(glioma):
    text, caution = review.check_citations("There is a glioma [1]. The heart is enlarged [1].", [glioma])
    assert text == "There is a glioma [1]. The heart is enlarged."
    assert caution is not None
    assert "does not speak of the sentence" in caution


def test_good_citations_stay_without_a_caution(glioma):
    assert review.check_citations("A tumor of the brain [1].", [glioma]) == ("A tumor of the brain [1].", None)


def test_evidence_supports_what_it_is_titled_with(glioma, make_evidence):
    assert review.supports(glioma, "Glioma", modality="MRI")
    assert not review.supports(glioma, "Glioma", modality="CT")
    assert not review.supports(glioma, "No glioma")
    assert not review.supports(glioma, "Meningioma")
    assert not review.supports(glioma, "")
    normal = make_evidence("Chest X-ray without pneumothorax", "No line of the pleura is seen.")
    assert not review.supports(normal, "Pneumothorax")


def test_an_answer_is_cited_once_and_only_when_supported(glioma):
    assert review.cite("Glioma", [glioma], "Glioma") == "Glioma [1]"
    assert review.cite("A glioma.", [glioma], "A glioma.") == "A glioma [1]."
    assert review.cite("Yes", [glioma], "Is there a glioma?") == "Yes [1]"
    assert review.cite("Meningioma", [glioma], "Meningioma") == "Meningioma"
    assert review.cite("Glioma [1]", [glioma], "Glioma") == "Glioma [1]"


@pytest.mark.parametrize(
    "sentence",
    [
        "The effusion is unchanged.",
        "Stable cardiomegaly.",
        "New right effusion.",
        "The nodule has grown.",
        "No change compared with prior.",
        "The opacity has improved.",
        "Interval resolution of the oedema.",
        "The mass is larger than before.",
    ],
)
def test_talk_of_change_is_found(sentence):
    assert review.change_sentences(f"The lungs are clear. {sentence}") == [sentence]


@pytest.mark.parametrize(
    "text",
    [
        "Increased opacity in the right base.",
        "Interstitial markings are increased.",
        "Hemodynamically stable patient.",
        "Chest of a newborn.",
        "Degenerative changes of the spine.",
        "Normal heart.",
    ],
)
def test_what_one_image_can_show_is_not_change(text):
    assert review.remove_change(text) == (text, 0)


def test_only_sentences_on_change_are_removed():
    text = "There is a 2.5 cm nodule. It is unchanged. No effusion."
    assert review.remove_change(text) == ("There is a 2.5 cm nodule. No effusion.", 1)
    assert review.remove_change("1. Stable nodule. 2. Cyst on the left.") == ("2. Cyst on the left.", 1)


def test_the_wrong_modality_is_named():
    caution = review.wrong_modality("CT of the chest shows a nodule.", "X-ray")
    assert caution == "The text speaks of CT, but the image is X-ray."
    assert review.wrong_modality("Frontal chest radiograph.", "X-ray") is None
    assert review.wrong_modality("A nodule. CT is recommended.", "X-ray") is None
    assert review.wrong_modality("CT of the chest.", None) is None
    assert review.wrong_modality("Mammograms of both breasts.", "Ultrasound") is not None


def test_a_finding_on_two_sides_is_a_conflict():
    findings = "There is a nodule in the right upper zone. The left base is clear."
    assert review.side_conflicts(findings, "Left nodule.") == ["nodule"]
    assert review.side_conflicts(findings, "Right nodule.") == []
    assert review.side_conflicts(findings, "Nodule.") == []
    assert review.side_conflicts("Nodules on the left and on the right.", "Left nodule.") == []
    assert review.side_conflicts("Right effusion. Left effusion.", "Left effusion.") == []


def test_an_impression_against_its_findings_is_named():
    assert review.denied_findings("No pneumothorax. Clear lungs.", "Pneumothorax.") == ["pneumothorax"]
    assert review.denied_findings("A pneumothorax on the left.", "Pneumothorax.") == []
    assert review.denied_findings("No pneumothorax.", "No pneumothorax.") == []


def test_lengths_without_a_known_pixel_size_are_a_caution():
    assert review.measure_caution("A 12 mm nodule.", spacing_known=False) is not None
    assert review.measure_caution("A 1.2 x 3 cm mass.", spacing_known=False) is not None
    assert review.measure_caution("A 12 mm nodule.", spacing_known=True) is None
    assert review.measure_caution("Five nodules at T12.", spacing_known=False) is None


def test_repeated_sentences_go_and_the_first_stays():
    assert review.drop_repeats("Clear lungs. Normal heart. Clear lungs.") == "Clear lungs. Normal heart."
    assert review.drop_repeats("Clear lungs.") == "Clear lungs."


def test_a_text_without_letters_says_nothing():
    assert review.is_empty(" . [1]")
    assert not review.is_empty("2")


def test_findings_are_named_without_their_place_and_what_is_denied():
    assert review.named_findings("Pneumothorax in the right upper zone. No effusion.") == "pneumothorax"
    assert review.named_findings("Cyst in the left deep field.") == "cyst"
    assert review.named_findings("No abnormality.") == ""
