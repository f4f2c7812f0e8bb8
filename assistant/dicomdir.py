"""The files that a DICOMDIR, the index of a CD or of an export, refers to (DICOM PS3.3 F, PS3.10 8)."""

from __future__ import annotations

from pathlib import Path

from assistant.errors import WorklistError

NAME = "DICOMDIR"


def is_dicomdir(path: Path) -> bool:
    """Tell by its name whether a file is a DICOMDIR."""
    return path.name.upper() == NAME and path.is_file()


def referenced_files(path: Path) -> list[Path]:
    """Return the files that a DICOMDIR lists, in its order.

    Args:
        path: the DICOMDIR; its folder is where paths begin.
    Returns:
        Paths; one that is missing is returned too, so that the run says so.
    Raises:
        WorklistError: it cannot be read, lists nothing, or points out of its folder.
    """
    from pydicom import dcmread
    from pydicom.multival import MultiValue

    from assistant.imaging.quiet import QUIET

    try:
        with QUIET:
            records = dcmread(path, specific_tags=["DirectoryRecordSequence"]).DirectoryRecordSequence
            named = [record.get("ReferencedFileID") for record in records]
    except Exception:  # pydicom finds damage in many ways, and its messages may quote the file
        raise WorklistError(f"{path} cannot be read as a DICOMDIR. Name the folder instead.") from None
    files = []
    for parts in named:
        if not parts:
            continue
        file = path.parent.joinpath(*(str(one) for one in (parts if isinstance(parts, MultiValue) else [parts])))
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise WorklistError(f"{path} refers to a file outside its folder. Name the folder instead.")
        files.append(file)
    if not files:
        raise WorklistError(f"{path} refers to no file. Name the folder instead.")
    return files
