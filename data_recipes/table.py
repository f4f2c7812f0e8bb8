"""The `csv` recipe: a table with one question or report a row becomes one file of examples a split.

Columns are named on the command line; each option defaults to a column of its own name, where there is one. A row
needs an answer (or a report), and a question unless it is a report. All rows are checked before anything is written.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from assistant.errors import DataError
from assistant.prompts import render_report, report_text
from assistant.vocabulary import canonical_modality
from data_recipes.own import FaultList, Options, add_common_options, needed_licence, place_image, split_files
from data_recipes.report_sections import report_sections
from data_recipes.schema import Example
from data_recipes.schema_check import image_name_fault, show
from data_recipes.splits import SPLITS, assign_split, group_key, read_shares

logger = logging.getLogger(__name__)

COLUMNS: dict[str, str] = {
    "image": "the picture's path; several with ; between",
    "question": "the question",
    "answer": "the answer",
    "report": "a report: the row asks for it, whatever the question",
    "choices": "the answers to choose from, with | between",
    "id": "a key for the row; the row's number if there is none",
    "split": f"one of {', '.join(SPLITS)}; by patient, else by picture, if there is none",
    "patient": "key of the patient, who never stands in two splits; written as a pseudonym",
    "modality": "X-ray, CT, …",
    "anatomy": "body region",
    "site": "where the picture was taken",
}
"""Option, which is also the column's default name, to what it holds."""

_CLOSED = {"yes", "no"}
Row = dict[str, str]


@dataclass(frozen=True)
class Table:
    """Which columns of a file are read, and what all rows share."""

    path: Path
    """The file."""
    columns: Mapping[str, str]
    """Key of `COLUMNS` to the column's heading; those that are not there are left out."""
    images: Path
    """Folder that image paths start at."""
    delimiter: str
    shares: Mapping[str, float]
    licence: str
    source_name: str
    seed: int

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Read the file row by row.

        Yields:
            Line number and the values by key of `COLUMNS`, without blanks at their ends.
        Raises:
            DataError: the file is not UTF-8.
        """
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as stream:
                reader = csv.DictReader(stream, delimiter=self.delimiter, strict=True)
                for row in reader:
                    number = reader.line_num
                    yield number, {key: (row[name] or "").strip() for key, name in self.columns.items()}
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: not UTF-8 ({error.reason}); save it as CSV UTF-8.") from error
        except csv.Error as error:
            raise DataError(f"{self.path} line {reader.line_num}: no sound CSV ({error}); save it again.") from error


def add_options(options: Options) -> None:
    """Add this recipe's options: the columns, and what all rows share.

    Args:
        options: of the command line.
    """
    for name, text in COLUMNS.items():
        options.add_argument(f"--{name}", metavar="COLUMN", help=f"column with {text}")
    options.add_argument("--images", type=Path, metavar="DIR", help="folder of the pictures (default: the table's)")
    options.add_argument("--delimiter", default=None, metavar="C", help="between columns (default , or tab for .tsv)")
    add_common_options(options)


def build(
    source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False, **options: Any
) -> dict[str, int]:
    """Turn a table into example files.

    Args:
        source: a CSV or TSV file in UTF-8 with a row of headings.
        out: folder to write `<split>.jsonl` and the pictures into.
        limit: at most this many rows.
        seed: decides the splits of rows that name none.
        link: put symbolic links to the pictures instead of hard links or copies.
        **options: as `add_options` names them.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: a column is missing or rows break the format; names the first twenty faults.
    """
    table = _table(source, options, seed)
    faults = FaultList()
    for _ in _examples(table, faults, limit):
        pass
    faults.raise_if_any(source)
    with split_files(out) as writer:
        for split, example, names in _examples(table, faults, limit):
            for name, target in zip(names, example.images, strict=True):
                _put_image(table.images / name, out / target, link)
            writer.add(split, example)
        return writer.counts


def _table(source: Path, options: Mapping[str, Any], seed: int) -> Table:
    """Find the columns in the first line."""
    if source.is_dir():
        raise DataError(f"--source {source} is a folder; give the CSV file.")
    delimiter = options["delimiter"] or ("\t" if source.suffix.lower() in (".tsv", ".tab") else ",")
    if len(delimiter) != 1:
        raise DataError(f"--delimiter is {delimiter!r}; give one character.")
    try:
        with source.open(encoding="utf-8-sig", newline="") as stream:
            headings = next(csv.reader(stream, delimiter=delimiter), [])
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 ({error.reason}); save it as CSV UTF-8.") from error
    columns = {}
    missing = []
    for name in COLUMNS:
        wanted = options[name]
        if (wanted or name) in headings:
            columns[name] = wanted or name
        elif wanted:
            missing.append(f"--{name} is {wanted!r}")
    if "answer" not in columns and "report" not in columns:
        missing.append("neither an answer nor a report is named (--answer COLUMN or --report COLUMN)")
    if "answer" in columns and "question" not in columns:
        missing.append("no question is named (--question COLUMN)")
    if missing:
        raise DataError(f"{source} has the columns {', '.join(map(repr, headings))}, but {'; '.join(missing)}.")
    return Table(
        path=source,
        columns=columns,
        images=options["images"] or source.parent,
        delimiter=delimiter,
        shares=read_shares(options["shares"]),
        licence=needed_licence(options["licence"]),
        source_name=options["source_name"],
        seed=seed,
    )


def _examples(table: Table, faults: FaultList, limit: int | None) -> Iterator[tuple[str, Example, list[str]]]:
    """Yield each sound row's split, example and pictures as the table names them; note what is wrong with others."""
    lines: dict[str, int] = {}
    homes: dict[str, tuple[str, int]] = {}
    targets: dict[str, str] = {}
    seen = 0
    for number, row in table.rows():
        if limit is not None and seen >= limit:
            break
        if not any(row.values()):
            continue
        seen += 1
        before = faults.count
        key = row.get("id") or f"row{number}"
        split = _split(table, row, key)
        own = list(_row_faults(table, row))
        if lines.setdefault(key, number) != number:
            own.append(f"{_column(table, 'id')} is {show(key)}, which line {lines[key]} has; give each its own.")
        if row.get("patient"):
            home, first = homes.setdefault(row["patient"], (split, number))
            if home != split and split in SPLITS:
                own.append(f"the patient of line {first} is in {show(home)} there and in {show(split)} here; keep one.")
        for name in _images(row):
            other = targets.setdefault(_target(name), name)
            if other != name:
                own.append(f"{show(name)} and {show(other)} would both be written to {_target(name)}; rename one.")
        for fault in own:
            faults.add(f"line {number}", fault)
        if faults.count == before:
            yield split, _example(table, row, key), _images(row)
    if not seen:
        faults.add(table.path.name, "there is no row below the headings; add some.")


def _row_faults(table: Table, row: Row) -> Iterator[str]:
    """Say what is wrong with one row, each time with column, value and mend."""
    is_report = bool(row.get("report"))
    for name in () if is_report else ("question", "answer"):
        if not row.get(name):
            yield f"{_column(table, name)} is empty; fill it in or delete the row."
    choices = _choices(row)
    if choices and not is_report and row.get("answer") not in choices:
        yield f"{_column(table, 'answer')} is {show(row.get('answer'))}, which is none of its choices {show(choices)}."
    if "split" in row and row["split"] not in SPLITS:
        yield f"{_column(table, 'split')} is {show(row['split'])}; use one of {', '.join(SPLITS)}."
    folder = table.images.resolve()
    for name in _images(row):
        if fault := image_name_fault(name):
            yield f"{_column(table, 'image')}: {fault}"
        elif not (table.images / name).resolve().is_relative_to(folder):
            yield f"{_column(table, 'image')} is {show(name)}, a link out of the folder; put the file itself there."
        elif not (table.images / name).is_file():
            yield f"{_column(table, 'image')} is {show(name)}, but {table.images / name} is missing; add it."


def _example(table: Table, row: Row, key: str) -> Example:
    modality = canonical_modality(row.get("modality")) or row.get("modality") or None
    choices = _choices(row)
    if row.get("report"):
        request, answer = report_text(), render_report(report_sections(row["report"])) or row["report"]
        task, answer_type, choices = "report", "report", []
    else:
        request, answer, task = row["question"], row["answer"], "vqa"
        answer_type = "choice" if choices else "closed" if answer.lower().rstrip(".") in _CLOSED else "open"
    region = row.get("anatomy", "").lower() or None
    truth = {name: value for name, value in (("modality", modality), ("region", region)) if value}
    return Example(
        id=f"{table.source_name}-{key}",
        images=tuple(_target(name) for name in _images(row)),
        messages=[{"role": "user", "content": request}, {"role": "assistant", "content": answer}],
        task=task,
        answer_type=answer_type,
        choices=tuple(choices) or None,
        truth=truth or None,
        modality=modality,
        anatomy=region,
        patient=_pseudonym(row.get("patient")),
        site=row.get("site") or None,
        source=table.source_name,
        licence=table.licence,
    )


def _split(table: Table, row: Row, key: str) -> str:
    if "split" in row:
        return row["split"]
    group = group_key(patient=row.get("patient"), study=";".join(_images(row)), record=key)
    return assign_split(group, table.seed, table.shares)


def _pseudonym(patient: str | None) -> str | None:
    """Return the salted one-way key that the same PatientID has everywhere in this installation."""
    from assistant.imaging.identity import installation_salt
    from assistant.imaging.identity import key as make_key

    return make_key(installation_salt(), "patient", "", patient)


def _images(row: Row) -> list[str]:
    return [name.strip() for name in row.get("image", "").split(";") if name.strip()]


def _choices(row: Row) -> list[str]:
    return [choice.strip() for choice in row.get("choices", "").split("|") if choice.strip()]


def _column(table: Table, name: str) -> str:
    return f"column {table.columns.get(name, name)!r}"


def _target(name: str) -> str:
    """Return a picture's path in the built folder: its own under `images/`; DICOM becomes PNG."""
    path = PurePosixPath(name)
    path = path if path.parts[0] == "images" else PurePosixPath("images") / path
    return str(path if path.suffix.lower() in _KEPT else path.with_name(path.name + ".png"))


_KEPT = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"}


def _put_image(origin: Path, target: Path, link: bool) -> None:
    """Put a picture beside the example files; of a DICOM file, whose header names the patient, only what it shows."""
    if target.suffix == origin.suffix:
        place_image(origin, target, link=link)
    elif not target.exists():
        from assistant.imaging.load import load_picture

        target.parent.mkdir(parents=True, exist_ok=True)
        load_picture(origin).to_pil().save(target)
