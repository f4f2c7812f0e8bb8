import pytest

from assistant.exports.hl7 import escaped
from assistant.exports.registry import render


def message(record):
    return render("hl7", record).decode()


def fields(record, name):
    return [one.split("|") for one in message(record).split("\r") if one.startswith(name)]


@pytest.mark.parametrize("fixture", ["record", "record_of_png"])
@pytest.mark.filterwarnings("ignore")  # of the library that checks
def test_a_strict_parser_takes_the_message(fixture, request):
    parser = pytest.importorskip("hl7apy.parser", reason="hl7apy checks the message")
    made = parser.parse_message(message(request.getfixturevalue(fixture)), validation_level=1)
    assert made.validate()
    assert made.msh.msh_9.value == "ORU^R01^ORU_R01"


def test_patient_order_and_results_stand_in_their_fields(record):
    (pid,), (obr,), obx = fields(record, "PID"), fields(record, "OBR"), fields(record, "OBX")
    assert (pid[3], pid[5], pid[7], pid[8]) == (r"H-1\F\2", "Doe^Jane^Q", "19500102", "F")
    assert (obr[2], obr[4], obr[25]) == ("A77", "18748-4^Diagnostic Imaging Report^LN", "P")
    assert {one[11] for one in obx} == {"P"}
    findings = next(one for one in obx if one[3].startswith("59776-5"))
    assert findings[5] == r"Nodule <6 mm \T\ clear \F\ lungs\S\."


def test_a_patient_without_a_name_is_said_to_have_none(record, image):
    nameless = {**record, "inputs": [str(image("nameless.dcm", PatientName=""))]}
    assert fields(nameless, "PID")[0][5] == "^^^^^^U"


def test_text_cannot_smuggle_in_a_segment():
    assert escaped("a\rOBX|1\n\\x~") == r"a OBX\F\1 \E\x\R" + "\\"


def test_a_critical_finding_flags_the_impression_and_is_told_in_words(urgent):
    flagged = [row for row in fields(urgent, "OBX") if row[8] == "AA"]
    assert [row[5] for row in flagged] == ["Nodule."]
    told = message(urgent)
    assert "Critical finding: possible malignancy" in told
    assert "18834-2^Previous Findings^LN" in told
    assert "|The nodule is larger.|" in told
    assert "Indication: Cough" in told


def test_nothing_is_flagged_without_a_critical_finding(record_of_png):
    assert [row[8] for row in fields(record_of_png, "OBX") if row[8]] == []
