"""Records of a data set with their places, read one at a time: CSV, JSON Lines, plain lines, Parquet, Arrow, XML.

A line that cannot be read becomes a `Row` with a `fault`, so that all faults of a file can be told at once. What makes
a whole file unreadable (it is missing, a Git LFS pointer, a web page, not UTF-8) raises `DataError`.
JSON arrays and objects: `json_stream`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from assistant.errors import DataError
from data_recipes.datasets.json_stream import JsonStream
from data_recipes.datasets.row import Row, as_row, check_file, not_utf8
from data_recipes.schema_check import show

BATCH_ROWS = 64
"""Rows of a Parquet file held at a time; each may hold a picture."""
FIELD_LIMIT = 16 * 2**20
"""Longest field of a CSV file, in characters."""


def read_lines(path: Path) -> Iterator[Row]:
    """Yield the lines of a text file as the field "line"; empty ones are passed over."""
    check_file(path)
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield Row(path.name, number, {"line": line.rstrip("\r\n")})
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error


def read_jsonl(path: Path) -> Iterator[Row]:
    """Yield the objects of a JSON Lines file; empty lines are passed over."""
    for row in read_lines(path):
        text = row.fields["line"]
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            row.fault = f"not JSON ({error.msg} at column {error.colno}): {show(text)}. Write one JSON object a line."
        else:
            yield as_row(path.name, row.number, record)
            continue
        yield row


def read_csv(path: Path, needed: Sequence[str], *, delimiter: str = ",") -> Iterator[Row]:
    """Yield the rows of a CSV or TSV file with a header.

    Args:
        path: of the file.
        needed: columns that the header must name.
        delimiter: what stands between fields.
    Yields:
        Rows, by the line they end on; empty fields are empty texts.
    Raises:
        DataError: the header lacks a column or has one twice, or the file cannot be read.
    """
    check_file(path)
    csv.field_size_limit(FIELD_LIMIT)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter)
            header = [name.strip() for name in next(reader)]
            _check_header(path, header, needed)
            for values in reader:
                if not values:
                    continue
                row = Row(path.name, reader.line_num, dict(zip(header, values, strict=False)))
                if len(values) != len(header):
                    row.fault = (
                        f"{len(values)} fields, but the header names {len(header)}; quote fields that hold "
                        f"{delimiter!r} or line breaks."
                    )
                yield row
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: not CSV ({error}); export the table again.") from error


def _check_header(path: Path, header: list[str], needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in header]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if missing or twice:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(twice)} twice"
        raise DataError(f"{path} line 1: the header {wrong}; found {show(', '.join(header))}. Mend the header.")


def read_table(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file or an Arrow stream, some at a time; pictures stay as bytes.

    Args:
        path: *.parquet or *.arrow.
    Yields:
        Rows, numbered from 1.
    Raises:
        DataError: pyarrow is not installed, or the file is none of these.
    """
    check_file(path)
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ImportError as error:
        raise DataError(f"{path} needs pyarrow; install it: pip install 'medassist[train]'.") from error
    number = 0
    try:
        if path.suffix == ".arrow":
            with pyarrow.memory_map(str(path)) as stream:
                for batch in ipc.open_stream(stream):
                    for start in range(0, batch.num_rows, BATCH_ROWS):
                        for record in batch.slice(start, BATCH_ROWS).to_pylist():
                            number += 1
                            yield Row(path.name, number, record, "row")
            return
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=BATCH_ROWS):
                for record in batch.to_pylist():
                    number += 1
                    yield Row(path.name, number, record, "row")
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path} is no {path.suffix[1:]} file ({str(error)[:100]}); download it again.") from error


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the records of a file in the form that its ending names.

    Args:
        path: *.jsonl, *.json (an array, or one object a line), *.csv, *.tsv, *.parquet or *.arrow.
    Yields:
        Rows.
    Raises:
        DataError: the ending is another.
    """
    ending = path.suffix.lower()
    if ending == ".json":
        check_file(path)
        with JsonStream(path) as stream:
            lines = stream.peek() == "{"
            if not lines:
                yield from stream.rows()
        if lines:
            yield from read_jsonl(path)
    elif ending == ".jsonl":
        yield from read_jsonl(path)
    elif ending in (".csv", ".tsv"):
        yield from read_csv(path, (), delimiter="\t" if ending == ".tsv" else ",")
    elif ending in (".parquet", ".arrow"):
        yield from read_table(path)
    else:
        raise DataError(f"{path} ends with {ending!r}; use .json, .jsonl, .csv, .tsv, .parquet or .arrow.")
