"""`deidentify`: files with patients' names in, files without them out."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from assistant.deidentify.profile import EDITION, Dates, Profile
from assistant.deidentify.run import Outcome, run_deidentify_files
from assistant.json_lines import write_atomically

_LONG = 10


def run_from(args: argparse.Namespace) -> int:
    """Run with the words of the command line; see `run_deidentify`."""
    return run_deidentify(
        inputs=args.inputs,
        out=args.out,
        retain=[one.strip() for one in args.retain.split(",") if one.strip()],
        dates=args.dates,
        pixels=args.pixels,
        salt=args.salt,
        key=args.key,
        dry_run=args.dry_run,
        as_json=args.json,
    )


def run_deidentify(
    *,
    inputs: Sequence[str],
    out: Path,
    retain: Sequence[str] = (),
    dates: str = "shift",
    pixels: str = "clean",
    salt: Path | None = None,
    key: Path | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """De-identify files and write what was done to stdout.

    Args:
        inputs: files and folders.
        out: where the results and the audit go.
        retain: options of PS3.15, by `profile.RETAINABLE`.
        dates: "shift", "remove" or "keep".
        pixels: "clean" looks for burned-in text, "keep" does not.
        salt: file with the secret that makes pseudonyms the same in several runs.
        key: where to write which input became which output; it identifies, so it must lie outside `out`.
        dry_run: write nothing.
        as_json: write one JSON object instead of text.
    Returns:
        0 when every file was done, 1 when some failed, 130 when interrupted.
    Raises:
        AssistantError: an option, an input or the folder cannot be used.
    """
    profile = Profile(tuple(retain), cast(Dates, dates), clean_pixels=pixels == "clean")
    _refuse_inside(out, {"--key": key, "--salt": salt})
    try:
        outcome = run_deidentify_files(inputs, out, profile, salt=salt, dry_run=dry_run, on_file=_progress)
    except KeyboardInterrupt:
        sys.stderr.write(
            f"\nmedassist: interrupted. What lies in {out} is whole and stands in audit.jsonl; begin again with a new "
            "--out, or, if the run had a --salt, with the same command.\n"
        )
        return 130
    for failure in outcome.failed:
        sys.stderr.write(f"{failure.path}: {failure.error}\n")
    if key is not None and not dry_run:
        lines = [json.dumps({"input": str(path), "output": name}) for path, name in outcome.written]
        write_atomically(key, "".join(f"{line}\n" for line in lines))
    summary = _summary(outcome, out, profile, dry_run)
    sys.stdout.write(json.dumps(summary, ensure_ascii=False) + "\n" if as_json else _text(summary))
    return 1 if outcome.failed else 0


def _progress(done: int, total: int) -> None:
    """Tell on stderr how far it is, every tenth of the way of a run of ten files or more."""
    if total >= _LONG and (done % (total // _LONG) == 0 or done == total):
        sys.stderr.write(f"{done} of {total} files\n")
        sys.stderr.flush()


def _refuse_inside(out: Path, files: dict[str, Path | None]) -> None:
    """Keep what could undo the work out of the folder that is given away."""
    from assistant.errors import DataError

    for option, path in files.items():
        if path is not None and path.resolve().is_relative_to(out.resolve()):
            raise DataError(
                f"{option} {path} lies inside --out, and with it names could be found again. Put it elsewhere."
            )


def _summary(outcome: Outcome, out: Path, profile: Profile, dry_run: bool) -> dict[str, Any]:
    changed = Counter(row["keyword"] or row["tag"] for row in outcome.audit.rows)
    return {
        "out": str(out),
        "dry_run": dry_run,
        "edition": EDITION,
        "profile": [meaning for _, meaning in profile.codes()],
        "done": len(outcome.written),
        "failed": [{"input": str(one.path), "error": one.error} for one in outcome.failed],
        "passed_over": outcome.passed_over,
        "actions": dict(outcome.audit.actions.most_common()),
        "elements": dict(changed.most_common()),
    }


def _text(summary: dict[str, Any]) -> str:
    """Return the summary in a few lines."""
    verb = "would be written" if summary["dry_run"] else "written"
    lines = [
        f"{summary['done']} {verb}, {len(summary['failed'])} failed, {summary['passed_over']} passed over "
        f"→ {summary['out']}",
        f"DICOM PS3.15 {summary['edition']} Annex E: {'; '.join(summary['profile'])}",
    ]
    lines += [f"  {count:6d}  {action}" for action, count in summary["actions"].items()]
    if not summary["dry_run"] and summary["done"]:
        lines.append(f"What was done to which element: {summary['out']}/audit.csv and audit.jsonl")
    if "Clean Pixel Data Option" not in summary["profile"]:
        lines.append("Text in the pixels was not looked for: look at every picture before you pass it on.")
    return "\n".join(lines) + "\n"
