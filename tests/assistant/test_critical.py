import pytest

from assistant.critical import calls_normal, critical_findings
from assistant.template_files import shipped

CHEST = shipped().get("chest-xray")
HEAD = shipped().get("ct-head")


def marked(text, template=CHEST, section="findings"):
    return [one.text for one in critical_findings({section: text}, template)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("There is a 20 mm pneumothorax in the right upper lung zone.", ["pneumothorax"]),
        ("Right pneumothorax [1].", ["pneumothorax"]),
        ("No pneumothorax. Nodule on the left.", []),
        ("Neither effusion nor pneumothorax is seen.", []),
        ("Pneumothorax is not seen.", []),
        ("Lung collapse: the collapsed lung is on the left.", ["pneumothorax"]),
        ("A pneumothorax cannot be excluded.", ["possible pneumothorax"]),
        ("Suspicious for pneumothorax.", ["possible pneumothorax"]),
        ("Possible pneumothorax. There is a pneumothorax at the left apex.", ["pneumothorax"]),
        ("The pneumothorax has resolved.", []),
        ("Mediastinal widening.", ["widened mediastinum"]),
        ("Tension pneumothorax with mediastinal shift.", ["pneumothorax", "tension"]),
        ("No abnormality is seen.", []),
    ],
)
def test_a_finding_counts_where_a_sentence_states_it(text, found):
    assert marked(text) == found


def test_all_sections_but_the_technique_are_read_and_each_finding_counts_once():
    sections = {"technique": "CT for hemorrhage.", "findings": "A hemorrhage.", "impression": "Hemorrhage, left."}
    (found,) = critical_findings(sections, HEAD)
    assert (found.finding, found.sentence, found.possible) == ("intracranial hemorrhage", "A hemorrhage.", False)
    assert critical_findings({"technique": "CT for hemorrhage.", "findings": "Normal."}, HEAD) == ()
    assert marked("Haematoma on the right.", HEAD, "impression") == ["intracranial hemorrhage"]


def test_the_list_is_the_templates_own():
    assert marked("A pneumothorax.", HEAD) == []


def test_statements_that_call_all_normal_are_known_without_citation_or_full_stop():
    assert calls_normal("No acute cardiopulmonary abnormality [1].", CHEST) == "No acute cardiopulmonary abnormality."
    assert calls_normal("Normal examination", CHEST) == "Normal examination"
    assert calls_normal("No pneumothorax.", CHEST) is None
