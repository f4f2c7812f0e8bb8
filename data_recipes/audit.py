"""Command: check example files for leaks and faults, and write their data card. `python -m data_recipes.audit DIR`.

`data_recipes.build` runs it on everything that it builds; a leak or a fault stops the build.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError, DataError

if TYPE_CHECKING:
    from data_recipes.auditing.files import DataFile
    from data_recipes.auditing.findings import Findings
    from data_recipes.auditing.tally import Tally

logger = logging.getLogger("data_recipes.audit")

_SHIFT = 0.2
_LENGTH_TOLD = 0.2
_HELD_OUT = ("dev", "test")


def audit(files: Sequence[DataFile], allowed: Mapping[str, str] | None = None, seed: int = 0) -> Findings:
    """Look for leaks, faults, imbalance and questions that need no picture.

    Args:
        files: what `auditing.files.find_files` returned.
        allowed: kind of leak to the declared reason why it may be so.
        seed: decides the sample of questions, if there are very many.
    Returns:
        What was found; nothing is raised for it.
    Raises:
        DataError: a line breaks the format.
    """
    from data_recipes.auditing.blind import blind_baseline, verdicts
    from data_recipes.auditing.files import read_rows
    from data_recipes.auditing.findings import Findings
    from data_recipes.auditing.images import read_images
    from data_recipes.auditing.leaks import faults, find_leaks
    from data_recipes.auditing.tally import tally

    counted = tally(read_rows(files), seed)
    began = time.perf_counter()
    images = read_images(sorted(counted.images))
    if counted.images:
        logger.info("looked at %d pictures in %.1f s", len(counted.images), time.perf_counter() - began)
    leaks, alike = find_leaks(counted, images, allowed or {})
    train = counted.splits.get("train")
    blind = [
        blind_baseline(train.sample, counted.splits[split].sample, split)
        for split in _HELD_OUT
        if train is not None and train.sample and split in counted.splits and counted.splits[split].sample
    ]
    return Findings(
        files={file.path.name: file.split for file in files},
        tally=counted,
        pictures=len(images.names),
        leaks=leaks,
        faults=faults(counted, images),
        alike=alike,
        blind=blind,
        notices=[*verdicts(blind), *_notices(counted, int(images.flat.sum()))],
    )


def check_build(folder: Path, allowed: Mapping[str, str] | None = None) -> Findings | None:
    """Audit a folder that was just built, and write its card into it.

    Args:
        folder: with example files.
        allowed: kind of leak to the declared reason why it may be so.
    Returns:
        What was found; None where the folder holds no example file.
    Raises:
        DataError: there is a leak that is not allowed, or a fault; names all of them.
    """
    from data_recipes.auditing.card import write_card
    from data_recipes.auditing.files import find_files

    try:
        files = find_files([folder])
    except DataError:
        return None
    findings = audit(files, allowed)
    if findings.problems:
        raise DataError(f"the audit found what must be mended; nothing was kept.\n{problem_text(findings)}")
    write_card(folder, findings)
    return findings


def problem_text(findings: Findings) -> str:
    """Return all problems in words, and how a leak that must be is declared.

    Args:
        findings: of an audit.
    Returns:
        Several lines.
    """
    lines = [f"  {problem}" for problem in findings.problems]
    kind = next((leak.kind for leak in findings.leaks if leak.fails), None)
    if kind:
        lines.append(f"  If it must be so, declare it and say why; the card will show it: --allow-leak '{kind}=…'")
    return "\n".join(lines)


def summary(findings: Findings) -> list[str]:
    """Return what a person should see at once: leaks that are allowed or no failure, and notices.

    Args:
        findings: of an audit.
    Returns:
        One text each.
    """
    told = [leak.text + (f"\n    Allowed: {leak.allowed}" if leak.allowed else "") for leak in findings.leaks]
    return [*told, *(f"worth a look: {pair}" for pair in findings.alike), *findings.notices]


def _notices(counted: Tally, blank: int) -> list[str]:
    """Say what is no fault but matters to whoever measures on the data."""
    told = [f"{blank} pictures are blank (one grey all over); are they meant to be?"] if blank else []
    splits = counted.splits
    records = sum(part.records for part in splits.values())
    without = sum(part.counts.get("patient", Counter())["not given"] for part in splits.values())
    if len(splits) > 1 and without:
        told.append(
            f"{without} of {records} records name no patient, so that splits by patient cannot be checked there."
        )
    if counted.contradictions:
        first = " and ".join(counted.contradictions[0])
        told.append(
            f"{len(counted.contradictions)} closed or choice questions are asked twice of the same picture with "
            f"different answers; the first stand at {first}."
        )
    for name in ("modality", "answer type", "closed answer", "site"):
        told += _shift(name, {split: part.counts.get(name, Counter()) for split, part in splits.items()})
    for split, part in splits.items():
        if part.off_choice:
            told.append(f"{split}: {part.off_choice} answers name none of the choices offered.")
        longer, shorter = part.longer_chosen / max(part.preferences, 1), part.shorter_chosen / max(part.preferences, 1)
        if abs(longer - shorter) > _LENGTH_TOLD:
            told.append(
                f"{split}: the better answer is the longer in {longer:.0%} of the pairs, the shorter in {shorter:.0%}; "
                "a model may learn length (--length-matched of the preferences recipe)."
            )
    return told


def _shift(name: str, counts: Mapping[str, Counter[str]]) -> list[str]:
    """Compare the held-out splits with training by total variation, half the sum of differences in shares."""
    train = counts.get("train", Counter())
    told = []
    for split in _HELD_OUT:
        other = counts.get(split, Counter())
        if train.total() < 50 or other.total() < 50:
            continue
        values = set(train) | set(other)
        distance = sum(abs(train[one] / train.total() - other[one] / other.total()) for one in values) / 2
        if distance > _SHIFT:
            told.append(f"{split} differs from train in {name}: {distance:.0%} of its records would have to change.")
    return told


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes those of the process.
    Returns:
        exit code: 0 clean, 1 a leak or fault, 2 wrong usage or a file that breaks the format.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s", force=True)
    logging.getLogger("data_recipes").setLevel(logging.INFO)  # libraries keep their progress to themselves
    try:
        from data_recipes.auditing.card import CARD_NAME, write_card
        from data_recipes.auditing.files import find_files
        from data_recipes.auditing.leaks import read_allowed

        findings = audit(find_files(options.inputs), read_allowed(options.allow_leak), options.seed)
        if options.out is not None:
            write_card(options.out, findings)
            logger.info("wrote %s", options.out / CARD_NAME)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"{in_words(error)}\n")
        return 2
    sys.stdout.write("".join(f"{line}\n" for line in (*findings.faults, *summary(findings))))
    records = sum(part.records for part in findings.tally.splits.values())
    state = f"{len(findings.problems)} to mend" if findings.problems else "no leak that fails"
    sys.stdout.write(f"{records} records, {findings.pictures} pictures: {state}\n")
    return 1 if findings.problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_recipes.audit",
        description="Check example files for leaks between splits, broken pictures, blind answers; write a data card.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="DIR|FILE|SPLIT=FILE",
        help="folders, files whose name tells the split, or files with their split named (train=a.jsonl dev=b.jsonl)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for DATA_CARD.md, audit.json and plots")
    parser.add_argument(
        "--allow-leak",
        action="append",
        default=[],
        metavar="KIND=REASON",
        help="a leak that must be: id, patient, image, near-image or question, and why; the card shows it",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="for the sample of questions (default 0)")
    return parser


if __name__ == "__main__":
    raise SystemExit(run_command(main))
