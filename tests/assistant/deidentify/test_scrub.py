import pytest

from assistant.deidentify.identifiers import find_identifiers, name_parts
from assistant.deidentify.scrub import Scrubber


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Seen on 12.03.2024 and 2024-03-12.", "Seen on [date] and [date]."),
        ("On March 3, 2024 and 3rd of May 2023 stable.", "On [date] and [date] stable."),
        ("Call +49 30 1234567 or (030) 555-1234.", "Call [phone] or [phone]."),
        ("Write to jane.doe@clinic.example now.", "Write to [email] now."),
        ("See https://pacs.example/x?id=1 there.", "See [address] there."),
        ("The MRN A-12345 has no change.", "The [number] has no change."),
        ("MRN: A-12345, no change.", "MRN: [removed]"),
        ("Discussed with Dr. Smith and Prof Jones.", "Discussed with [name] and [name]."),
        ("Jane Smith, M.D. agrees.", "[name] agrees."),
        ("Patient name: Jane Doe\nNodule of 12 mm.", "Patient name: [removed]\nNodule of 12 mm."),
        ("SSN 123-45-6789 given.", "[number] given."),
        ("Lives at 12 Long Lane, alone.", "Lives at [address], alone."),
        ("A 94 year old, a 45 year old.", "A 90+ year old, a 45 year old."),
        ("Accession 00123456 read.", "[number] read."),
    ],
)
def test_what_looks_like_an_identifier_goes(text, clean):
    assert Scrubber().scrub(text)[0] == clean


@pytest.mark.parametrize(
    "text",
    [
        "A 20 mm nodule at L4-5, 3.5 x 2.1 cm, 12-15 mm apart.",
        "Frontal radiograph. BI-RADS 4, grade 2/3, T2-weighted, 1.5 T, TE 90 ms.",
        "Ratio 1.25; 120 kVp, 80 mAs; SUV 4.5. No other abnormality is seen.",
    ],
)
def test_findings_and_measures_stay(text):
    assert Scrubber().scrub(text) == (text, 0)


def test_names_of_the_header_go_in_any_case_and_as_whole_words_only():
    scrubber = Scrubber(name_parts("DOE^Jane^^Dr"))
    assert scrubber.scrub("Doe, JANE does well; the doer.") == ("[removed], [removed] does well; the doer.", 2)
    assert scrubber.names("for Jane")
    assert not scrubber.names("doer")


def test_names_without_latin_letters_are_found():
    assert Scrubber(name_parts("Yamada^Tarou=山田^太郎")).scrub("山田の胸部")[0] == "[removed]の胸部"


def test_a_birth_date_is_known_in_its_common_forms(planted):
    found = find_identifiers(planted())
    assert {"19520311", "11.03.1952", "03/11/1952", "MRN4711881", "Beeblebrox", "Magrathea Clinic"} <= found
    assert "Dr" not in found
