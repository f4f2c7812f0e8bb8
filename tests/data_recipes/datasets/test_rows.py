"""Records of CSV, JSON Lines, plain lines, Parquet and Arrow files, and the files that are none."""

from __future__ import annotations

import pytest

from assistant.errors import DataError
from data_recipes.datasets.row import Row
from data_recipes.datasets.rows import read_csv, read_jsonl, read_lines, read_rows


def test_csv_keeps_quoted_line_breaks_and_counts_lines(made):
    path = made.file("a.csv", '\ufeffid,text\n1,"two\nlines"\n\n2,x\n')
    rows = list(read_csv(path, ("id", "text")))
    assert [(row.number, row.fields) for row in rows] == [
        (3, {"id": "1", "text": "two\nlines"}),
        (5, {"id": "2", "text": "x"}),
    ]


def test_csv_row_with_other_fields_than_the_header_is_a_fault_of_its_line(made):
    rows = list(read_csv(made.file("a.csv", "id,text\n1,a,b\n2,x\n"), ("id",)))
    assert rows[0].fault == "3 fields, but the header names 2; quote fields that hold ',' or line breaks."
    assert rows[1].fault is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,id,text\n", "line 1: the header has id twice"),
        (b"id,words\n", r"line 1: the header lacks text; found \"id, words\""),
        (b"id,text\n1,\xff\n", "line 2: not UTF-8"),
        (b"  \n", "is empty; download it again"),
        (b"<!DOCTYPE html><html>", "is a web page, not the data"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:84f7\nsize 20176754\n",
            r"is a Git LFS pointer, not the data \(20176754 bytes are elsewhere\). Run `git lfs pull`",
        ),
    ],
)
def test_files_that_are_no_table_are_refused(made, content, message):
    path = made.file("a.csv", content)
    with pytest.raises(DataError, match=message):
        list(read_csv(path, ("id", "text")))


def test_a_missing_file_is_named(made):
    with pytest.raises(DataError, match=r"a\.csv cannot be read \(No such file"):
        list(read_lines(made.root / "a.csv"))


def test_json_lines_give_each_fault_its_line(made):
    rows = list(read_jsonl(made.file("a.jsonl", '{"a": 1}\n\n{"a"\n[2]\n{"a": 3}\n')))
    assert [row.number for row in rows] == [1, 3, 4, 5]
    assert rows[1].fault == (
        'not JSON (Expecting \':\' delimiter at column 5): "{\\"a\\"". Write one JSON object a line.'
    )
    assert rows[2].fault == "record is [2]; each is one JSON object."
    assert rows[3].fields == {"a": 3}


@pytest.mark.parametrize("form", ["array", "lines"])
def test_a_json_file_may_hold_an_array_or_lines(made, form):
    records = [{"n": 1}, {"n": 2}]
    path = made.json("a.json", records) if form == "array" else made.jsonl("a.json", records)
    assert [row.fields for row in read_rows(path)] == records


def test_tables_of_both_kinds_are_read_in_batches(made):
    import pyarrow
    from pyarrow import ipc

    records = [{"n": number, "image": {"bytes": b"x", "path": None}} for number in range(150)]
    path = made.parquet("a.parquet", records)
    assert [row.fields for row in read_rows(path)] == records
    table = pyarrow.Table.from_pylist(records)
    with pyarrow.OSFile(str(made.root / "a.arrow"), "wb") as stream, ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    rows = list(read_rows(made.root / "a.arrow"))
    assert [row.fields for row in rows] == records
    assert rows[149].place == "a.arrow row 150"


def test_a_broken_table_and_an_unknown_ending_are_refused(made):
    with pytest.raises(DataError, match=r"a\.parquet is no parquet file"):
        list(read_rows(made.file("a.parquet", b"no table at all")))
    with pytest.raises(DataError, match=r"ends with '\.xls'; use \.json, \.jsonl"):
        list(read_rows(made.file("a.xls", b"x")))


def test_fields_are_texts_numbers_or_faults():
    row = Row("a.csv", 3, {"a": " x ", "b": 7, "c": "", "d": True, "e": float("nan"), "f": ["y"], "Some Name": 1.5})
    assert (row.text("a"), row.text("c", "b"), row.maybe("d"), row.maybe("e")) == ("x", "7", None, None)
    assert row.held("a", "c", "Some Name") == {"a": "x", "some_name": "1.5"}
    assert (row.about("a"), row.about("c")) == ({"about": {"a": "x"}}, {})
    assert row.list_of("f") == ["y"]
    assert (row.place, row.key) == ("a.csv line 3", "a-3")
    assert Row("a.json", 3, {}, "record", line=9).place == "a.json record 3 (line 9)"
    with pytest.raises(DataError, match=r"field 'c' is \"\"; give a text that is not empty \(fields here: a, b, c"):
        row.text("c")
    with pytest.raises(DataError, match="field 'a' is \" x \"; it takes a list of texts"):
        row.list_of("a")
    with pytest.raises(DataError, match="field 'f' is .* a list of objects"):
        row.list_of("f", dict)
