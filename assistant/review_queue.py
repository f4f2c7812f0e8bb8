"""The studies of a run that a person should look at, most urgent first: `review.csv` and `review.jsonl`.

Both are made of the run's own files and can be deleted: they are written anew, whole or not at all. They name studies
as the ledger does, and hold nothing of a patient.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assistant.conversation import NOT_FOR_CLINICAL_USE
from assistant.exports.wording import critical_names
from assistant.json_lines import read_lines, write_atomically
from assistant.ledger import locked, page_name

CSV_NAME, JSON_NAME = "review.csv", "review.jsonl"
PRIORITIES: dict[int, str] = {
    1: "critical finding",
    2: "doubtful report",
    3: "no report",
    4: "unsure",
    5: "caution",
}
"""Priority to what it means, 1 first."""
UNSURE = 0.5
"""Confidence under which a report is looked at."""
_EVERY_S = 5.0
"""Least seconds between two writings during a run; a critical finding is written at once."""


@dataclass(frozen=True)
class ReviewRow:
    """One study to look at."""

    priority: int
    """Key of `PRIORITIES`."""
    reasons: tuple[str, ...]
    """Why, most urgent first."""
    study: str
    inputs: tuple[str, ...]
    page: str
    """Name of its page less the ending, "" where there is no report."""
    critical: str
    """Its critical findings, "" for none."""
    confidence: float | None
    """None where there is no report."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "what": PRIORITIES[self.priority]}


def review_row(record: Mapping[str, Any]) -> ReviewRow | None:
    """Tell whether a report should be looked at, and why.

    Args:
        record: as the ledger keeps it; those of versions without critical findings count by their cautions.
    Returns:
        The row, None for a report that nothing speaks against.
    """
    reasons: list[tuple[int, str]] = []
    named = critical_names(record)
    if named:
        reasons.append((1, f"Critical finding: {named}."))
    doubts = list(record.get("doubts", ()))
    reasons += [(2, str(one)) for one in doubts]
    if record.get("abstained"):
        reasons.append((3, str(record["sections"].get("impression", ""))))
    elif (sure := record.get("confidence")) is not None and sure < UNSURE:
        reasons.append((4, f"The report's confidence is {sure:.0%}."))
    rest = [one for one in record.get("cautions", ()) if one != NOT_FOR_CLINICAL_USE and one not in doubts]
    reasons += [(5, str(one)) for one in rest if not str(one).startswith("Critical finding:")]
    if not reasons:
        return None
    return ReviewRow(
        min(priority for priority, _ in reasons),
        tuple(text for _, text in sorted(reasons, key=lambda reason: reason[0])),
        record["study"],
        tuple(record["inputs"]),
        page_name(record) if record.get("key") else "",
        named,
        record.get("confidence"),
    )


def failed_row(failure: Mapping[str, Any]) -> ReviewRow:
    """Return the row of a study that has no report.

    Args:
        failure: a line of `failures.jsonl`.
    Returns:
        The row.
    """
    error = failure["error"].removeprefix(f"{failure['inputs'][0]}: ") if failure["inputs"] else failure["error"]
    reason = f"No report: {error}"
    return ReviewRow(3, (reason,), failure["study"], tuple(failure["inputs"]), "", "", None)


class ReviewQueue:
    """Keeps the two files of one run's folder up to date.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = 0
        self._rows: dict[str, ReviewRow] = {}
        self._written = 0.0

    def refresh(self, *, now: bool = False) -> int:
        """Read what was reported since the last look, by any process, and write the files if it is time.

        Args:
            now: write them whether or not it is time.
        Returns:
            How many studies are to be looked at.
        """
        # Looked at and written in one go: or who looked earlier could write later, and rows of another would be lost.
        with locked(self._folder):
            urgent = self._catch_up()
            if now or urgent or time.monotonic() - self._written >= _EVERY_S:
                self._write()
                self._written = time.monotonic()
        return len(self._rows)

    def rows(self) -> list[ReviewRow]:
        """Return the reports to look at and the studies without one, most urgent first."""
        failures = read_lines(self._folder / "failures.jsonl")
        found = [*self._rows.values(), *(failed_row(one) for one in failures)]
        return sorted(found, key=lambda row: (row.priority, row.confidence is not None, row.confidence or 0.0))

    def _catch_up(self) -> bool:
        """Take in new lines of the ledger; tell whether one has a critical finding."""
        path = self._folder / "reports.jsonl"
        if not path.exists():
            return False
        urgent = False
        with path.open("rb") as handle:
            handle.seek(self._read)
            for line in handle:
                if not line.endswith(b"\n"):
                    break  # another process is writing it
                self._read += len(line)
                row = review_row(json.loads(line))
                if row is not None:
                    self._rows[row.study] = row
                    urgent = urgent or row.priority == 1
        return urgent

    def _write(self) -> None:
        rows = self.rows()
        lines = "".join(json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in rows)
        write_atomically(self._folder / JSON_NAME, lines)
        write_atomically(self._folder / CSV_NAME, as_csv(rows))


COLUMNS = ("priority", "what", "study", "inputs", "critical", "confidence", "reasons", "page")


def as_csv(rows: Sequence[ReviewRow]) -> bytes:
    """Return the queue as CSV (RFC 4180), UTF-8; no cell is taken for a formula."""
    from assistant.exports.table import safe_cell

    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for row in rows:
        cells = {**row.to_dict(), "inputs": "; ".join(row.inputs), "reasons": " ".join(row.reasons)}
        writer.writerow({name: safe_cell(cells[name]) for name in COLUMNS})
    return text.getvalue().encode()


def queue_text(rows: Sequence[ReviewRow], most: int = 20) -> str:
    """Return the queue for a terminal.

    Args:
        rows: most urgent first.
        most: how many studies are shown.
    Returns:
        How many there are of each kind, then the first ones with their first reason.
    """
    counts = {name: sum(row.priority == priority for row in rows) for priority, name in PRIORITIES.items()}
    if not rows:
        return "No study stands out as one to look at first.\n"
    told = ", ".join(f"{count} {_many(name) if count > 1 else name}" for name, count in counts.items() if count)
    lines = [f"{len(rows)} {'study' if len(rows) == 1 else 'studies'} to look at: {told}"]
    for row in rows[:most]:
        first = row.inputs[0] if row.inputs else row.study
        lines.append(f"  {row.priority} {first}: {row.reasons[0]}")
    if most and len(rows) > most:
        lines.append(f"  … and {len(rows) - most} more")
    return "\n".join([*lines, f"{CSV_NAME} and {JSON_NAME} there list them, most urgent first."]) + "\n"


def _many(name: str) -> str:
    return name if name in ("no report", "unsure") else f"{name}s"
