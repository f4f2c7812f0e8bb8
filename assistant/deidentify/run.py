"""A whole run: files and folders in, one folder of de-identified files and its audit out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from assistant.deidentify.audit import Audit
from assistant.deidentify.burned import TextFinder
from assistant.deidentify.dataset import Deidentifier
from assistant.deidentify.identifiers import find_identifiers
from assistant.deidentify.objects import Made, deidentify_dicom, deidentify_raster, deidentify_text, read_header
from assistant.deidentify.profile import Profile
from assistant.deidentify.pseudonyms import Pseudonyms
from assistant.deidentify.scrub import Scrubber
from assistant.errors import AssistantError, DataError
from assistant.imaging.identity import create_salt
from assistant.imaging.load import is_bare_dicom, sniff
from assistant.imaging.quiet import QUIET
from assistant.studies import NOT_IMAGE_NAMES, NOT_IMAGES

TEXTS = frozenset({".txt", ".text", ".md", ".rpt"})
_HEAD = 4096


@dataclass(frozen=True)
class Failure:
    """A file that gave nothing, and why."""

    path: Path
    error: str


@dataclass
class Outcome:
    """What a run did."""

    written: list[tuple[Path, str]] = field(default_factory=list)
    """Each input with its output's name. It joins the two, so it is told to the caller alone."""
    failed: list[Failure] = field(default_factory=list)
    passed_over: int = 0
    audit: Audit = field(default_factory=Audit)


def run_deidentify_files(
    inputs: Sequence[str],
    out: Path,
    profile: Profile,
    *,
    salt: Path | None = None,
    dry_run: bool = False,
    on_file: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """De-identify every file that the inputs name.

    Args:
        inputs: files and folders.
        out: a new or empty folder; with a salt file it may hold what an earlier run with that salt wrote.
        profile: the options.
        salt: keeps the run's secret, so that a later run gives the same patient the same pseudonym.
        dry_run: do all the work and write nothing.
        on_file: told after each file how many are done, and of how many.
    Returns:
        what was written, what failed, and the audit.
    Raises:
        DataError: an input does not exist, or the folder is in use by something else.
        ConfigError: text in pixels is to be found and no OCR is installed.
    """
    files, passed_over = _files(inputs, out)
    if salt is None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(
            f"{out} is not empty. Choose a new folder, or go on in it with the salt it was made with: --salt."
        )
    worker = Deidentifier(profile, Pseudonyms(_salt(salt, dry_run)))
    finder = TextFinder() if profile.clean_pixels else None
    scrubber = Scrubber(_all_identifiers(files)) if any(_is_text(path) for path in files) else Scrubber()
    taken: dict[str, bytes] = {}
    outcome = Outcome(passed_over=passed_over, audit=Audit(None if dry_run else out))
    for number, path in enumerate(files, start=1):
        try:
            made = _unlike(_make(path, worker, finder, scrubber), taken)
            if not dry_run:
                _write(out / made.name, made.data)
        except (AssistantError, OSError) as error:
            outcome.failed.append(Failure(path, _told(error)))
        except Exception as error:  # one file must not cost the others theirs, and a library may quote values
            outcome.failed.append(Failure(path, f"damaged in an unforeseen way ({type(error).__name__})."))
        else:
            outcome.written.append((path, made.name))
            outcome.audit.add(made.name, made.changes)
        on_file(number, len(files))
    outcome.audit.close()
    return outcome


def _unlike(made: Made, taken: dict[str, bytes]) -> Made:
    """Give a file a name of its own where another one of the run has its name: two objects with one instance UID."""
    content = hashlib.sha256(made.data).digest()
    name, number = Path(made.name), 1
    while taken.setdefault(str(name), content) != content:
        number += 1
        name = Path(made.name).with_stem(f"{Path(made.name).stem}-{number}")
    return replace(made, name=name.as_posix())


def _told(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def _files(inputs: Sequence[str], out: Path) -> tuple[list[Path], int]:
    """Return the files in their order, each once, and how many in folders are of a kind that is never copied."""
    found: dict[Path, None] = {}
    passed_over = 0
    for given in inputs:
        path = Path(given).expanduser()
        if not path.exists():
            raise DataError(f"{given} does not exist. Name a file or a folder.")
        if path.is_file():
            found[path] = None
            continue
        for one in _walk(path, out.resolve()):
            if _is_other(one):
                passed_over += 1
            else:
                found[one] = None
    if not found:
        raise DataError(f"No file to de-identify in {', '.join(inputs)}. Name DICOM files, pictures, texts or folders.")
    return list(found), passed_over


def _walk(folder: Path, barred: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if Path(parent, one).resolve() != barred)
        yield from (Path(parent, name) for name in sorted(names))


def _is_other(path: Path) -> bool:
    """Whether a file in a folder is clearly none of ours, by its name."""
    if _is_text(path):
        return False
    return path.name.startswith(".") or path.name.lower() in NOT_IMAGE_NAMES or path.suffix.lower() in NOT_IMAGES


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in TEXTS


def _make(path: Path, worker: Deidentifier, finder: TextFinder | None, scrubber: Scrubber) -> Made:
    """De-identify one file by its kind, which its first bytes tell."""
    source = path.read_bytes()
    if _is_dicom(source):
        return deidentify_dicom(source, worker, finder)
    if sniff(source[:_HEAD]) is not None:
        return deidentify_raster(source, worker, finder)
    if _is_text(path) and b"\0" not in source:
        return deidentify_text(source, worker, scrubber)
    raise DataError("this is no DICOM object, no picture and no text that is known here, so it was left out.")


def _is_dicom(source: bytes) -> bool:
    kind = sniff(source[:_HEAD])
    return kind == "DICOM" or (kind is None and is_bare_dicom(source))


def _all_identifiers(files: Sequence[Path]) -> set[str]:
    """Return the identifiers of all headers of the run: a report names the patient of an image beside it."""
    found: set[str] = set()
    for path in files:
        try:
            if not _is_text(path) and _is_dicom(source := path.read_bytes()):
                with QUIET:
                    found |= find_identifiers(read_header(source))
        except (AssistantError, OSError):
            continue  # it is reported when its turn comes
    return found


def _salt(path: Path | None, dry_run: bool) -> bytes | None:
    """Read the salt file, or make it; None for a salt that ends with the run."""
    if path is None or (dry_run and not path.exists()):
        return None
    try:
        return create_salt(path)
    except OSError as error:
        raise DataError(f"The salt file {path} cannot be used ({error.strerror}). Choose another --salt.") from None


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_name(f".{path.name}.part")
    try:
        with waiting.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(waiting, path)
    finally:
        waiting.unlink(missing_ok=True)
