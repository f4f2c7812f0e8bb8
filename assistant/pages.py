"""The pages of reported studies: one file a study and format, made from its line, so that any can be made again."""

from __future__ import annotations

import logging
import os
from dataclasses import replace

from assistant.errors import ExportError
from assistant.exports.registry import ending, render
from assistant.exports.source import Source
from assistant.json_lines import Record, write_atomically
from assistant.ledger import Ledger, page_name
from assistant.names import paths_of
from assistant.readahead import RunSettings

logger = logging.getLogger(__name__)


def write_pages(record: Record, settings: RunSettings) -> None:
    """Write a study's pages, whole or not at all."""
    source = Source(paths_of(settings.out, record.get("inputs", ())))
    for name in settings.formats:
        try:
            content = render(name, record, source)
        except ExportError as error:  # the report is there all the same, and the other formats too
            logger.error("study %s has no %s: %s", record["study"], name, error)
            continue
        write_atomically(settings.out / "studies" / f"{page_name(record)}.{ending(name)}", content, durable=False)


def restore_pages(ledger: Ledger, settings: RunSettings) -> None:
    """Write the pages that reported studies lack: deleted ones, empty ones, or a format not asked for before."""
    folder = settings.out / "studies"
    there: set[str] = set()
    if folder.is_dir():
        with os.scandir(folder) as entries:
            there = {one.name for one in entries if one.stat().st_size}
    for record in ledger.records():
        missing = tuple(one for one in settings.formats if f"{page_name(record)}.{ending(one)}" not in there)
        if missing:
            write_pages(record, replace(settings, formats=missing))
