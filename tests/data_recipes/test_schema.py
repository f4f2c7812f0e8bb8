"""Examples and preferences: what is accepted, and how a fault is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import DataError
from data_recipes.schema import (
    Example,
    Preference,
    read_examples,
    read_preferences,
    write_examples,
    write_preferences,
)


def record(**changes: Any) -> dict[str, Any]:
    """Return a sound example's JSON form with some fields changed; a change to None leaves the field out."""
    whole = {
        "id": "a#0",
        "images": ["images/a.png"],
        "messages": [{"role": "user", "content": "Effusion?"}, {"role": "assistant", "content": "No"}],
        "task": "vqa",
        "answer_type": "closed",
        "choices": ["Yes", "No"],
        "truth": {"modality": "X-ray"},
        "patient": "p1",
        "source": "own",
        "licence": "CC0-1.0",
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def write_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in records), encoding="utf-8")
    return path


def test_written_examples_read_back_equal(tmp_path):
    examples = [Example.from_dict(record()), Example.from_dict(record(id="b", choices=None, images=[]))]
    assert write_examples(tmp_path / "sub" / "train.jsonl", examples) == 2
    assert list(read_examples(tmp_path / "sub" / "train.jsonl")) == examples


def test_json_form_has_the_fields_of_the_format_and_no_nulls():
    assert Example.from_dict(record()).to_dict() == record()


def test_image_paths_start_at_the_folder_of_the_file(tmp_path):
    assert Example.from_dict(record()).image_paths(tmp_path) == [tmp_path / "images" / "a.png"]


def test_reading_streams_up_to_the_faulty_line(tmp_path):
    path = write_lines(tmp_path / "x.jsonl", record(), record(task="guess"))
    examples = read_examples(path)
    assert next(examples).id == "a#0"
    with pytest.raises(DataError, match=r"x\.jsonl line 2: example 'a#0': field 'task' is \"guess\"; use one of vqa"):
        next(examples)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "field 'id' is \"\""),
        ({"licence": None}, "field 'licence' is missing; add it"),
        ({"answer_type": "maybe"}, "field 'answer_type' is \"maybe\"; use one of closed, open"),
        ({"answer_type": "choice", "choices": None}, "field 'choices' is empty"),
        (
            {"answer_type": "choice", "choices": ["Cyst", "Mass"]},
            r"names none of 'choices' \[\"Cyst\", \"Mass\"\]; mend",
        ),
        ({"choices": "Yes"}, "field 'choices' is \"Yes\"; it takes a list"),
        ({"choices": ["Yes", " "]}, "field 'choices' is \" \""),
        ({"images": ["/etc/a.png"]}, 'image path is "/etc/a.png"; give it relative'),
        ({"images": ["../a.png"]}, 'image path is "../a.png", which leaves the folder'),
        ({"images": ["a\\b.png"]}, "with forward slashes"),
        ({"images": "a.png"}, "field 'images' is \"a.png\"; it takes a list"),
        ({"images": [3]}, "image path is 3"),
        ({"messages": []}, r"field 'messages' is \[\]"),
        ({"messages": [{"role": "user", "content": "x"}]}, "ends with the user; it must end with the assistant"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "here stands the user"),
        ({"messages": [{"role": "bot", "content": "x"}]}, r"field 'messages\[0\]\.role' is \"bot\""),
        ({"messages": [{"role": "user", "content": ""}]}, r"field 'messages\[0\]\.content' is \"\""),
        ({"messages": [{"role": "user"}]}, "it takes an object with role and content"),
        ({"truth": [1]}, r"field 'truth' is \[1\]; it takes an object"),
        ({"modality": 3}, "field 'modality' is 3"),
        ({"colour": "red"}, "field 'colour' is unknown; delete or rename it"),
    ],
)
def test_a_fault_names_file_line_field_value_and_mend(tmp_path, changes, message):
    path = write_lines(tmp_path / "x.jsonl", record(**changes))
    with pytest.raises(DataError, match=message) as caught:
        list(read_examples(path))
    assert str(caught.value).startswith(f"{path} line 1: ")


def test_all_faults_of_a_file_are_told_at_once(tmp_path):
    path = write_lines(tmp_path / "x.jsonl", record(), record(task="guess"), record(), record(images=["../a.png"]))
    with pytest.raises(DataError) as caught:
        list(read_examples(path))
    first, *rest = str(caught.value).splitlines()
    assert first == f"{path} has 2 faults:"
    assert [one.split(":")[0] for one in rest] == ["  line 2", "  line 4"]
    many = write_lines(tmp_path / "y.jsonl", *[record(task="guess") for _ in range(30)])
    with pytest.raises(DataError, match="has 20 faults or more:"):
        list(read_examples(many))


def test_broken_json_and_missing_file_are_told(tmp_path):
    broken = tmp_path / "broken.jsonl"
    broken.write_text(json.dumps(record()) + '\n{"id": \n', encoding="utf-8")
    with pytest.raises(DataError, match=r"broken\.jsonl line 2: not JSON .*Write one JSON object a line"):
        list(read_examples(broken))
    with pytest.raises(DataError, match=r"none\.jsonl cannot be read"):
        list(read_examples(tmp_path / "none.jsonl"))
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes('{"id": "\xe9"}\n'.encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.jsonl line 1: not UTF-8"):
        list(read_examples(latin))
    with pytest.raises(DataError, match=r"record is \[1\]; each line is one JSON object"):
        list(read_examples(write_lines(tmp_path / "list.jsonl", [1])))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "train.jsonl"
    write_examples(path, [Example.from_dict(record())])
    before = path.read_bytes()

    def failing():
        yield Example.from_dict(record(id="b"))
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_examples(path, failing())
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["train.jsonl"]


def test_preferences_end_with_the_question_and_differ(tmp_path):
    sound = {
        "id": "p",
        "images": ["a.png"],
        "messages": [{"role": "user", "content": "Side?"}],
        "chosen": "Left",
        "rejected": "Right",
        "reason": "wrong side",
        "source": "own",
        "licence": "CC0-1.0",
    }
    preference = Preference.from_dict(sound)
    assert preference.to_dict() == sound
    assert preference.image_paths(tmp_path) == [tmp_path / "a.png"]
    assert write_preferences(tmp_path / "p.jsonl", [preference]) == 1
    assert list(read_preferences(tmp_path / "p.jsonl")) == [preference]
    with pytest.raises(DataError, match='chosen and rejected are both "Left"'):
        Preference.from_dict(sound | {"rejected": "Left"})
    with pytest.raises(DataError, match="field 'reason' is \" \""):
        Preference.from_dict(sound | {"reason": " "})
    with pytest.raises(DataError, match="ends with the assistant; it must end with the user"):
        Preference.from_dict(sound | {"messages": record()["messages"]})
