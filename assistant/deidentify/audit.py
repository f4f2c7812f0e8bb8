"""The record of a run: which element of which output was changed, and how. No value, no input's name."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from assistant.deidentify.dataset import Change
from assistant.json_lines import write_atomically

JSONL, CSV = "audit.jsonl", "audit.csv"
COLUMNS = ("output", "tag", "keyword", "vr", "where", "action")


@dataclass
class Audit:
    """Collects what was done; with a folder it is written there, file by file."""

    folder: Path | None = None
    """None in a dry run."""
    actions: Counter[str] = field(default_factory=Counter)
    rows: list[dict[str, str]] = field(default_factory=list)

    def add(self, output: str, changes: Sequence[Change]) -> None:
        """Note the changes of one output, on the disk before the next file is begun."""
        rows = [{"output": output, **asdict(change)} for change in changes]
        self.rows += rows
        self.actions.update(change.action for change in changes)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / JSONL).open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
                file.flush()
                os.fsync(file.fileno())

    def close(self) -> None:
        """Write the table for spreadsheets, of all that the folder's record holds."""
        if self.folder is None or not (self.folder / JSONL).exists():
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        with (self.folder / JSONL).open(encoding="utf-8") as file:
            writer.writerows(json.loads(line) for line in file)
        write_atomically(self.folder / CSV, text.getvalue())
