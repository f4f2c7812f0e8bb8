"""`plain` and `summary`: reports told again, every sentence with its source."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from assistant.ehr.read import read_reports
from assistant.ehr.retell import NOTICE, Told, plain_report, summary, unsupported
from assistant.ehr.texts import TextReport
from assistant.errors import AssistantError

_SUMMARY_NOTICE = "Sentences taken whole from the reports, chosen by fixed rules. For research, not for clinical use."


def run_from(args: argparse.Namespace) -> int:
    """Run with the words of the command line."""
    if args.command == "plain":
        return run_plain(args.reports, as_json=args.json)
    return run_summary(args.reports, most=args.most, as_json=args.json)


def run_plain(paths: Sequence[str], *, as_json: bool = False) -> int:
    """Write reports in plain words.

    Args:
        paths: see `read_reports`.
        as_json: one JSON object instead of Markdown.
    Returns:
        0.
    Raises:
        AssistantError: a file holds no report.
    """
    reports = read_reports(paths)
    told = [plain_report(report, number) for number, report in enumerate(reports, start=1)]
    _check([one for some in told for one in some], reports)
    if as_json:
        _print_json({"notice": NOTICE, "reports": [[one.to_dict() for one in some] for some in told]})
        return 0
    lines = ["# In plain words", "", f"> {NOTICE}", ""]
    for number, some in enumerate(told, start=1):
        lines += [f"## Report {number}", ""] if len(told) > 1 else []
        lines += _listed(some)
    sys.stdout.write("\n".join(lines))
    return 0


def run_summary(paths: Sequence[str], *, most: int, as_json: bool = False) -> int:
    """Write a summary of several reports.

    Args:
        paths: of one patient's reports, oldest first.
        most: sentences of the earlier reports.
        as_json: one JSON object instead of Markdown.
    Returns:
        0.
    Raises:
        AssistantError: a file holds no report, or there are fewer than two.
    """
    reports = read_reports(paths)
    made = summary(reports, most)
    _check([*made.latest, *made.new, *made.gone, *made.earlier], reports)
    if as_json:
        _print_json({"notice": _SUMMARY_NOTICE, "reports": len(reports), **made.to_dict()})
        return 0
    lines = [f"# Summary of {len(reports)} reports", "", f"> {_SUMMARY_NOTICE}", ""]
    parts = (
        ("Latest report", made.latest),
        ("There now, said not to be there before", made.new),
        ("Said to be there before, not there now", made.gone),
        ("Earlier reports", made.earlier),
    )
    for heading, told in parts:
        if told:
            lines += [f"## {heading}", "", *_listed(told)]
    sys.stdout.write("\n".join(lines))
    return 0


def _listed(told: Sequence[Told]) -> list[str]:
    rows = []
    for one in told:
        rows.append(f"- {one.text}  ")
        rows += [f'  *{source.place}: "{source.text}"*' for source in one.sources]
    return [*rows, ""]


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def _check(told: Sequence[Told], reports: Sequence[TextReport]) -> None:
    """Refuse to print a sentence without a source."""
    faults = unsupported(told, reports)
    if faults:
        raise AssistantError(f"{len(faults)} sentence(s) have no source in the reports, so nothing is printed.")
