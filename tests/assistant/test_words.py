import pytest

from assistant.words import are_kin, content_words, sentences, stem, tokens


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("metastases", "metastasis"),
        ("diagnoses", "diagnosis"),
        ("diseases", "disease"),
        ("vertebrae", "vertebra"),
        ("masses", "mass"),
        ("biopsies", "biopsy"),
        ("headaches", "headache"),
        ("pus", "pus"),
        ("pelvis", "pelvis"),
        ("haemorrhages", "hemorrhage"),
        ("tumours", "tumor"),
        ("centre", "center"),
        ("radiographs", "x-ray"),
        ("t2", "t2"),
    ],
)
def test_spelling_and_plurals_come_together(word, expected):
    assert stem(word) == expected


def test_numbers_units_and_hyphened_terms_are_kept():
    assert tokens("A 2.5-cm T2-weighted, ground-glass X rays") == [
        "a", "2.5-cm", "2.5", "cm", "t2-weighted", "t2", "weighted", "ground-glass", "ground", "glass", "x-ray",
    ]  # fmt: skip


def test_content_words_leave_out_words_that_only_ask():
    assert content_words("What does a pneumothorax look like on a chest radiograph?") == [
        "pneumothorax",
        "chest",
        "x-ray",
    ]
    assert content_words("What is this?") == []


def test_sentences_end_neither_at_abbreviations_nor_in_numbers():
    text = "A line, e.g. Fig. 2, is 2.5 cm long. (See note.) It ends.\n- one item\n- two"
    assert sentences(text) == ["A line, e.g. Fig. 2, is 2.5 cm long.", "(See note.)", "It ends.", "one item", "two"]


def test_kin_differ_in_their_ending_alone():
    assert are_kin("diabetes", "diabetic")
    assert are_kin("aneurysm", "aneurysmal")
    assert not are_kin("fibroadenoma", "fibrosis")
    assert not are_kin("hypertension", "hypertrophy")
    assert not are_kin("cyst", "cystic")
