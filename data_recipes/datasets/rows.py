"""Records of a data set with their places, read one at a time: CSV, JSON Lines, plain lines, Parquet, Arrow, XML.

A line that cannot be read becomes a `Row` with a `fault`, so that all faults of a file can be told at once. What makes
a whole file unreadable (it is missing, a Git LFS pointer, a web page, not UTF-8) raises `DataError`.
JSON arrays and objects: `json_stream`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.schema_check import show

BATCH_ROWS = 64
"""Rows of a Parquet file held at a time; each may hold a picture."""
FIELD_LIMIT = 16 * 2**20
"""Longest field of a CSV file, in characters."""
LFS_MARK = b"version https://git-lfs.github.com/spec/"


@dataclass(slots=True)
class Row:
    """One record and where it stands."""

    file: str
    """Name of the file in the data set."""
    number: int
    """Its line or number, from 1; no other record of the file has it."""
    fields: dict[str, Any]
    """What it holds."""
    unit: str = "line"
    """What `number` counts: line, row, record."""
    fault: str | None = None
    """Why the record cannot be read."""
    line: int | None = None
    """Line where it starts, where `number` counts something else: all records may stand in one line."""

    @property
    def place(self) -> str:
        """Return file and line in words."""
        line = f" (line {self.line})" if self.line else ""
        return f"{self.file} {self.unit} {self.number}{line}"

    @property
    def key(self) -> str:
        """Return a name for the record that no other of the set has: the file's without ending, and the number."""
        return f"{self.file.rpartition('.')[0] or self.file}-{self.number}"

    def text(self, *names: str) -> str:
        """Return the first of the fields that holds a text or number, as a text without space around it.

        Args:
            *names: of the fields, the usual one first.
        Returns:
            A text that is not empty.
        Raises:
            DataError: none of them does.
        """
        value = self.maybe(*names)
        if value is None:
            held = next((self.fields[name] for name in names if name in self.fields), None)
            known = ", ".join(map(str, self.fields))[:200]
            raise DataError(
                f"field {names[0]!r} is {show(held)}; give a text that is not empty (fields here: {known})."
            )
        return value

    def maybe(self, *names: str) -> str | None:
        """Return the first of the fields that holds a text or number, or None."""
        for name in names:
            value = self.fields.get(name)
            if isinstance(value, str):
                value = value.strip()
                if value:
                    return value
            elif isinstance(value, int | float) and not isinstance(value, bool) and value == value:
                return str(value)
        return None

    def held(self, *names: str) -> dict[str, str]:
        """Return those of the fields that hold a text or number, by their names in lower case."""
        found = {name.lower().replace(" ", "_"): self.maybe(name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def about(self, *names: str) -> dict[str, dict[str, str]]:
        """Return fields as `truth.about`: what the set says of the record, and not what the picture shows.

        Texts in `truth` itself are attributes of the picture that an encoder may learn to tell apart; a caption or
        an address must not be among them.
        """
        held = self.held(*names)
        return {"about": held} if held else {}

    def list_of(self, name: str, kind: type = str) -> list[Any]:
        """Return a field that holds a list of `kind`.

        Args:
            name: of the field.
            kind: what each item must be.
        Returns:
            The list.
        Raises:
            DataError: it holds something else.
        """
        value = self.fields.get(name)
        if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
            raise DataError(f"field {name!r} is {show(value)}; it takes a list of {_WORDS.get(kind, kind.__name__)}.")
        return value


_WORDS: dict[type, str] = {str: "texts", dict: "objects"}


def check_file(path: Path) -> None:
    """Refuse a file that is missing, empty, a Git LFS pointer, or a web page saved in place of the data.

    Args:
        path: of the file.
    Raises:
        DataError: it is one of these; says what to do.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(256)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    if not head.strip():
        raise DataError(f"{path} is empty; download it again.")
    if head.startswith(LFS_MARK):
        size = next((line.split()[-1].decode() for line in head.splitlines() if line.startswith(b"size ")), "unknown")
        raise DataError(
            f"{path} is a Git LFS pointer, not the data ({size} bytes are elsewhere). Run `git lfs pull` in that "
            "checkout, or download the file from the data set's page."
        )
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise DataError(f"{path} is a web page, not the data: a download was refused. Download the file again.")


def not_utf8(path: Path) -> DataError:
    """Return the error for a file that is not UTF-8, with the first line that is not."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return DataError(f"{path} line {number}: not UTF-8 ({error.reason}); save the file as UTF-8.")
    return DataError(f"{path}: not UTF-8; save the file as UTF-8.")


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


def as_row(file: str, number: int, record: object, unit: str = "line", line: int | None = None) -> Row:
    """Return a record as a row; one that is no object is a row with a fault."""
    if isinstance(record, dict):
        return Row(file, number, record, unit, line=line)
    return Row(file, number, {}, unit, line=line, fault=f"record is {show(record)}; each is one JSON object.")


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
    from data_recipes.datasets.json_stream import JsonStream

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
