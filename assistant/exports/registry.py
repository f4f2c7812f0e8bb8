"""The formats that a report can be written in, by the names that `--formats` takes."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.deidentify import shown
from assistant.errors import AssistantError, ConfigError, ExportError
from assistant.exports.source import Source

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Format:
    """One format: a module of this package with a function `render(record, source) -> bytes`."""

    name: str
    ending: str
    what: str
    module: str | None = None
    """None for the two that need no module of their own."""
    needs: str | None = None
    """A library of the extra `exports`."""
    pictures: bool = False
    """Whether it shows pictures, in which text must be looked for."""


FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("md", "md", "Markdown page"),
        Format("json", "json", "the ledger's record"),
        Format("csv", "csv", "one row for a spreadsheet", "table"),
        Format("html", "html", "page with pictures and evidence, in one file", "html", None, True),
        Format("docx", "docx", "Word document with pictures and evidence", "docx", "docx", True),
        Format("pdf", "pdf", "PDF with pictures and evidence", "pdf", "reportlab", True),
        Format("sr", "sr.dcm", "DICOM structured report", "sr", "highdicom"),
        Format("dicom-pdf", "pdf.dcm", "the PDF as DICOM Encapsulated PDF", "dicom_pdf", "reportlab", True),
        Format("sc", "sc.dcm", "DICOM secondary capture of what the report rests on", "sc", pictures=True),
        Format("fhir", "fhir.json", "FHIR R4 bundle", "fhir"),
        Format("hl7", "hl7", "HL7 v2.5.1 ORU^R01 message", "hl7"),
    )
}


def check_formats(names: Sequence[str]) -> None:
    """Refuse formats that do not exist or whose library is missing, all at once.

    Args:
        names: as the command line gives them.
    Raises:
        ConfigError: a name is unknown, none is given, a library is not installed, or a format shows pictures and text
            in them cannot be looked for.
    """
    unknown = [one for one in names if one not in FORMATS]
    if unknown or not names:
        raise ConfigError(f"formats is {','.join(names)!r}; use one or more of {', '.join(FORMATS)}.")
    needed = {FORMATS[one].needs for one in names} - {None}
    missing = sorted(one for one in needed if one and importlib.util.find_spec(one) is None)
    if missing:
        raise ConfigError(
            f"formats is {','.join(names)!r}, which needs {', '.join(missing)}. "
            "Install it: pip install 'medassist[exports]', or leave that format out."
        )
    if any(FORMATS[one].pictures for one in names):
        shown.check()


def is_installed(name: str) -> bool:
    """Tell whether what a format needs is installed; nothing of it is loaded for that.

    Args:
        name: of `FORMATS`.
    Returns:
        False where `check_formats` would refuse it.
    """
    one = FORMATS[name]
    there = one.needs is None or importlib.util.find_spec(one.needs) is not None
    return there and (not one.pictures or shown.installed())


def ending(name: str) -> str:
    """Return the file name's ending of a format, without its leading dot."""
    return FORMATS[name].ending


def render(name: str, record: Record, source: Source | None = None) -> bytes:
    """Write one report in one format.

    Args:
        name: of `FORMATS`.
        record: as the ledger keeps it.
        source: the images it was made from; found by the record's inputs if None.
    Returns:
        the file's bytes.
    Raises:
        ExportError: the format cannot be made from these inputs.
    """
    if name == "md":
        from assistant.exports.markdown import report_markdown

        return report_markdown(record).encode()
    if name == "json":
        return (json.dumps(record, ensure_ascii=False, indent=2) + "\n").encode()
    module = importlib.import_module(f"assistant.exports.{FORMATS[name].module}")
    write: Callable[[Record, Source], bytes] = module.render
    try:
        return write(record, source or Source(record.get("inputs", ())))
    except AssistantError:
        raise
    except Exception as error:  # a header that a library cannot work with; its message may quote values
        raise ExportError(f"{name} cannot be made from these headers ({type(error).__name__}).") from None
