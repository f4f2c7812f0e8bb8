"""From what a person names on the command line to a list of studies: files, folders, patterns and lists."""

from __future__ import annotations

import csv
import glob
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.dicomdir import is_dicomdir, referenced_files
from assistant.errors import WorklistError
from assistant.names import own_name, shown, without_paths

LIST_COLUMNS: tuple[str, ...] = ("images", "priors", "indication", "history", "template", "study")
LONGEST_TOLD = 500
"""Characters of an indication or history that are kept."""
LIST_SUFFIXES = frozenset({".csv", ".jsonl"})
_TEXT = {".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".log"}
_OFFICE = {".pdf", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".html", ".htm", ".css"}
_CODE_AND_DATA = {".py", ".sh", ".js", ".zip", ".tar", ".7z", ".sqlite", ".db", ".npz", ".safetensors", ".wav", ".mp3"}
NOT_IMAGES = frozenset(_TEXT | _OFFICE | _CODE_AND_DATA)
"""Endings of files in a folder that are passed over; anything else is tried, and fails aloud if it is no image."""
NOT_IMAGE_NAMES = frozenset({"dicomdir", "thumbs.db", "desktop.ini", "readme", "license", "licence", "makefile"})


@dataclass(frozen=True)
class Study:
    """What one report is to be written about."""

    images: tuple[Path, ...]
    priors: tuple[Path, ...] = ()
    indication: str | None = None
    history: str | None = None
    """What is known of the patient, scrubbed like the indication."""
    template: str | None = None
    """None: the run's own template."""
    name: str | None = None
    """The person's own id for the study, from a list; None: an id is made from the content."""
    volume: bool = False
    """Whether `images` are the slices of one DICOM series."""
    prior_volume: bool = False
    """Whether `priors` are the slices of one DICOM series."""
    priors_found: bool = False
    """Whether the priors were found in the list, and not named. They are no part of the study's identity."""
    found: bool = False
    """Whether it was found in a folder or by a pattern, and not named itself."""
    clinical: Mapping[str, Any] | None = None
    """What a record knew before the study: `earlier` reports. It names nobody."""
    aliases: tuple[str, ...] = ()
    """Own names of images and priors, where they were given already: another machine would give others."""
    keep_names: bool = False
    """Whether records name the inputs by their paths; else by names of our own, see `assistant.names`."""

    @property
    def is_single(self) -> bool:
        """Whether it is one file of which no list says more."""
        return len(self.images) == 1 and self.name is None and not self.priors and not self.listed

    @property
    def listed(self) -> bool:
        """Whether a list tells more of it than its file."""
        return any(told is not None for told in (self.indication, self.history, self.template))

    @property
    def inputs(self) -> list[str]:
        """The paths of the current images, relative where they can be."""
        return [shown(path) for path in self.images]

    @property
    def names(self) -> list[str]:
        """The current images as a record names them."""
        return self.named(self.images)

    def named(self, paths: Sequence[Path]) -> list[str]:
        """Return paths of this study as a record names them."""
        if self.keep_names:
            return [shown(path) for path in paths]
        known = dict(zip((*self.images, *self.priors), self.aliases, strict=False))
        return [known.get(path) or own_name(path) for path in paths]

    def told(self, text: str) -> str:
        """Return a message about this study as a record may keep it."""
        paths = (*self.images, *self.priors)
        return text if self.keep_names else without_paths(text, paths, self.named(paths))


@dataclass(frozen=True)
class Collection:
    """The studies found, and how many files in folders were passed over as no images."""

    studies: tuple[Study, ...]
    passed_over: int = 0


def collect_studies(inputs: Sequence[str], *, leave_out: Path | None = None) -> Collection:
    """Find the studies that a person means; each file is one study, each line of a list is one study.

    Args:
        inputs: files, folders (searched to the bottom), patterns such as `scans/**/*.dcm`, `.csv` or `.jsonl` lists.
        leave_out: a folder whose files are never images, the run's own output.
    Returns:
        Studies in the order named, folders sorted by path, each file once.
    Raises:
        WorklistError: an input does not exist, a pattern matches nothing, or a list is malformed or holds nothing.
    """
    if not inputs:
        raise WorklistError("No INPUT is given. Name files, folders, patterns or lists, or an archive with --dicomweb.")
    studies: list[Study] = []
    passed_over = 0
    seen: set[str] = set()
    for given in inputs:
        for path in _expanded(given):
            if path.is_dir():
                files, skipped = folder_files(path, leave_out)
                passed_over += skipped
            elif is_dicomdir(path):
                files = referenced_files(path)
            elif path.suffix.lower() in LIST_SUFFIXES:
                studies.extend(read_list(path))
                continue
            else:
                files = [path]
            for file in files:
                key = os.path.abspath(file)
                if key not in seen:
                    seen.add(key)
                    studies.append(Study(images=(file,), found=path not in files or glob.has_magic(given)))
    if not studies:
        raise WorklistError(f"No image found in {', '.join(inputs)}. Name image files, or a folder that holds some.")
    _refuse_repeated_names(studies)
    return Collection(tuple(studies), passed_over)


def _expanded(given: str) -> list[Path]:
    """Return the path named, or all that a pattern matches."""
    path = Path(given).expanduser()
    if path.exists():
        return [path]
    if glob.has_magic(given):
        found = sorted(glob.glob(os.path.expanduser(given), recursive=True))
        if found:
            return [Path(one) for one in found]
        raise WorklistError(f"The pattern {given} matches no file. Check its folder and ending.")
    raise WorklistError(f"{given} does not exist. Name a file, a folder, a pattern, or a .csv or .jsonl list.")


def folder_files(folder: Path, leave_out: Path | None) -> tuple[list[Path], int]:
    """Return the files under a folder that may be images, sorted, and how many others there are."""
    kept: list[Path] = []
    skipped = 0
    barred = leave_out.resolve() if leave_out else None
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith(".") and Path(parent, one).resolve() != barred)
        for name in sorted(names):
            if _is_clearly_no_image(name):
                skipped += 1
            else:
                kept.append(Path(parent, name))
    return kept, skipped


def _is_clearly_no_image(name: str) -> bool:
    return name.startswith(".") or name.lower() in NOT_IMAGE_NAMES or Path(name).suffix.lower() in NOT_IMAGES


def read_list(path: Path) -> list[Study]:
    """Read a `.csv` or `.jsonl` list of studies.

    Columns or keys: `images` (needed), `priors`, `indication`, `history`, `template`, `study`. Several paths stand in a
    JSON list, or in one cell with `;` between them. Relative paths start at the list's own folder. What names somebody
    is taken out of indication and history by the rules of `deidentify`.

    Args:
        path: the list.
    Returns:
        One study a line.
    Raises:
        WorklistError: the list cannot be read, holds nothing, or a line breaks this form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise WorklistError(f"The list {path} cannot be read as UTF-8 text ({error}). Save it so.") from error
    rows = _csv_rows(text) if path.suffix.lower() == ".csv" else _json_rows(text, path)
    studies = [_study_of_row(row, path, number) for number, row in rows]
    if not studies:
        raise WorklistError(f"The list {path} holds no study. Give it one line a study with the images' paths.")
    return studies


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    for row in reader:
        yield reader.line_num, {(key or "").strip() or "(no heading)": value for key, value in row.items()}


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise WorklistError(f"{path} line {number} is no JSON ({error}). Write one object a line.") from error
        if not isinstance(row, dict):
            raise WorklistError(f"{path} line {number} is a {type(row).__name__}. Write one object a line.")
        yield number, row


def _study_of_row(row: Mapping[str, Any], path: Path, number: int) -> Study:
    """Return the study that one line of a list describes."""
    where = f"{path} line {number}"
    unknown = sorted(set(row) - set(LIST_COLUMNS))
    if unknown:
        raise WorklistError(f"{where} has the unknown column {unknown[0]!r}. Use {', '.join(LIST_COLUMNS)}.")
    images = _paths(row.get("images"), path.parent, f"{where}, images")
    if not images:
        raise WorklistError(f"{where} names no image. Put one path, or several with ; between them, under images.")
    texts: dict[str, str | None] = {}
    for column in ("indication", "history", "template", "study"):
        value = row.get(column)
        if value is not None and not isinstance(value, str):
            raise WorklistError(f"{where}, {column} is {value!r}. Write text, or leave it out.")
        texts[column] = value.strip() or None if value else None
    priors = _paths(row.get("priors"), path.parent, f"{where}, priors")
    return Study(images, priors, told(texts["indication"]), told(texts["history"]), texts["template"], texts["study"])


def told(text: str | None) -> str | None:
    """Return an indication or history as it may go on: scrubbed, on one line, cut at a word to `LONGEST_TOLD`.

    Args:
        text: as the list has it.
    Returns:
        The text, None for none.
    """
    if text is None:
        return None
    from assistant.deidentify.scrub import Scrubber

    # By lines, for the rules go by what a line begins with; a line break or control character must not break a page.
    scrubbed = " ".join(Scrubber().scrub(line)[0] for line in text.splitlines())
    flat = " ".join("".join(char if char.isprintable() else " " for char in scrubbed).split())
    if len(flat) <= LONGEST_TOLD:
        return flat or None
    return f"{flat[: LONGEST_TOLD - 2].rsplit(' ', 1)[0]} …"


def _paths(value: Any, folder: Path, where: str) -> tuple[Path, ...]:
    """Return the paths of a cell or a JSON list."""
    parts: Iterable[Any] = value.split(";") if isinstance(value, str) else value or ()
    if not isinstance(parts, list | tuple) or any(not isinstance(one, str) for one in parts):
        raise WorklistError(f"{where} is {value!r}. Write a path, or a list of paths.")
    return tuple(folder / one.strip() for one in parts if one.strip())


def _refuse_repeated_names(studies: Sequence[Study]) -> None:
    """Refuse two studies of one name: their reports could not be told apart."""
    seen: set[str] = set()
    for study in studies:
        if study.name is not None and study.name in seen:
            raise WorklistError(
                f"The study {study.name!r} is listed twice. Put its images on one line, with ; between."
            )
        if study.name is not None:
            seen.add(study.name)
