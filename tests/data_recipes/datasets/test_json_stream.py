"""JSON read a value at a time."""

from __future__ import annotations

import json
import random
import tracemalloc

import pytest

from assistant.errors import DataError
from data_recipes.datasets import json_stream
from data_recipes.datasets.json_stream import JsonStream


@pytest.mark.parametrize("indent", [None, 2])
def test_values_are_the_same_at_any_chunk_size(made, monkeypatch, indent):
    rng = random.Random(0)
    values = [
        {
            "n": rng.random() * 10 ** rng.randint(-9, 9),
            "text": 'ä"\\\n\U0001f600' * rng.randint(0, 9),
            "list": [[], {}, None],
        }
        for _ in range(40)
    ] + [12345, True, "x", -1.5e-3]
    path = made.file("a.json", json.dumps(values, indent=indent, ensure_ascii=False))
    for size in (1, 2, 3, 7, 64, 1 << 18):
        monkeypatch.setattr(json_stream, "CHUNK", size)
        with JsonStream(path) as stream:
            assert [value for _, value in stream.values()] == values


def test_lines_and_numbers_of_records_are_told(made):
    path = made.file("a.json", '\n[\n {"a": 1},\n {\n  "a": 2}, 3\n]')
    with JsonStream(path) as stream:
        rows = list(stream.rows(split="test"))
    assert [(row.number, row.line, row.fields) for row in rows] == [
        (1, 3, {"a": 1, "split": "test"}),
        (2, 4, {"a": 2, "split": "test"}),
        (3, 5, {"split": "test"}),
    ]
    assert rows[2].fault == "record is 3; each is one JSON object."


def test_objects_of_lists_are_read_key_by_key(made):
    path = made.json("a.json", {"train": [{"a": 1}], "none": [], "more": {"b": 2, "c": {}}})
    read = {}
    with JsonStream(path) as stream:
        for _, key in stream.members():
            if key == "more":
                read[key] = {inner: stream.value() for _, inner in stream.members()}
            else:
                read[key] = [row.fields for row in stream.rows()]
    assert read == {"train": [{"a": 1}], "none": [], "more": {"b": 2, "c": {}}}


@pytest.mark.parametrize("content", ["[]", "{}"])
def test_an_empty_container_holds_nothing(made, content):
    with JsonStream(made.file("a.json", content)) as stream:
        assert list(stream.values() if content == "[]" else stream.members()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[\n{"a": 1},\n{"a": oops}\n]' + " " * 100, r"a\.json line 3: not JSON \(Expecting value\)"),
        ('[{"a": 1}\n{"a": 2}]', "line 2: expected ',', found '{\"a\": 2}\\]'"),
        ('[{"a": 1},', r"line 1: not JSON \(Expecting value\)"),
        ('[{"a": 1}', "line 1: expected ',', the file ends"),
        ('[{"a": "1}', r"line 1: not JSON \(Unterminated string"),
        ('{"a": 1}', r"line 1: expected '\['"),
        ("[" * 200_000, "line 1: nested too deep"),
        (b'[\n"\xff"]', "line 2: not UTF-8"),
    ],
)
def test_broken_json_is_told_with_its_line(made, content, message):
    path = made.file("a.json", content)
    with JsonStream(path) as stream, pytest.raises(DataError, match=message):
        list(stream.values())


def test_a_key_without_quotes_is_refused(made):
    with (
        JsonStream(made.file("a.json", "{1: 2}")) as stream,
        pytest.raises(DataError, match="expected a key in quotes"),
    ):
        list(stream.members())


def test_memory_does_not_grow_with_the_file(made):
    path = made.file("a.json", "[" + ", ".join(['{"text": "' + "x" * 500 + '"}'] * 20_000) + "]")
    tracemalloc.start()
    with JsonStream(path) as stream:
        assert sum(1 for _ in stream.values()) == 20_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 10_000_000
    assert peak < 3_000_000
