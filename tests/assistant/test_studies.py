import json

import pytest

from assistant.errors import WorklistError
from assistant.studies import LONGEST_TOLD, collect_studies, read_list, shown, told


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A folder with four files that may be images, two of them alike, and three that are none."""
    folder = tmp_path / "scans"
    (folder / "deep" / "deeper").mkdir(parents=True)
    for name in ("b.png", "a.jpg", "deep/c.dcm", "deep/deeper/no_ending"):
        (folder / name).write_bytes(b"pixels")
    for name in ("notes.txt", "labels.json", ".hidden"):
        (folder / name).write_bytes(b"text")
    monkeypatch.chdir(tmp_path)
    return folder


def names(collection):
    return [one.inputs for one in collection.studies]


def test_a_folder_is_searched_to_the_bottom_in_order(scans):
    collection = collect_studies(["scans"])
    assert names(collection) == [
        ["scans/a.jpg"],
        ["scans/b.png"],
        ["scans/deep/c.dcm"],
        ["scans/deep/deeper/no_ending"],
    ]
    assert collection.passed_over == 3


def test_an_absolute_path_names_the_same_studies_as_a_relative_one(scans):
    assert names(collect_studies([str(scans)])) == names(collect_studies(["./scans/"]))


def test_a_file_named_twice_is_one_study(scans):
    assert names(collect_studies(["scans/a.jpg", "scans", str(scans / "a.jpg")]))[0] == ["scans/a.jpg"]
    assert len(collect_studies(["scans/a.jpg", "scans"]).studies) == 4


def test_a_file_named_outright_is_tried_whatever_it_is_called(scans):
    assert names(collect_studies(["scans/notes.txt"])) == [["scans/notes.txt"]]


def test_a_pattern_is_expanded(scans):
    assert names(collect_studies(["scans/**/*.dcm"])) == [["scans/deep/c.dcm"]]


def test_the_output_folder_is_left_out(scans):
    out = scans / "deep"
    assert names(collect_studies(["scans"], leave_out=out)) == [["scans/a.jpg"], ["scans/b.png"]]


def test_a_missing_input_is_named(scans):
    with pytest.raises(WorklistError, match=r"nowhere\.png does not exist\. Name a file, a folder"):
        collect_studies(["nowhere.png"])


def test_a_pattern_without_a_match_is_named(scans):
    with pytest.raises(WorklistError, match=r"pattern scans/\*\.tif matches no file"):
        collect_studies(["scans/*.tif"])


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "readme.txt").write_text("none here")
    with pytest.raises(WorklistError, match="No image found in"):
        collect_studies([str(tmp_path)])


def test_a_csv_list_gives_one_study_a_line(scans):
    listed = scans / "list.csv"
    listed.write_text(
        'images,priors,indication,template,study\na.jpg;b.png,deep/c.dcm,"cough, two weeks",generic,case-1\nb.png,,,,\n'
    )
    first, second = read_list(listed)
    assert [shown(path) for path in first.images] == ["scans/a.jpg", "scans/b.png"]
    assert [shown(path) for path in first.priors] == ["scans/deep/c.dcm"]
    assert (first.indication, first.template, first.name) == ("cough, two weeks", "generic", "case-1")
    assert (second.priors, second.indication, second.template, second.name) == ((), None, None, None)


def test_a_jsonl_list_takes_a_path_or_a_list_of_paths(scans):
    listed = scans / "list.jsonl"
    rows = [{"images": ["a.jpg", "b.png"], "study": "x"}, {"images": "b.png"}]
    listed.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    assert [len(study.images) for study in collect_studies([str(listed)]).studies] == [2, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture\na.jpg\n", "line 2 has the unknown column 'picture'. Use images, priors"),
        ("images,study\n,x\n", "line 2 names no image"),
        ("images\n", "holds no study"),
        ("images,study\na.jpg,x\nb.png,x\n", "study 'x' is listed twice"),
    ],
)
def test_a_bad_csv_list_is_refused_with_its_line(scans, text, message):
    (scans / "list.csv").write_text(text)
    with pytest.raises(WorklistError, match=message):
        collect_studies(["scans/list.csv"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": "a.jpg"}\n{broken\n', "line 2 is no JSON"),
        ("[1]\n", "line 1 is a list"),
        ('{"images": 3}\n', "line 1, images is 3. Write a path"),
        ('{"images": "a.jpg", "indication": 7}\n', "line 1, indication is 7. Write text"),
    ],
)
def test_a_bad_jsonl_list_is_refused_with_its_line(scans, text, message):
    (scans / "list.jsonl").write_text(text)
    with pytest.raises(WorklistError, match=message):
        collect_studies(["scans/list.jsonl"])


def test_a_list_that_is_no_text_is_refused(scans):
    (scans / "list.csv").write_bytes(b"\xff\xfe\x00images")
    with pytest.raises(WorklistError, match="cannot be read as UTF-8"):
        collect_studies(["scans/list.csv"])


def test_a_name_that_is_no_utf8_is_shown_as_text(tmp_path):
    assert shown(tmp_path / b"scan-\xff.png".decode("utf-8", "surrogateescape")).endswith(
        "scan-\N{REPLACEMENT CHARACTER}.png"
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        ("  ", None),
        ("Cough,\n three\tweeks", "Cough, three weeks"),
        ("Name: Jane Doe\nCough", "Name: [removed] Cough"),
        ("Seen by Dr Miller on 2024-03-01", "Seen by [name] on [date]"),
        ("a\x00b\u202ec", "a b c"),
    ],
)
def test_what_a_list_tells_is_scrubbed_and_on_one_line(given, kept):
    assert told(given) == kept


def test_a_long_history_is_cut_at_a_word():
    kept = told("cough and fever " * 60)
    assert len(kept) <= LONGEST_TOLD
    assert kept.endswith(("cough …", "and …", "fever …"))
